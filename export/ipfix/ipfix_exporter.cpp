// SPDX-License-Identifier: Apache-2.0
#include "export/ipfix/ipfix_exporter.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "daemon/base/clock.h"

namespace rheo {
namespace {

// Of a path with a larger MTU, such as loopback. A socket buffer is charged for powers of two and some
// hundred octets more: the usual 208 KiB hold 12 messages of 8,192 octets, 98 KB, but 48 of 3,600, 173 KB.
constexpr std::size_t kLargestDatagram = 3'600;
// Messages that are late, because nobody had a CPU for us, follow at once, but no more than belong to this
// time: whoever reads them may have had none either.
constexpr std::uint64_t kLateNs = kNanosecondsPerSecond / 100;
// How often the wait for a slow pace looks whether its time is over.
constexpr std::uint64_t kEndStepNs = kNanosecondsPerSecond / 20;

Result<std::unique_ptr<IpfixEncoder>> make_encoder(IpfixEncoderOptions options, std::size_t message_size) {
  options.max_message_size = message_size;
  return IpfixEncoder::create(options);
}

}  // namespace

Result<std::unique_ptr<IpfixExporter>> IpfixExporter::create(const IpfixExporterOptions& options) {
  auto transport = make_ipfix_transport(options.transport);
  if (!transport) return forward(std::move(transport));
  const std::size_t configured = options.transport.max_message_size;
  auto tried = make_encoder(options.encoder, configured != 0 ? configured : options.encoder.max_message_size);
  if (!tried) return forward(std::move(tried));
  return std::unique_ptr<IpfixExporter>(new IpfixExporter(options, *std::move(transport)));
}

IpfixExporter::IpfixExporter(const IpfixExporterOptions& options, std::unique_ptr<IpfixTransport> transport)
    : options_(options), transport_(std::move(transport)) {}

Status IpfixExporter::open() {
  if (reopen_.exchange(false) && transport_->takes_back_batch()) transport_->close();
  Result<bool> fresh = transport_->prepare();
  if (!fresh) return forward(std::move(fresh));
  note_metering();
  return *fresh || !encoder_ ? begin_session() : Status(Done{});
}

Status IpfixExporter::begin_session() {
  std::size_t size = transport_->max_message_size();
  if (transport_->unreliable() && options_.transport.max_message_size == 0)
    size = std::min(size, kLargestDatagram);
  if (!encoder_ || size != message_size_) {
    auto made = make_encoder(options_.encoder, size);
    if (!made) {
      encoder_ = nullptr;  // the next open() tries again
      return forward(std::move(made), options_.transport.endpoint.text);
    }
    encoder_ = *std::move(made);
    message_size_ = size;
  }
  encoder_->begin_session();
  templates_told_ = false;
  templates_ns_ = monotonic_ns();
  templates_messages_ = statistics_.exported_messages;
  return Done{};
}

void IpfixExporter::note_losses(const RecordLosses& lost) {
  statistics_.not_sent_records = lost.records;
  statistics_.not_sent_packets = lost.counts.packets;
  statistics_.not_sent_octets = lost.counts.l3_bytes;
}

void IpfixExporter::note_metering() {
  const std::shared_ptr<const MeteringCounters> metering = options_.metering.get();
  statistics_.observed_flows = metering->table.flows_made;
  statistics_.losses.clear();
  for (const NamedLoss& loss : kNamedLosses) {
    const LossCount& count = metering->datapath.*loss.count;
    statistics_.losses.push_back({loss.name, count.packets, count.bytes, loss.is_ip});
  }
}

bool IpfixExporter::is_refresh_due() const {
  const auto interval = static_cast<std::uint64_t>(options_.template_refresh.count());
  return interval != 0 && monotonic_ns() - templates_ns_ >= interval;
}

void IpfixExporter::refresh_where_due() {
  const bool by_time = is_refresh_due();
  const bool by_messages =
      options_.template_refresh_messages != 0 &&
      statistics_.exported_messages - templates_messages_ >= options_.template_refresh_messages;
  if (!transport_->unreliable()) {  // RFC 7011 8.1: templates are sent once a session
    if (!by_time) return;
    encoder_->refresh_options();
  } else {
    if (!transport_->peer_may_have_restarted() && !by_time && !by_messages) return;
    encoder_->refresh_templates();
  }
  templates_ns_ = monotonic_ns();
  templates_messages_ = statistics_.exported_messages;
}

/// An ICMP error is left for the next record: it may be the answer to these very templates.
Status IpfixExporter::idle() {
  if (!encoder_ || !transport_->unreliable()) return Done{};
  if (templates_told_ && !is_refresh_due()) return Done{};
  if (Status opened = open(); !opened) return opened;
  std::size_t none = 0;
  return send({}, none);
}

Status IpfixExporter::write(const FlowBatch& batch) {
  if (!encoder_) return failure("write to " + options_.transport.endpoint.text + ": not open");
  std::size_t done = 0;
  if (!transport_->takes_back_batch() && sent_until_ > batch.first_position)
    done = std::min(static_cast<std::size_t>(sent_until_ - batch.first_position), batch.size());
  std::size_t taken = 0;
  const IpfixStatistics before = statistics_;
  Status sent = send(std::span(batch.records).subspan(done), taken);
  if (sent) sent = transport_->confirm();
  if (!sent && transport_->takes_back_batch()) {
    statistics_ = before;
    return sent;
  }
  if (!sent) {
    const std::size_t arrived = arrived_of(taken);
    statistics_.exported_records -= taken - arrived;  // they are counted when they are sent again
    taken = arrived;
  }
  sent_until_ = std::max(sent_until_, batch.first_position + done + taken);
  return sent;
}

/// Those of the records taken that lie before the first message which may not have arrived.
std::size_t IpfixExporter::arrived_of(std::size_t taken) const {
  const std::size_t lost = std::min(transport_->unconfirmed(), first_records_.size());
  return lost == 0 ? taken : first_records_[first_records_.size() - lost];
}

Status IpfixExporter::send(std::span<const FlowRecord> records, std::size_t& taken) {
  refresh_where_due();
  first_records_.clear();
  const IpfixSink sink = [this, &taken](std::span<const std::byte> message, std::uint32_t data_records) {
    Status sent = send_message(message, data_records);
    if (sent) first_records_.push_back(taken);
    return sent;
  };
  Status encoded = encoder_->encode(records, statistics_, sink, taken);
  statistics_.exported_records += taken;
  templates_told_ = encoded.has_value();
  if (!encoded) transport_->abandon_batch();  // whatever failed, the next session begins with templates
  return encoded;
}

Status IpfixExporter::send_message(std::span<const std::byte> message, std::uint32_t data_records) {
  const bool paced = options_.rate_limit != 0 && transport_->unreliable();
  if (Status go = paced ? keep_pace(data_records) : in_time(); !go) return go;
  Status sent = transport_->send(message);
  if (!sent) return sent;
  ++statistics_.exported_messages;
  statistics_.exported_octets += message.size();
  return sent;
}

/// Each message has its own deadline, but a slow collector has that of every message of a batch. What was
/// sent of an unfinished batch is sent again by the next process, so it is given the time of one message.
Status IpfixExporter::in_time() const {
  const auto grace = static_cast<std::uint64_t>(options_.transport.write_timeout.count());
  const std::uint64_t now = monotonic_ns();
  if (now < grace || now - grace < end_ns_ || transport_->takes_back_batch()) return Done{};
  return failure("send to " + options_.transport.endpoint.text + ": there is no more time to send the rest",
                 std::errc::timed_out);
}

/// Message by message: bursts are what a collector's socket buffer cannot take.
Status IpfixExporter::keep_pace(std::uint32_t data_records) {
  std::uint64_t now = monotonic_ns();
  for (; now < pace_ns_; now = monotonic_ns()) {
    if (Status go = in_time(); !go) return go;
    std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(pace_ns_ - now, kEndStepNs)));
  }
  pace_ns_ = std::max(pace_ns_, now - std::min(now, kLateNs)) +
             data_records * kNanosecondsPerSecond / options_.rate_limit;
  return in_time();
}

}  // namespace rheo
