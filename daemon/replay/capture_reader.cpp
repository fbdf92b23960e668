// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/capture_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "daemon/base/clock.h"

namespace rheo {
namespace {

__extension__ using Wide = __int128;  // products of 64-bit ticks and 10^9

constexpr std::uint32_t kPcapMicroseconds = 0xa1b2c3d4;
constexpr std::uint32_t kPcapNanoseconds = 0xa1b23c4d;
constexpr std::uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr std::size_t kPcapHeader = 24;
constexpr std::size_t kPcapRecord = 16;

// Block types of pcapng.
constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr std::uint32_t kInterfaceDescription = 1;
constexpr std::uint32_t kObsoletePacket = 2;
constexpr std::uint32_t kSimplePacket = 3;
constexpr std::uint32_t kEnhancedPacket = 6;

// libpcap's own limit of a captured length; a file's header may ask for more.
constexpr std::uint32_t kUsualLargestPacket = 262'144;
constexpr std::uint32_t kLargestBlock = 16U << 20U;
constexpr std::size_t kMostInterfaces = 65'536;
constexpr std::size_t kLongestName = 64;

struct Compression {
  std::string_view magic;
  std::string_view name;
};
constexpr Compression kCompressions[] = {
    {std::string_view("\x1f\x8b", 2), "gzip"},
    {std::string_view("\x28\xb5\x2f\xfd", 4), "zstd"},
    {std::string_view("\xfd"
                      "7zXZ\0",
                      6),
     "xz"},
    {std::string_view("BZh", 3), "bzip2"},
    {std::string_view("\x04\x22\x4d\x18", 4), "lz4"},
};

std::uint32_t native_u32(std::span<const std::uint8_t> bytes, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

/// Nanoseconds since 1970, within 0 and INT64_MAX whatever the file says.
std::uint64_t clamp_time(Wide time_ns) {
  constexpr Wide latest = std::numeric_limits<std::int64_t>::max();
  return static_cast<std::uint64_t>(std::clamp<Wide>(time_ns, 0, latest));
}

Wide power_of_ten(unsigned exponent) {
  Wide power = 1;
  while (exponent-- > 0) power *= 10;
  return power;
}

std::uint64_t scaled_time(std::uint64_t ticks, std::uint8_t resolution, std::int64_t offset_s) {
  const unsigned exponent = resolution & 0x7fU;
  Wide time_ns = 0;
  if ((resolution & 0x80U) != 0) {
    time_ns = static_cast<Wide>(ticks) * kNanosecondsPerSecond >> exponent;
  } else if (exponent <= 9) {
    time_ns = static_cast<Wide>(ticks) * power_of_ten(9 - exponent);
  } else if (exponent <= 28) {  // beyond, 64 bits of ticks are less than a nanosecond
    time_ns = static_cast<Wide>(ticks) / power_of_ten(exponent - 9);
  }
  return clamp_time(time_ns + static_cast<Wide>(offset_s) * kNanosecondsPerSecond);
}

std::string printable(std::span<const std::uint8_t> text) {
  std::string name;
  for (const std::uint8_t byte : text.first(std::min(text.size(), kLongestName))) {
    if (byte == 0) break;
    name += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '?';
  }
  return name;
}

constexpr std::size_t padded(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

}  // namespace

Result<CaptureReader> CaptureReader::open(const std::string& path) {
  auto source = ByteSource::open(path);
  if (!source) return forward(std::move(source));
  return begin(*std::move(source), path);
}

Result<CaptureReader> CaptureReader::over(std::span<const std::uint8_t> capture, std::string name) {
  return begin(ByteSource(capture), std::move(name));
}

Result<CaptureReader> CaptureReader::begin(ByteSource source, std::string name) {
  CaptureReader reader(std::move(source), std::move(name));
  if (auto read = reader.read_file_header(); !read) return forward(std::move(read));
  return reader;
}

Result<std::optional<CapturedPacket>> CaptureReader::next() {
  if (failed_) return std::unexpected(*failed_);
  auto packet = pcapng_ ? next_pcapng() : next_pcap();
  if (!packet) failed_ = packet.error();
  return packet;
}

Status CaptureReader::read_file_header() {
  const auto head = source_.peek(8);
  if (!head) return unreadable(head.error());
  const std::string_view text(reinterpret_cast<const char*>(head->data()), head->size());
  for (const Compression& compression : kCompressions) {
    if (text.starts_with(compression.magic))
      return failure(fmt::format("{}: is compressed with {}: decompress it first", name_, compression.name));
  }
  if (head->size() < 4)
    return failure(fmt::format("{}: is no pcap or pcapng capture: only {} bytes", name_, head->size()));

  const std::uint32_t magic = native_u32(*head, 0);
  if (magic == kSectionHeader) {
    pcapng_ = true;
    return Done{};
  }
  for (const bool swap : {false, true}) {
    const std::uint32_t value = swap ? std::byteswap(magic) : magic;
    if (value != kPcapMicroseconds && value != kPcapNanoseconds) continue;
    swapped_ = swap;
    nanoseconds_ = value == kPcapNanoseconds;
    return read_pcap_header();
  }
  return failure(fmt::format("{}: is no pcap or pcapng capture: it begins with {:02x} {:02x} {:02x} {:02x}",
                             name_, (*head)[0], (*head)[1], (*head)[2], (*head)[3]));
}

Status CaptureReader::read_pcap_header() {
  const auto header = source_.peek(kPcapHeader);
  if (!header) return unreadable(header.error());
  if (header->size() < kPcapHeader) return damaged("the file ends inside its header");
  const std::uint16_t major = u16(*header, 4);
  if (major != 2) return damaged(fmt::format("pcap version {} is not known, only 2", major));
  largest_ = std::clamp(u32(*header, 16), kUsualLargestPacket, kLargestBlock);
  // The high bits tell of a frame check sequence.
  interfaces_.push_back({.name = "", .link_type = u32(*header, 20) & 0xffffU, .number_in_section = 0});
  pending_ = kPcapHeader;
  return Done{};
}

Result<CaptureReader::MaybePacket> CaptureReader::next_pcap() {
  if (auto skipped = source_.skip(std::exchange(pending_, 0)); !skipped) return unreadable(skipped.error());
  const auto record = source_.peek(kPcapRecord);
  if (!record) return unreadable(record.error());
  if (record->empty()) return std::nullopt;
  if (record->size() < kPcapRecord) return damaged("the file ends inside a packet's header");

  const std::uint64_t seconds = u32(*record, 0);
  const std::uint64_t fraction = u32(*record, 4);
  const std::uint32_t captured = u32(*record, 8);
  const std::uint32_t original = u32(*record, 12);
  if (captured > largest_)
    return damaged(
        fmt::format("a packet of {} captured bytes, more than the file's limit of {}", captured, largest_));

  const auto whole = source_.peek(kPcapRecord + captured);
  if (!whole) return unreadable(whole.error());
  if (whole->size() < kPcapRecord + captured)
    return damaged(fmt::format("the file ends inside a packet of {} captured bytes", captured));
  pending_ = whole->size();
  return CapturedPacket{
      .time_ns = seconds * kNanosecondsPerSecond + (nanoseconds_ ? fraction : fraction * 1000),
      .bytes = whole->subspan(kPcapRecord),
      .original_length = std::max(original, captured),
      .link_type = interfaces_[0].link_type,
      .interface = 0,
      .direction = PacketDirection::unknown};
}

/// Moves over blocks until one is a packet.
Result<CaptureReader::MaybePacket> CaptureReader::next_pcapng() {
  while (true) {
    if (auto skipped = source_.skip(std::exchange(pending_, 0)); !skipped) return unreadable(skipped.error());
    const auto head = source_.peek(12);
    if (!head) return unreadable(head.error());
    if (head->empty()) return std::nullopt;
    if (head->size() < 12) return damaged("the file ends inside a block's header");

    // The section header's type reads the same in both byte orders.
    if (native_u32(*head, 0) == kSectionHeader) {
      if (auto read = read_section_header(); !read) return forward(std::move(read));
      continue;
    }
    const std::uint32_t type = u32(*head, 0);
    const std::uint32_t total = u32(*head, 4);
    if (type != kInterfaceDescription && type != kObsoletePacket && type != kSimplePacket &&
        type != kEnhancedPacket) {
      if (auto skipped = skip_block(total); !skipped) return forward(std::move(skipped));
      continue;
    }
    const auto body = peek_block(total);
    if (!body) return std::unexpected(body.error());
    pending_ = total;
    if (type == kSimplePacket) return read_simple_packet(*body);
    if (type != kInterfaceDescription) return read_packet(type, *body);
    if (auto read = read_interface(*body); !read) return forward(std::move(read));
  }
}

Status CaptureReader::read_section_header() {
  const auto head = source_.peek(16);
  if (!head) return unreadable(head.error());
  if (head->size() < 16) return damaged("the file ends inside a section header");
  const std::uint32_t magic = native_u32(*head, 8);
  if (magic != kByteOrderMagic && std::byteswap(magic) != kByteOrderMagic)
    return damaged(fmt::format("a section header with the byte-order magic {:#010x}", magic));
  swapped_ = magic != kByteOrderMagic;
  const std::uint16_t major = u16(*head, 12);
  if (major != 1) return damaged(fmt::format("pcapng version {} is not known, only 1", major));
  section_first_ = interfaces_.size();
  return skip_block(u32(*head, 4));
}

/// Moves past a block of any length without holding it in memory.
Status CaptureReader::skip_block(std::uint32_t total) {
  if (total < 12 || total % 4 != 0) return damaged(fmt::format("a block of length {}", total));
  const std::uint64_t begin = source_.offset();
  auto skipped = source_.skip(total - 4);
  if (!skipped) return unreadable(std::move(skipped).error());
  const auto trailer = source_.peek(4);
  if (!trailer) return unreadable(trailer.error());
  if (!*skipped || trailer->size() < 4)
    return damaged_at(begin, fmt::format("the file ends inside a block of {} bytes", total));
  if (u32(*trailer, 0) != total)
    return damaged_at(begin,
                      fmt::format("a block has length {} in front and {} behind", total, u32(*trailer, 0)));
  pending_ = 4;
  return Done{};
}

/// The bytes of a block between its two lengths. Nothing is moved past.
Result<CaptureReader::Bytes> CaptureReader::peek_block(std::uint32_t total) {
  if (total < 12 || total % 4 != 0 || total > kLargestBlock)
    return damaged(fmt::format("a block of length {}", total));
  const auto block = source_.peek(total);
  if (!block) return unreadable(block.error());
  if (block->size() < total) return damaged(fmt::format("the file ends inside a block of {} bytes", total));
  if (u32(*block, total - 4) != total)
    return damaged(
        fmt::format("a block has length {} in front and {} behind", total, u32(*block, total - 4)));
  return block->subspan(8, total - 12);
}

Status CaptureReader::read_interface(Bytes body) {
  if (body.size() < 8) return damaged("an interface description that is too short");
  if (interfaces_.size() == kMostInterfaces)
    return damaged(fmt::format("more than {} interfaces", kMostInterfaces));
  CaptureInterface interface{
      .name = "",
      .link_type = u16(body, 0),
      .number_in_section = static_cast<std::uint32_t>(interfaces_.size() - section_first_)};
  TimeScale scale{.snap_length = u32(body, 4)};
  if (auto read = read_interface_options(body.subspan(8), interface, scale); !read) return read;
  interfaces_.push_back(std::move(interface));
  scales_.push_back(scale);
  return Done{};
}

Status CaptureReader::read_interface_options(Bytes options, CaptureInterface& interface,
                                             TimeScale& scale) const {
  constexpr std::uint16_t end_of_options = 0;
  constexpr std::uint16_t if_name = 2;
  constexpr std::uint16_t if_tsresol = 9;
  constexpr std::uint16_t if_tsoffset = 14;
  while (options.size() >= 4) {
    const std::uint16_t code = u16(options, 0);
    const std::size_t length = u16(options, 2);
    if (code == end_of_options) break;
    if (padded(length) > options.size() - 4)
      return damaged("an interface description whose options are longer than it");
    const Bytes value = options.subspan(4, length);
    if (code == if_name) interface.name = printable(value);
    if (code == if_tsresol && length == 1) scale.resolution = value[0];
    if (code == if_tsoffset && length == 8) {
      std::uint64_t offset_s = 0;
      std::memcpy(&offset_s, value.data(), sizeof offset_s);
      scale.offset_s = static_cast<std::int64_t>(swapped_ ? std::byteswap(offset_s) : offset_s);
    }
    options = options.subspan(4 + padded(length));
  }
  return Done{};
}

/// An enhanced packet block, or the packet block that it replaced.
Result<CaptureReader::MaybePacket> CaptureReader::read_packet(std::uint32_t type, Bytes body) {
  constexpr std::size_t header = 20;  // both kinds
  if (body.size() < header) return damaged("a packet block that is too short");
  const std::size_t number = section_first_ + (type == kEnhancedPacket ? u32(body, 0) : u16(body, 0));
  if (number >= interfaces_.size())
    return damaged(
        fmt::format("a packet of interface {}, which the file does not describe", number - section_first_));
  const std::uint32_t captured = u32(body, 12);
  if (captured > body.size() - header || padded(captured) > body.size() - header)
    return damaged(fmt::format("a packet of {} captured bytes in a block of {}", captured, body.size() + 12));

  const TimeScale& scale = scales_[number];
  const std::uint64_t ticks = static_cast<std::uint64_t>(u32(body, 4)) << 32U | u32(body, 8);
  last_time_ns_ = scaled_time(ticks, scale.resolution, scale.offset_s);
  return CapturedPacket{.time_ns = last_time_ns_,
                        .bytes = body.subspan(header, captured),
                        .original_length = std::max(u32(body, 16), captured),
                        .link_type = interfaces_[number].link_type,
                        .interface = static_cast<std::uint32_t>(number),
                        .direction = packet_direction(body.subspan(header + padded(captured)))};
}

/// What the flags option of a packet says; options that make no sense say nothing.
PacketDirection CaptureReader::packet_direction(Bytes options) const {
  constexpr std::uint16_t packet_flags = 2;
  while (options.size() >= 4) {
    const std::uint16_t code = u16(options, 0);
    const std::size_t length = u16(options, 2);
    if (code == 0 || padded(length) > options.size() - 4) break;
    if (code == packet_flags && length == 4) {
      const std::uint32_t direction = u32(options, 4) & 3U;
      return direction == 1   ? PacketDirection::inbound
             : direction == 2 ? PacketDirection::outbound
                              : PacketDirection::unknown;
    }
    options = options.subspan(4 + padded(length));
  }
  return PacketDirection::unknown;
}

/// A simple packet block: interface 0, and no time but that of the packet before.
Result<CaptureReader::MaybePacket> CaptureReader::read_simple_packet(Bytes body) {
  if (body.size() < 4) return damaged("a packet block that is too short");
  if (section_first_ >= interfaces_.size())
    return damaged("a packet of interface 0, which the file does not describe");
  const std::uint32_t original = u32(body, 0);
  const std::uint32_t snap_length = scales_[section_first_].snap_length;
  const std::uint32_t captured = snap_length == 0 ? original : std::min(original, snap_length);
  if (captured > body.size() - 4)
    return damaged(fmt::format("a packet of {} captured bytes in a block of {}", captured, body.size() + 12));
  return CapturedPacket{.time_ns = last_time_ns_,
                        .bytes = body.subspan(4, captured),
                        .original_length = original,
                        .link_type = interfaces_[section_first_].link_type,
                        .interface = static_cast<std::uint32_t>(section_first_),
                        .direction = PacketDirection::unknown};
}

std::unexpected<Error> CaptureReader::damaged(const std::string& how) const {
  return damaged_at(source_.offset(), how);
}

std::unexpected<Error> CaptureReader::damaged_at(std::uint64_t offset, const std::string& how) const {
  return failure(fmt::format("{}: damaged at byte {}: {}", name_, offset, how),
                 std::errc::illegal_byte_sequence);
}

std::unexpected<Error> CaptureReader::unreadable(Error error) const {
  return std::unexpected(std::move(error).within(fmt::format("{}: at byte {}", name_, source_.offset())));
}

std::uint16_t CaptureReader::u16(Bytes bytes, std::size_t at) const {
  std::uint16_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return swapped_ ? std::byteswap(value) : value;
}

std::uint32_t CaptureReader::u32(Bytes bytes, std::size_t at) const {
  const std::uint32_t value = native_u32(bytes, at);
  return swapped_ ? std::byteswap(value) : value;
}

}  // namespace rheo
