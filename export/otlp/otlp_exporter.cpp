// SPDX-License-Identifier: Apache-2.0
#include "export/otlp/otlp_exporter.h"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/base/clock.h"
#include "daemon/model/names.h"
#include "export/flow_text.h"
#include "export/otlp/metrics_encoder.h"

namespace rheo {
namespace {

// A receiver that gives every refusal its own words must not fill the memory or the log.
constexpr std::size_t kMaxCauses = 16;
constexpr std::size_t kMaxHostAddresses = 64;
// A receiver that takes no request of so many octets takes none.
constexpr std::size_t kSmallestLimit = 64U << 10U;
// Of a request in the spool, which cannot be made smaller later: below what receivers and the proxies before
// them are known to refuse.
constexpr std::size_t kSpooledLimit = 512U << 10U;

/// Of no use to anybody else: loopback and link-local addresses.
bool only_local(const Address& address) {
  if (!holds_ipv6(address)) return address[12] == 127 || (address[12] == 169 && address[13] == 254);
  constexpr Address loopback = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return address == loopback || (address[0] == 0xfe && (address[1] & 0xc0U) == 0x80);
}

std::vector<std::string> host_addresses(const Listeners& host) {
  std::vector<Address> addresses;
  for (const Address& address : host.local_addresses)
    if (!only_local(address)) addresses.push_back(address);
  std::ranges::sort(addresses);
  if (addresses.size() > kMaxHostAddresses) addresses.resize(kMaxHostAddresses);
  std::vector<std::string> texts;
  for (const Address& address : addresses) texts.push_back(address_text(address, holds_ipv6(address)));
  return texts;
}

}  // namespace

Result<std::unique_ptr<OtlpExporter>> OtlpExporter::create(const OtlpExporterOptions& options) {
  auto transport = make_otlp_transport(options.transport);
  if (!transport) return forward(std::move(transport));
  return std::unique_ptr<OtlpExporter>(new OtlpExporter(options, *std::move(transport)));
}

OtlpExporter::OtlpExporter(const OtlpExporterOptions& options, std::unique_ptr<OtlpTransport> transport)
    : options_(options), transport_(std::move(transport)), limit_(options.max_request_bytes) {
  for (std::size_t i = 0; i < std::max<std::size_t>(options.max_concurrent_exports, 1); ++i)
    encoders_.emplace_back(options.encoder);
}

const std::string& OtlpExporter::resource_of(const std::shared_ptr<const Listeners>& host) {
  if (resource_host_ == host) return resource_;
  resource_host_ = host;
  std::vector<OtlpAttribute> attributes = options_.resource;
  const bool given = std::ranges::find(attributes, "host.ip", &OtlpAttribute::key) != attributes.end();
  if (auto addresses = host_addresses(*host); !given && !addresses.empty())
    set_attribute(attributes, "host.ip", std::move(addresses));
  resource_ = encode_resource(attributes);
  return resource_;
}

Status OtlpExporter::open() {
  if (options_.spool.limit == 0 || spool_) return Done{};
  auto opened = Spool::open(options_.spool);
  if (!opened) return forward(std::move(opened));
  spool_ = *std::move(opened);
  spooled_ = spool_->records();
  note_damage();
  return Done{};
}

Status OtlpExporter::write(const FlowBatch& batch) {
  settled_.clear();
  refusal_.clear();
  retry_after_ = {};
  if (spool_) send_spooled();
  spooling_ = spool_ && (!spool_->empty() || monotonic_ns() < retry_at_ns_);
  std::vector<Piece> todo = {first_try(batch)};
  Status written = write_pieces(batch, todo);
  while (written && !todo.empty() && monotonic_ns() < end_ns_) written = write_pieces(batch, todo);
  std::ranges::sort(settled_, {}, &SettledPart::begin);
  if (written && !refusal_.empty()) return failure(refusal_, std::errc::bad_message);
  if (!refusal_.empty()) notice_ = refusal_ + "; counted as lost";
  if (written) send_metrics();
  return written;
}

/// What is tried together: all of the batch, or what was tried before and is offered again.
OtlpExporter::Piece OtlpExporter::first_try(const FlowBatch& batch) {
  if (batch.first_position >= attempted_end_) {
    attempted_ns_ = monotonic_ns();
    attempted_end_ = batch.end_position();
  }
  return {.begin = 0, .end = std::min<std::size_t>(batch.size(), attempted_end_ - batch.first_position)};
}

/// Takes from the end of `todo` what is under way next. Its last is the first to go.
void OtlpExporter::encode_pieces(const FlowBatch& batch, std::vector<Piece>& todo) {
  const auto links = options_.links.get();
  const auto host = options_.host.get();
  const auto classes = options_.classes == nullptr ? nullptr : options_.classes->get();
  const SpanContext context{.links = *links,
                            .host = *host,
                            .resource = resource_of(host),
                            .limit = spooling_ ? std::min(limit_, kSpooledLimit) : limit_,
                            .classes = classes.get()};
  pieces_.clear();
  for (SpanEncoder& encoder : encoders_) {
    if (todo.empty()) return;
    Piece& next = todo.back();
    const std::span records(batch.records);
    const OtlpRequest request = encoder.encode(
        records.subspan(next.begin, std::min(next.records(), options_.max_batch_size)), context);
    pieces_.push_back({.begin = next.begin, .end = next.begin + encoder.encoded(), .request = request});
    next.begin = pieces_.back().end;
    if (next.records() == 0) todo.pop_back();
  }
}

Status OtlpExporter::write_pieces(const FlowBatch& batch, std::vector<Piece>& todo) {
  encode_pieces(batch, todo);
  Status written = Done{};
  if (spooling_) {
    for (const Piece& piece : pieces_)
      if (written) written = spool(batch, piece);
    return written;
  }
  const std::vector<OtlpAnswer> answers = send(pieces_);
  for (std::size_t i = answers.size(); i-- > 0;) {  // the oldest of those to do again is the next
    Status settled = settle(pieces_[i], answers[i], todo);
    if (written) written = std::move(settled);
  }
  return written;
}

std::vector<OtlpAnswer> OtlpExporter::send(std::span<const Piece> pieces) {
  std::vector<OtlpRequest> requests;
  for (const Piece& piece : pieces) requests.push_back(piece.request);
  return transport_->send_all(OtlpSignal::traces, requests);
}

Status OtlpExporter::settle(const Piece& piece, const OtlpAnswer& answer, std::vector<Piece>& todo) {
  switch (answer.verdict) {
    case OtlpVerdict::taken:
      settled_.push_back({.begin = piece.begin, .end = piece.end});
      note_partial_success(answer, piece.records());
      return Done{};
    case OtlpVerdict::retry:
      return try_again_later(piece, answer, todo);
    case OtlpVerdict::too_large:
      if (made_smaller(piece, answer)) {
        todo.push_back(piece);
        return Done{};
      }
      break;
    case OtlpVerdict::refused:
      break;
  }
  refused(piece, failure_of(piece, answer));
  return Done{};
}

Status OtlpExporter::try_again_later(const Piece& piece, const OtlpAnswer& answer, std::vector<Piece>& todo) {
  if (spool_) {
    put_off(answer);
    spooling_ = true;
    todo.push_back(piece);
    return Done{};
  }
  retry_after_ = std::max(retry_after_, answer.retry_after);
  const std::string what = failure_of(piece, answer);
  const auto limit = static_cast<std::uint64_t>(options_.max_export_timeout.count());
  if (limit == 0 || monotonic_ns() - attempted_ns_ < limit)
    return failure(what, std::errc::resource_unavailable_try_again);
  refused(piece, what + "; the max_export_timeout is over");
  return Done{};
}

/// Requests are smaller from now on, unless they are small already.
bool OtlpExporter::made_smaller(const Piece& piece, const OtlpAnswer& answer) {
  const std::size_t size = piece.request.size();
  if (size <= kSmallestLimit || piece.records() == 1) return false;
  limit_ = std::min(limit_, std::max(size / 2, kSmallestLimit));
  notice_ = fmt::format("{}: {}; requests of {} octets at most from now on", options_.transport.endpoint.text,
                        answer.what, limit_);
  return true;
}

void OtlpExporter::refused(const Piece& piece, const std::string& what) {
  settled_.push_back({.begin = piece.begin, .end = piece.end, .given_up = true});
  refusal_ = what;
}

std::string OtlpExporter::failure_of(const Piece& piece, const OtlpAnswer& answer) const {
  return fmt::format("send {} spans to {}: {}", piece.records(), options_.transport.endpoint.text,
                     answer.what);
}

Status OtlpExporter::spool(const FlowBatch& batch, const Piece& piece) {
  FlowCounts counts;
  for (std::size_t i = piece.begin; i < piece.end; ++i) counts += record_counts(batch.records[i]);
  Status appended = spool_->append(piece.request, piece.records(), counts);
  spooled_ = spool_->records();
  if (appended) settled_.push_back({.begin = piece.begin, .end = piece.end});
  return appended;
}

Status OtlpExporter::idle() {
  retry_after_ = {};
  if (Status opened = open(); !opened) return opened;
  if (spool_) send_spooled();
  send_metrics();
  return Done{};
}

/// Where they are due and the receiver may be spoken to. What is not taken is in the next ones, too.
void OtlpExporter::send_metrics() {
  const std::uint64_t now = monotonic_ns();
  if (options_.metrics_interval.count() == 0 || now < metrics_at_ns_ || now < retry_at_ns_) return;
  metrics_at_ns_ = now + static_cast<std::uint64_t>(options_.metrics_interval.count());
  const std::string scope = encode_scope(options_.encoder.version);
  const std::string request =
      encode_metrics(*options_.metering.get(),
                     {.resource = resource_of(options_.host.get()), .scope = scope, .now_ns = realtime_ns()});
  const OtlpAnswer answer =
      transport_->send(OtlpSignal::metrics, std::as_bytes(std::span<const char>(request)));
  const bool failing = answer.verdict != OtlpVerdict::taken;
  if (failing && !metrics_failing_)
    notice_ = fmt::format("metrics to {}: {}; spans are sent all the same", options_.transport.endpoint.text,
                          answer.what);
  metrics_failing_ = failing;
}

void OtlpExporter::send_spooled() {
  const std::uint64_t until = monotonic_ns() + kNanosecondsPerSecond;
  while (!spool_->empty() && monotonic_ns() < until && monotonic_ns() >= retry_at_ns_) {
    const auto oldest = spool_->oldest();
    note_damage();
    if (!oldest) continue;
    if (!send_oldest(*oldest)) return;
    spool_->pop();
    spooled_ = spool_->records();
    if (spool_->empty() && std::exchange(away_, false))
      notice_ = fmt::format("{} is there again, the spool is sent", options_.transport.endpoint.text);
  }
}

/// False: it is to be sent again later. What is refused is counted before it is forgotten.
bool OtlpExporter::send_oldest(const SpooledRequest& oldest) {
  const OtlpAnswer answer =
      transport_->send(OtlpSignal::traces, std::as_bytes(std::span<const char>(oldest.bytes)));
  if (answer.verdict == OtlpVerdict::retry) {
    put_off(answer);
    return false;
  }
  pace_ = {};
  if (answer.verdict == OtlpVerdict::taken) {
    note_partial_success(answer, oldest.records);
    return true;
  }
  count_lost_({.records = oldest.records, .counts = oldest.counts});
  notice_ = fmt::format("{}: {}: {} spooled records are refused for good and counted as lost",
                        options_.transport.endpoint.text, answer.what, oldest.records);
  return true;
}

/// What the disk did not keep is lost, and said.
void OtlpExporter::note_damage() {
  const SpoolDamage damage = spool_->take_damage();
  if (damage.lost.records == 0 && damage.unreadable == 0) return;
  spooled_ = spool_->records();
  count_lost_(damage.lost);
  notice_ = fmt::format("spool {}: damaged on the disk; {} records are counted as lost",
                        options_.spool.folder, damage.lost.records);
  if (damage.unreadable > 0)
    notice_ += fmt::format(", the least it can be: {} octets cannot be read", damage.unreadable);
}

/// As the lane does without a spool: after the receiver's wish, else after a second, doubled up to a minute.
void OtlpExporter::put_off(const OtlpAnswer& answer) {
  using std::chrono::seconds;
  if (monotonic_ns() < retry_at_ns_) return;  // another request that was under way has said so
  if (!std::exchange(away_, true))
    notice_ = fmt::format("{}: {}; what it does not take goes to the spool {}",
                          options_.transport.endpoint.text, answer.what, options_.spool.folder);
  pace_ = pace_.count() == 0 ? seconds(1) : std::min<std::chrono::nanoseconds>(pace_ * 2, seconds(60));
  std::uniform_int_distribution<std::int64_t> jittered(pace_.count() * 3 / 4, pace_.count());
  const std::int64_t wait = answer.retry_after.count() != 0 ? answer.retry_after.count() : jittered(random_);
  retry_at_ns_ = monotonic_ns() + static_cast<std::uint64_t>(wait);
}

void OtlpExporter::note_partial_success(const OtlpAnswer& answer, std::uint64_t records) {
  const std::uint64_t rejected = std::min(answer.rejected, records);
  rejected_ += rejected;
  if (rejected == 0 && answer.what.empty()) return;
  if (causes_told_.size() >= kMaxCauses || !causes_told_.insert(answer.what).second) return;
  notice_ = rejected == 0 ? fmt::format("{} warns: {}", options_.transport.endpoint.text, answer.what)
                          : fmt::format("{} did not keep {} of the spans: {}; counted as records_rejected",
                                        options_.transport.endpoint.text, rejected,
                                        answer.what.empty() ? "no reason given" : answer.what);
}

}  // namespace rheo
