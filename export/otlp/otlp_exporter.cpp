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
    : options_(options), transport_(std::move(transport)), encoder_(options.encoder) {}

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

std::span<const std::byte> OtlpExporter::encode(const FlowBatch& batch) {
  const auto links = options_.links.get();
  const auto host = options_.host.get();
  return encoder_.encode(batch.records, {.links = *links, .host = *host, .resource = resource_of(host)});
}

Status OtlpExporter::write(const FlowBatch& batch) {
  Status written = spool_ ? write_with_spool(batch, encode(batch)) : write_at_once(batch);
  if (written) send_metrics();
  return written;
}

Status OtlpExporter::write_at_once(const FlowBatch& batch) {
  const auto request = encode(batch);
  if (attempted_ns_ == 0 || attempted_position_ != batch.first_position) {
    attempted_ns_ = monotonic_ns();
    attempted_position_ = batch.first_position;
  }
  OtlpAnswer answer = transport_->send(OtlpSignal::traces, request);
  answer.rejected = std::min<std::uint64_t>(answer.rejected, batch.size());
  retry_after_ = answer.retry_after;
  if (answer.verdict != OtlpVerdict::taken) return failed(batch, answer);
  attempted_ns_ = 0;
  note_partial_success(answer);
  return Done{};
}

Status OtlpExporter::write_with_spool(const FlowBatch& batch, std::span<const std::byte> request) {
  send_spooled();
  if (!spool_->empty() || monotonic_ns() < retry_at_ns_) return write_to_spool(batch, request);
  OtlpAnswer answer = transport_->send(OtlpSignal::traces, request);
  answer.rejected = std::min<std::uint64_t>(answer.rejected, batch.size());
  if (answer.verdict == OtlpVerdict::refused) return failed(batch, answer);
  if (answer.verdict == OtlpVerdict::retry) {
    put_off(answer);
    return write_to_spool(batch, request);
  }
  note_partial_success(answer);
  return Done{};
}

Status OtlpExporter::write_to_spool(const FlowBatch& batch, std::span<const std::byte> request) {
  FlowCounts counts;
  for (const FlowRecord& record : batch.records) counts += record_counts(record);
  Status appended = spool_->append(request, batch.size(), counts);
  spooled_ = spool_->records();
  return appended;
}

Status OtlpExporter::idle() {
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
    OtlpAnswer answer =
        transport_->send(OtlpSignal::traces, std::as_bytes(std::span<const char>(oldest->bytes)));
    if (answer.verdict == OtlpVerdict::retry) return put_off(answer);
    if (answer.verdict == OtlpVerdict::refused) {
      const std::scoped_lock lock(losses_mutex_);
      late_losses_.records += oldest->records;
      late_losses_.counts += oldest->counts;
      notice_ = fmt::format("{}: {}: {} spooled records are refused for good and counted as lost",
                            options_.transport.endpoint.text, answer.what, oldest->records);
    } else {
      answer.rejected = std::min<std::uint64_t>(answer.rejected, oldest->records);
      note_partial_success(answer);
    }
    pace_ = {};
    spool_->pop();
    spooled_ = spool_->records();
    if (spool_->empty() && std::exchange(away_, false))
      notice_ = fmt::format("{} is there again, the spool is sent", options_.transport.endpoint.text);
  }
}

/// What the disk did not keep is lost, and said.
void OtlpExporter::note_damage() {
  const SpoolDamage damage = spool_->take_damage();
  if (damage.lost.records == 0 && damage.unreadable == 0) return;
  spooled_ = spool_->records();
  {
    const std::scoped_lock lock(losses_mutex_);
    late_losses_.records += damage.lost.records;
    late_losses_.counts += damage.lost.counts;
  }
  notice_ = fmt::format("spool {}: damaged on the disk; {} records are counted as lost",
                        options_.spool.folder, damage.lost.records);
  if (damage.unreadable > 0)
    notice_ += fmt::format(", the least it can be: {} octets cannot be read", damage.unreadable);
}

/// As the lane does without a spool: after the receiver's wish, else after a second, doubled up to a minute.
void OtlpExporter::put_off(const OtlpAnswer& answer) {
  using std::chrono::seconds;
  if (!std::exchange(away_, true))
    notice_ = fmt::format("{}: {}; what it does not take goes to the spool {}",
                          options_.transport.endpoint.text, answer.what, options_.spool.folder);
  pace_ = pace_.count() == 0 ? seconds(1) : std::min<std::chrono::nanoseconds>(pace_ * 2, seconds(60));
  std::uniform_int_distribution<std::int64_t> jittered(pace_.count() * 3 / 4, pace_.count());
  const std::int64_t wait = answer.retry_after.count() != 0 ? answer.retry_after.count() : jittered(random_);
  retry_at_ns_ = monotonic_ns() + static_cast<std::uint64_t>(wait);
}

RecordLosses OtlpExporter::late_losses() const {
  const std::scoped_lock lock(losses_mutex_);
  return late_losses_;
}

Status OtlpExporter::failed(const FlowBatch& batch, const OtlpAnswer& answer) {
  const std::string what =
      fmt::format("send {} spans to {}: {}", batch.size(), options_.transport.endpoint.text, answer.what);
  if (answer.verdict == OtlpVerdict::refused) return failure(what, std::errc::bad_message);
  const auto limit = static_cast<std::uint64_t>(options_.max_export_timeout.count());
  if (limit != 0 && monotonic_ns() - attempted_ns_ >= limit)
    return failure(what + "; the max_export_timeout is over", std::errc::bad_message);
  return failure(what, std::errc::resource_unavailable_try_again);
}

void OtlpExporter::note_partial_success(const OtlpAnswer& answer) {
  rejected_ += answer.rejected;
  if (answer.rejected == 0 && answer.what.empty()) return;
  if (causes_told_.size() >= kMaxCauses || !causes_told_.insert(answer.what).second) return;
  notice_ = answer.rejected == 0
                ? fmt::format("{} warns: {}", options_.transport.endpoint.text, answer.what)
                : fmt::format("{} did not keep {} of the spans: {}; counted as records_rejected",
                              options_.transport.endpoint.text, answer.rejected,
                              answer.what.empty() ? "no reason given" : answer.what);
}

}  // namespace rheo
