// SPDX-License-Identifier: Apache-2.0
// SpoolEntry: how one request lies in a file of a spool: its head, its packed octets, its head again. The
// heads have a sum of their own, so that what a damaged entry counted for is known as long as one of the two
// can be read, and the entries behind it are found again. What is read is hostile. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/model/flow_record.h"

namespace rheo {

/// Octets of a request, unpacked. No exporter makes such a one; more than that in a head is damage.
inline constexpr std::uint32_t kMaxSpooledRequest = 64U << 20U;

/// In this host's byte order: the file never leaves it.
struct SpoolHead {
  static constexpr std::uint64_t kMagic = 0x32'4c'4f'4f'50'53'52'4fU;  // "ORSPOOL2"
  static constexpr std::uint32_t kOpen = 0x4e'45'50'4fU;               // "OPEN"
  static constexpr std::uint32_t kDone = 0x45'4e'4f'44U;               // "DONE"

  std::uint64_t magic = kMagic;
  std::uint32_t packed_size = 0;
  std::uint32_t size = 0;
  std::uint64_t records = 0;
  FlowCounts counts;
  std::array<char, 40> boot{};   // id of the boot that wrote it, zeros behind it
  std::uint32_t behind = 0;      // 1: this is the copy behind the octets
  std::uint32_t packed_sum = 0;  // CRC-32 of the packed octets
  std::uint32_t sum = 0;         // CRC-32 of all above
  std::uint32_t state = kOpen;   // written again in place: what is not kDone is open
};
static_assert(sizeof(SpoolHead) == 104);

struct SpoolEntry {
  SpoolHead head;
  std::uint64_t offset = 0;  // in the file

  std::uint64_t octets() const { return offset + sizeof(SpoolHead); }
  std::uint64_t behind() const { return octets() + head.packed_size; }
  std::uint64_t end() const { return behind() + sizeof(SpoolHead); }
  bool done() const { return head.state == SpoolHead::kDone; }
};

/// The first entry at or after the offset of which a head can be read; it may end behind the file's end.
std::optional<SpoolEntry> next_spool_entry(int fd, std::uint64_t offset, std::uint64_t file_size);

/// The request; nothing where its octets are not the ones that were written.
std::optional<std::string> read_spooled(int fd, const SpoolEntry& entry);

/// Not read again, as far as the disk remembers it.
void mark_done(int fd, const SpoolEntry& entry);

/// The octets of a whole entry.
std::string pack_spool_entry(std::span<const std::byte> request, std::uint64_t records,
                             const FlowCounts& counts, std::string_view boot);

}  // namespace rheo
