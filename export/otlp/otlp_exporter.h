// SPDX-License-Identifier: Apache-2.0
// OtlpExporter: flow records as spans (rheo-otlp(5)) to one OTLP receiver. A batch is cut into requests by
// records and octets, and some of them are under way at once; what the receiver's answer means is answer.h's,
// when to try again the lane's. With a spool, what the receiver does not take at once goes to the disk, and
// is sent, oldest first, at this exporter's own pace. On its lane's thread, but for the counters.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
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
  const Snapshot<AddressClasses>* classes = nullptr;  // null: none are told
  // A batch that was not taken within this time of its first attempt is given up; 0: never.
  std::chrono::nanoseconds max_export_timeout{0};
  SpoolOptions spool;                      // a limit of 0: none
  std::size_t max_batch_size = 1'024;      // records of a request
  std::size_t max_concurrent_exports = 1;  // requests under way at once
  // Octets of a request, before compression: what gRPC's receivers take, 4 MiB, and some room.
  std::size_t max_request_bytes = (4U << 20U) - (64U << 10U);
  // rheo's own counters, sent this often as metrics; 0: never.
  std::chrono::nanoseconds metrics_interval{0};
  const Snapshot<MeteringCounters>& metering;  // outlives the exporter
};

class OtlpExporter final : public Exporter {
 public:
  /// Refuses with one sentence what can never work. Connects nowhere.
  static Result<std::unique_ptr<OtlpExporter>> create(const OtlpExporterOptions& options);

  /// What of the batch is done with, also when the rest is to be offered again, is in take_settled(). A batch
  /// of which nothing is to be offered again, but something was refused for good, is a bad_message.
  Status write(const FlowBatch& batch) override;
  std::optional<std::vector<SettledPart>> take_settled() override { return std::exchange(settled_, {}); }
  std::chrono::nanoseconds retry_after() const override { return retry_after_; }
  std::string take_notice() override { return std::exchange(notice_, {}); }
  void end_by(std::uint64_t deadline_ns) override { end_ns_ = deadline_ns; }
  void count_late_losses(const LossCounter& counter) override { count_lost_ = counter; }
  std::uint64_t records_rejected() const override { return rejected_; }
  std::uint64_t records_spooled() const override { return spooled_; }

  Status open() override;
  /// Sends what is in the spool, for a second at most, unless the receiver wants to be left alone.
  Status idle() override;

 private:
  OtlpExporter(const OtlpExporterOptions& options, std::unique_ptr<OtlpTransport> transport);
  const std::string& resource_of(const std::shared_ptr<const Listeners>& host);

  /// Records of the batch that is being written, and the request that they are.
  struct Piece {
    std::size_t begin = 0;
    std::size_t end = 0;
    OtlpRequest request = {};
    std::size_t records() const { return end - begin; }
  };

  Piece first_try(const FlowBatch& batch);
  void encode_pieces(const FlowBatch& batch, std::vector<Piece>& todo);
  Status write_pieces(const FlowBatch& batch, std::vector<Piece>& todo);
  Status settle(const Piece& piece, const OtlpAnswer& answer, std::vector<Piece>& todo);
  Status try_again_later(const Piece& piece, const OtlpAnswer& answer, std::vector<Piece>& todo);
  bool made_smaller(const Piece& piece, const OtlpAnswer& answer);
  void refused(const Piece& piece, const std::string& what);
  std::string failure_of(const Piece& piece, const OtlpAnswer& answer) const;
  std::vector<OtlpAnswer> send(std::span<const Piece> pieces);
  Status spool(const FlowBatch& batch, const Piece& piece);
  void send_spooled();
  bool send_oldest(const SpooledRequest& oldest);
  void note_damage();
  void put_off(const OtlpAnswer& answer);
  void send_metrics();
  void note_partial_success(const OtlpAnswer& answer, std::uint64_t records);

  const OtlpExporterOptions options_;
  const std::unique_ptr<OtlpTransport> transport_;
  std::deque<SpanEncoder> encoders_;  // for the requests that are under way at once
  std::vector<Piece> pieces_;         // those requests
  std::size_t limit_;                 // octets of a request; smaller where the receiver wants them smaller
  std::shared_ptr<const Listeners> resource_host_;  // whose addresses resource_ has
  std::string resource_;
  std::uint64_t attempted_end_ = 0;  // of the records that have been tried
  std::uint64_t attempted_ns_ = 0;   // when those before it were first
  std::vector<SettledPart> settled_;
  bool spooling_ = false;  // the rest of this batch goes to the spool
  std::string refusal_;    // why something of this batch was refused for good; "": nothing was
  std::chrono::nanoseconds retry_after_{0};
  std::set<std::string> causes_told_;  // of partial successes
  std::string notice_;
  std::atomic<std::uint64_t> rejected_ = 0;
  std::atomic<std::uint64_t> end_ns_ = UINT64_MAX;

  std::uint64_t metrics_at_ns_ = 0;  // when they are due
  bool metrics_failing_ = false;

  std::unique_ptr<Spool> spool_;      // null: none, or not open yet
  std::uint64_t retry_at_ns_ = 0;     // before it, nothing is sent
  std::chrono::nanoseconds pace_{0};  // the last wait; 0: the receiver took the last request
  bool away_ = false;                 // told so, and the spool is not sent yet
  std::minstd_rand random_{std::random_device{}()};
  std::atomic<std::uint64_t> spooled_ = 0;
  LossCounter count_lost_ = [](const RecordLosses& /*lost*/) {};
};

}  // namespace rheo
