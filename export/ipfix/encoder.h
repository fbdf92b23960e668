// SPDX-License-Identifier: Apache-2.0
// IpfixEncoder: turns flow records into IPFIX messages (RFC 7011, biflows by RFC 5103). libfixbuf writes the
// templates and the records; when a message ends, what it is numbered and where it goes is decided here,
// since libfixbuf's own transports block and reconnect silently. One encoder is one transport session's state
// and opens nothing itself. Its lane's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/snapshot.h"
#include "daemon/model/address_classes.h"
#include "daemon/model/flow_record.h"
#include "daemon/model/link.h"
#include "daemon/model/owner.h"

namespace rheo {

enum class IpfixBiflow : std::uint8_t {
  rfc5103,  // one data record a biflow, the responder's side in reverse elements
  split,    // a data record for each direction that has packets, for collectors without RFC 5103
};

enum class IpfixProfile : std::uint8_t { compact, standard, full };

/// Until one is assigned: the number for documentation (RFC 5612).
inline constexpr std::uint32_t kDocumentationPen = 32'473;

struct IpfixEncoderOptions {
  std::uint32_t observation_domain = 1;
  IpfixBiflow biflow = IpfixBiflow::rfc5103;
  IpfixProfile profile = IpfixProfile::standard;
  std::vector<std::string> add = {};     // names of elements on top of the profile
  std::vector<std::string> remove = {};  // and out of it
  std::uint32_t pen = kDocumentationPen;
  std::size_t max_message_size = 1'420;  // octets of a message, 512 to 65,535
  std::uint16_t community_id_seed = 0;
  std::uint32_t sample_one_in = 1;  // packets; announced, never multiplied into a counter
  const Snapshot<LinkTable>& links;
  const Snapshot<AddressClasses>* classes = nullptr;  // null: not known
  Owners* owners = nullptr;                           // of sockets; null: nobody knows them
};

/// A reason for which packets are in no record, and how many.
struct IpfixLoss {
  std::string name;  // the first 32 octets are told
  std::uint64_t packets = 0;
  std::uint64_t octets = 0;  // layer 2
  bool is_ip = true;         // false: not among the packets that were to be metered
};

/// What the statistics options say. What was exported are sums since the exporter was made.
struct IpfixStatistics {
  std::uint64_t exported_messages = 0;
  std::uint64_t exported_octets = 0;  // of whole messages
  std::uint64_t exported_records = 0;
  std::uint64_t not_sent_records = 0;  // overtaken in the outbox, or refused for good
  std::uint64_t not_sent_packets = 0;
  std::uint64_t not_sent_octets = 0;  // layer 3
  std::uint64_t observed_flows = 0;
  std::vector<IpfixLoss> losses = {};  // of the metering process: not_ip, truncated, …
};

/// Takes one complete message, valid until it returns, and how many data records are in it; 0: templates.
using IpfixSink = std::function<Status(std::span<const std::byte> message, std::uint32_t data_records)>;

class IpfixEncoder {
 public:
  /// Fails with one sentence on an unknown element, a profile with nothing left, or messages too small for
  /// the elements chosen. The first call of encode() begins a session.
  static Result<std::unique_ptr<IpfixEncoder>> create(const IpfixEncoderOptions& options);

  virtual ~IpfixEncoder() = default;

  /// The next encode() is the first of a new transport session: sequence numbers from 0, templates and
  /// options before any record.
  virtual void begin_session() = 0;

  /// The next encode() sends all templates and options again, within the same session (RFC 7011 8.4).
  virtual void refresh_templates() = 0;

  /// The next encode() sends all options again, without templates.
  virtual void refresh_options() = 0;

  /// Calls `sink` with each message; stops at the first failure and returns it. `taken` is how many of
  /// `records`, from the front, lie in messages that the sink took, also on failure: a message holds
  /// consecutive records, grouped by template within it, so what is repeated afterwards was never sent.
  /// Without begin_session() after a failure the numbering goes on where the last message taken ended, and
  /// templates that were not taken are sent again. Empty `records`: only templates and options that are due.
  virtual Status encode(std::span<const FlowRecord> records, const IpfixStatistics& statistics,
                        const IpfixSink& sink, std::size_t& taken) = 0;
};

}  // namespace rheo
