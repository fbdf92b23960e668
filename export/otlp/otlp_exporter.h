// SPDX-License-Identifier: Apache-2.0
// OtlpExporter: flow records as spans (rheo-otlp(5)) to one OTLP receiver. A batch is one request; what the
// receiver's answer means is answer.h's, when to try again the lane's. On its lane's thread, but for
// rejected().
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/base/snapshot.h"
#include "export/exporter.h"
#include "export/otlp/resource.h"
#include "export/otlp/span_encoder.h"
#include "export/otlp/transport.h"

namespace rheo {

struct OtlpExporterOptions {
  SpanEncoderOptions encoder;
  OtlpTransportOptions transport;
  std::vector<OtlpAttribute> resource;  // host.ip is added, where it is not there
  const Snapshot<LinkTable>& links;     // outlive the exporter
  const Snapshot<Listeners>& host;
  // A batch that was not taken within this time of its first attempt is given up; 0: never.
  std::chrono::nanoseconds max_export_timeout{0};
};

class OtlpExporter final : public Exporter {
 public:
  /// Refuses with one sentence what can never work. Connects nowhere.
  static Result<std::unique_ptr<OtlpExporter>> create(const OtlpExporterOptions& options);

  /// All of the batch or, as far as this side can know, none. What the receiver refuses for good is a
  /// bad_message.
  Status write(const FlowBatch& batch) override;
  std::chrono::nanoseconds retry_after() const override { return retry_after_; }
  std::string take_notice() override { return std::exchange(notice_, {}); }
  std::uint64_t records_rejected() const override { return rejected_; }

 private:
  OtlpExporter(const OtlpExporterOptions& options, std::unique_ptr<OtlpTransport> transport);
  const std::string& resource_of(const std::shared_ptr<const Listeners>& host);
  Status failed(const FlowBatch& batch, const OtlpAnswer& answer);
  void note_partial_success(const OtlpAnswer& answer);

  const OtlpExporterOptions options_;
  const std::unique_ptr<OtlpTransport> transport_;
  SpanEncoder encoder_;
  std::shared_ptr<const Listeners> resource_host_;  // whose addresses resource_ has
  std::string resource_;
  std::uint64_t attempted_position_ = 0;  // first position of the batch that is being tried
  std::uint64_t attempted_ns_ = 0;        // when it was first; 0: none is
  std::chrono::nanoseconds retry_after_{0};
  std::set<std::string> causes_told_;  // of partial successes
  std::string notice_;
  std::atomic<std::uint64_t> rejected_ = 0;
};

}  // namespace rheo
