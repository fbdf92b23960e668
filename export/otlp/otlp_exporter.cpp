// SPDX-License-Identifier: Apache-2.0
#include "export/otlp/otlp_exporter.h"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/base/clock.h"
#include "daemon/model/names.h"
#include "export/flow_text.h"

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

Status OtlpExporter::write(const FlowBatch& batch) {
  const auto links = options_.links.get();
  const auto host = options_.host.get();
  if (attempted_ns_ == 0 || attempted_position_ != batch.first_position) {
    attempted_ns_ = monotonic_ns();
    attempted_position_ = batch.first_position;
  }
  const auto request =
      encoder_.encode(batch.records, {.links = *links, .host = *host, .resource = resource_of(host)});
  OtlpAnswer answer = transport_->send(OtlpSignal::traces, request);
  answer.rejected = std::min<std::uint64_t>(answer.rejected, batch.size());
  retry_after_ = answer.retry_after;
  if (answer.verdict != OtlpVerdict::taken) return failed(batch, answer);
  attempted_ns_ = 0;
  note_partial_success(answer);
  return Done{};
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
