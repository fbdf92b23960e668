// SPDX-License-Identifier: Apache-2.0
// OtlpExporter: flow records as spans (rheo-otlp(5)) to one OTLP receiver. A batch is one request; what the
// receiver's answer means is answer.h's, when to try again the lane's. With a spool, what the receiver does
// not take at once goes to the disk, and is sent, oldest first, at this exporter's own pace. On its lane's
// thread, but for the counters.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "daemon/base/snapshot.h"
#include "daemon/model/metering.h"
#include "export/exporter.h"
#include "export/otlp/resource.h"
#include "export/otlp/span_encoder.h"
#include "export/otlp/spool.h"
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
  SpoolOptions spool;  // a limit of 0: none
  // rheo's own counters, sent this often as metrics; 0: never.
  std::chrono::nanoseconds metrics_interval{0};
  const Snapshot<MeteringCounters>& metering;  // outlives the exporter
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
  std::uint64_t records_spooled() const override { return spooled_; }
  RecordLosses late_losses() const override;

  Status open() override;
  /// Sends what is in the spool, for a second at most, unless the receiver wants to be left alone.
  Status idle() override;

 private:
  OtlpExporter(const OtlpExporterOptions& options, std::unique_ptr<OtlpTransport> transport);
  const std::string& resource_of(const std::shared_ptr<const Listeners>& host);
  std::span<const std::byte> encode(const FlowBatch& batch);
  Status write_at_once(const FlowBatch& batch);
  Status write_to_spool(const FlowBatch& batch, std::span<const std::byte> request);
  Status write_with_spool(const FlowBatch& batch, std::span<const std::byte> request);
  void send_spooled();
  void note_damage();
  void put_off(const OtlpAnswer& answer);
  void send_metrics();
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

  std::uint64_t metrics_at_ns_ = 0;  // when they are due
  bool metrics_failing_ = false;

  std::unique_ptr<Spool> spool_;      // null: none, or not open yet
  std::uint64_t retry_at_ns_ = 0;     // before it, nothing is sent
  std::chrono::nanoseconds pace_{0};  // the last wait; 0: the receiver took the last request
  bool away_ = false;                 // told so, and the spool is not sent yet
  std::minstd_rand random_{std::random_device{}()};
  std::atomic<std::uint64_t> spooled_ = 0;
  mutable std::mutex losses_mutex_;  // for late_losses_ alone
  RecordLosses late_losses_;
};

}  // namespace rheo
