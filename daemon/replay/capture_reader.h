// SPDX-License-Identifier: Apache-2.0
// CaptureReader: the packets of a pcap or pcapng file, from front to back. Every length in the file is taken
// for hostile; memory is bounded by the largest packet allowed and by the number of interfaces. One thread.
//
// Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, https://www.tcpdump.org/linktypes.html
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/replay/byte_source.h"

namespace rheo {

struct CaptureInterface {
  std::string name;  // empty: the file does not say; else at most 64 printable characters
  std::uint32_t link_type = 0;
  std::uint32_t number_in_section = 0;
};

enum class PacketDirection : std::uint8_t { unknown, inbound, outbound };

struct CapturedPacket {
  std::uint64_t time_ns = 0;            // since 1970, at most INT64_MAX
  std::span<const std::uint8_t> bytes;  // what was captured; good until the next call of next()
  std::uint32_t original_length = 0;    // >= bytes.size()
  std::uint32_t link_type = 0;          // LINKTYPE_*
  std::uint32_t interface = 0;          // index into interfaces()
  PacketDirection direction = PacketDirection::unknown;
};

class CaptureReader {
 public:
  static Result<CaptureReader> open(const std::string& path);

  /// Over memory that must outlive the reader; `name` is for error messages.
  static Result<CaptureReader> over(std::span<const std::uint8_t> capture, std::string name);

  /// The next packet, or nothing at the end of the file. An error names the file and the byte where the
  /// damaged packet or block begins; it is final and comes after every packet before the damage.
  Result<std::optional<CapturedPacket>> next();

  /// All interfaces met so far, of all sections of the file.
  const std::vector<CaptureInterface>& interfaces() const { return interfaces_; }

  const std::string& name() const { return name_; }

 private:
  using Bytes = std::span<const std::uint8_t>;
  using MaybePacket = std::optional<CapturedPacket>;

  /// How an interface counts time (pcapng).
  struct TimeScale {
    std::uint8_t resolution = 6;    // if_tsresol: units of 10^-n s; of 2^-n s where the high bit is set
    std::int64_t offset_s = 0;      // if_tsoffset
    std::uint32_t snap_length = 0;  // 0: none
  };

  CaptureReader(ByteSource source, std::string name) : source_(std::move(source)), name_(std::move(name)) {}
  static Result<CaptureReader> begin(ByteSource source, std::string name);

  Status read_file_header();
  Status read_pcap_header();
  Result<MaybePacket> next_pcap();
  Result<MaybePacket> next_pcapng();
  Status read_section_header();
  Status skip_block(std::uint32_t total);
  Result<Bytes> peek_block(std::uint32_t total);
  Status read_interface(Bytes body);
  Status read_interface_options(Bytes options, CaptureInterface& interface, TimeScale& scale) const;
  Result<MaybePacket> read_packet(std::uint32_t type, Bytes body);
  Result<MaybePacket> read_simple_packet(Bytes body);
  PacketDirection packet_direction(Bytes options) const;

  std::unexpected<Error> damaged(const std::string& how) const;
  std::unexpected<Error> damaged_at(std::uint64_t offset, const std::string& how) const;
  std::unexpected<Error> unreadable(Error error) const;
  std::uint16_t u16(Bytes bytes, std::size_t at) const;
  std::uint32_t u32(Bytes bytes, std::size_t at) const;

  ByteSource source_;
  std::string name_;
  bool pcapng_ = false;
  bool swapped_ = false;            // the file's (or section's) byte order is not the host's
  bool nanoseconds_ = false;        // pcap
  std::uint32_t largest_ = 0;       // pcap: captured length that is believed
  std::uint64_t pending_ = 0;       // bytes of the packet handed out last, not moved past yet
  std::uint64_t last_time_ns_ = 0;  // of the packet before, for simple packet blocks, which have none
  std::size_t section_first_ = 0;   // the section's interface 0 in interfaces_
  std::vector<CaptureInterface> interfaces_;
  std::vector<TimeScale> scales_;  // beside interfaces_
  std::optional<Error> failed_;
};

}  // namespace rheo
