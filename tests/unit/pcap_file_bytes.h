// SPDX-License-Identifier: Apache-2.0
// FileBytes: capture files for tests, number by number, so that each can also be wrong. Pure, any thread.
#pragma once

#include <cstdint>
#include <vector>

namespace rheo::tests {

using Bytes = std::vector<std::uint8_t>;

/// Writes numbers in the byte order of the file that is being made.
class FileBytes {
 public:
  explicit FileBytes(bool big_endian = false) : big_endian_(big_endian) {}

  FileBytes& number(std::uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; ++i)
      bytes_.push_back(static_cast<std::uint8_t>(value >> 8 * (big_endian_ ? size - 1 - i : i)));
    return *this;
  }
  FileBytes& u16(std::uint64_t value) { return number(value, 2); }
  FileBytes& u32(std::uint64_t value) { return number(value, 4); }
  FileBytes& raw(const Bytes& more) {
    bytes_.insert(bytes_.end(), more.begin(), more.end());
    return *this;
  }
  FileBytes& pad() {
    while (bytes_.size() % 4 != 0) bytes_.push_back(0);
    return *this;
  }
  FileBytes& option(unsigned code, const Bytes& value) {
    return u16(code).u16(value.size()).raw(value).pad();
  }
  FileBytes& block(std::uint32_t type, const Bytes& body) {
    return u32(type).u32(body.size() + 12).raw(body).u32(body.size() + 12);
  }

  FileBytes& pcap_header(std::uint32_t magic, std::uint32_t link_type, std::uint32_t snap_length = 65535) {
    return u32(magic).u16(2).u16(4).u32(0).u32(0).u32(snap_length).u32(link_type);
  }
  FileBytes& pcap_packet(std::uint32_t seconds, std::uint32_t fraction, const Bytes& packet,
                         std::uint32_t original = 0) {
    return u32(seconds)
        .u32(fraction)
        .u32(packet.size())
        .u32(original != 0 ? original : packet.size())
        .raw(packet);
  }
  FileBytes& section() {
    return block(0x0a0d0d0a,
                 FileBytes(big_endian_).u32(0x1a2b3c4d).u16(1).u16(0).u32(0xffffffff).u32(0xffffffff).get());
  }
  FileBytes& interface(unsigned link_type, const Bytes& options = {}, std::uint32_t snap_length = 0) {
    return block(1, FileBytes(big_endian_).u16(link_type).u16(0).u32(snap_length).raw(options).get());
  }
  FileBytes& enhanced(unsigned interface, std::uint64_t ticks, const Bytes& packet,
                      const Bytes& options = {}) {
    return block(6, FileBytes(big_endian_)
                        .u32(interface)
                        .u32(ticks >> 32)
                        .u32(ticks & 0xffffffff)
                        .u32(packet.size())
                        .u32(packet.size())
                        .raw(packet)
                        .pad()
                        .raw(options)
                        .get());
  }

  const Bytes& get() const { return bytes_; }

 private:
  bool big_endian_;
  Bytes bytes_;
};

}  // namespace rheo::tests
