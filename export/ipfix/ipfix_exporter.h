// SPDX-License-Identifier: Apache-2.0
// IpfixExporter: flow records as IPFIX messages (rheo-ipfix(5)) to one collector, or into one file: when a
// session begins, when templates are told again, how fast a collector is sent to, and which records of an
// interrupted batch were sent. On its lane's thread, but for request_reopen() and end_by().
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "daemon/base/snapshot.h"
#include "daemon/model/metering.h"
#include "export/exporter.h"
#include "export/ipfix/encoder.h"
#include "export/ipfix/transport.h"

namespace rheo {

struct IpfixExporterOptions {
  IpfixEncoderOptions encoder;  // its max_message_size is the transport's
  IpfixTransportOptions transport;
  // Options are sent again this long after they were, and over a transport that may lose messages templates
  // too; 0: not for this reason.
  std::chrono::nanoseconds template_refresh = std::chrono::minutes(5);
  // Only over such a transport: both are sent again after so many messages; 0: not for this reason.
  std::uint64_t template_refresh_messages = 50'000;
  // Data records a second, over UDP and DTLS, which do not slow us down; 0: none. A record that is split in
  // two counts twice.
  std::uint32_t rate_limit = 0;
  const Snapshot<MeteringCounters>& metering;  // for the statistics
};

class IpfixExporter final : public Exporter {
 public:
  /// Refuses with one sentence what can never work: elements, sizes, addresses, files of TLS. Opens nothing.
  static Result<std::unique_ptr<IpfixExporter>> create(const IpfixExporterOptions& options);

  Status resume(const FileMark& mark) override { return transport_->resume(mark); }
  Status open() override;

  /// A file takes all of the batch or none. Of records that went to a collector before a failure the next
  /// write of the same positions repeats none. With a rate limit it takes data records / rate_limit seconds.
  Status write(const FlowBatch& batch) override;
  void note_losses(const RecordLosses& lost) override;

  /// Templates and options where they are due by time, to a collector that may have lost them.
  Status idle() override;
  void end_by(std::uint64_t deadline_ns) override { end_ns_ = deadline_ns; }
  FileMark mark() const override { return transport_->mark(); }

  /// Of a file only: a connection has no other name by now.
  void request_reopen() override { reopen_ = true; }

 private:
  IpfixExporter(const IpfixExporterOptions& options, std::unique_ptr<IpfixTransport> transport);
  Status begin_session();
  void note_metering();
  bool is_refresh_due() const;
  void refresh_where_due();
  std::size_t arrived_of(std::size_t taken) const;
  Status send(std::span<const FlowRecord> records, std::size_t& taken);
  Status send_message(std::span<const std::byte> message, std::uint32_t data_records);
  Status keep_pace(std::uint32_t data_records);
  Status in_time() const;

  const IpfixExporterOptions options_;
  const std::unique_ptr<IpfixTransport> transport_;
  std::unique_ptr<IpfixEncoder> encoder_;  // null before the first session
  std::size_t message_size_ = 0;           // of encoder_
  IpfixStatistics statistics_;
  std::vector<std::size_t> first_records_;  // of a batch's messages: how many were taken before each
  std::uint64_t sent_until_ = 0;            // position: what lies before it is with the collector
  bool templates_told_ = false;             // the session has its templates
  std::uint64_t templates_ns_ = 0;          // when templates, or options alone, were sent
  std::uint64_t templates_messages_ = 0;    // statistics_.exported_messages when templates were sent
  std::uint64_t pace_ns_ = 0;               // when the next message may go
  std::atomic<bool> reopen_ = false;
  std::atomic<std::uint64_t> end_ns_ = UINT64_MAX;
};

}  // namespace rheo
