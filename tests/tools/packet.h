// SPDX-License-Identifier: Apache-2.0
// Packet: builds packets from the inside out, each call wrapping what is there in one more header:
// `Packet(18).udp(1, 2).ipv4(kA, kB).vlan(7).ethernet()`. Lengths and next-header fields are right unless
// changed afterwards through bytes(); checksums are 0, as nothing that is tested here reads them. Any thread.
#pragma once

#include <arpa/inet.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace rheo::tests {

/// IPv4 or IPv6 by its text.
using Address = const char*;

struct Ipv4Fields {
  std::uint8_t ttl = 64;
  std::uint8_t tos = 0;
  std::uint16_t id = 0x1234;
  std::uint16_t fragment = 0x4000;  // flags and offset in 8 octets
  std::size_t options = 0;          // bytes, a multiple of 4
};

class Packet {
 public:
  explicit Packet(std::size_t payload = 0, std::uint8_t fill = 0xab) : bytes_(payload, fill) {}

  std::vector<std::uint8_t>& bytes() { return bytes_; }
  const std::vector<std::uint8_t>& bytes() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }

  Packet udp(std::uint16_t source, std::uint16_t destination) {
    return with_ports(17, 8, source, destination, 4, size() + 8);
  }
  Packet udplite(std::uint16_t source, std::uint16_t destination) {
    return with_ports(136, 8, source, destination, 4, 8);
  }
  Packet sctp(std::uint16_t source, std::uint16_t destination) {
    return with_ports(132, 12, source, destination, 4, 0);
  }
  Packet dccp(std::uint16_t source, std::uint16_t destination) {
    return with_ports(33, 12, source, destination, 4, 0);
  }
  Packet tcp(std::uint16_t source, std::uint16_t destination, std::uint16_t flags = 0x10,
             std::size_t options = 0) {
    const auto words = static_cast<std::uint16_t>((20 + options) / 4);
    return with_ports(6, 20 + options, source, destination, 12,
                      static_cast<std::size_t>(words << 12 | flags));
  }
  Packet icmp(std::uint8_t type, std::uint8_t code, std::uint16_t id = 0, bool ipv6 = false) {
    std::vector<std::uint8_t> header(8);
    header[0] = type;
    header[1] = code;
    put16(header, 4, id);
    protocol_ = ipv6 ? 58 : 1;
    return wrap(header);
  }
  Packet icmp6(std::uint8_t type, std::uint8_t code, std::uint16_t id = 0) {
    return icmp(type, code, id, true);
  }
  /// What is there becomes the payload of any IP protocol.
  Packet protocol(std::uint8_t number) {
    protocol_ = number;
    return *this;
  }

  Packet ipv4(Address source, Address destination, Ipv4Fields fields = {}) {
    std::vector<std::uint8_t> header(20 + fields.options);
    header[0] = static_cast<std::uint8_t>(0x40 | header.size() / 4);
    header[1] = fields.tos;
    put16(header, 2, header.size() + size());
    put16(header, 4, fields.id);
    put16(header, 6, fields.fragment);
    header[8] = fields.ttl;
    header[9] = protocol_;
    inet_pton(AF_INET, source, &header[12]);
    inet_pton(AF_INET, destination, &header[16]);
    ethertype_ = 0x0800;
    protocol_ = 4;
    return wrap(header);
  }
  Packet ipv6(Address source, Address destination, std::uint32_t label = 0, std::uint8_t traffic_class = 0) {
    std::vector<std::uint8_t> header(40);
    put32(header, 0, 0x60000000u | static_cast<std::uint32_t>(traffic_class) << 20 | label);
    put16(header, 4, size());
    header[6] = protocol_;
    header[7] = 63;
    inet_pton(AF_INET6, source, &header[8]);
    inet_pton(AF_INET6, destination, &header[24]);
    ethertype_ = 0x86dd;
    protocol_ = 41;
    return wrap(header);
  }
  /// Hop-by-hop 0, routing 43, destination 60, authentication 51: `bytes` long, a multiple of 8.
  Packet extension(std::uint8_t number, std::size_t bytes = 8) {
    std::vector<std::uint8_t> header(bytes);
    header[0] = protocol_;
    header[1] = static_cast<std::uint8_t>(number == 51 ? bytes / 4 - 2 : bytes / 8 - 1);
    protocol_ = number;
    return wrap(header);
  }
  Packet fragment6(std::uint16_t offset, bool more, std::uint32_t id) {
    std::vector<std::uint8_t> header(8);
    header[0] = protocol_;
    put16(header, 2, static_cast<std::size_t>(offset | (more ? 1 : 0)));
    put32(header, 4, id);
    protocol_ = 44;
    return wrap(header);
  }

  Packet vxlan(std::uint32_t vni, std::uint16_t port = 4789) {
    return wrap({0x08, 0, 0, 0, byte(vni, 16), byte(vni, 8), byte(vni, 0), 0}).udp(50000, port);
  }
  Packet geneve(std::uint32_t vni, std::uint16_t protocol, std::size_t options = 0) {
    std::vector<std::uint8_t> header(8 + options);
    header[0] = static_cast<std::uint8_t>(options / 4);
    put16(header, 2, protocol);
    put32(header, 4, vni << 8);
    return wrap(header).udp(50000, 6081);
  }
  /// `flags` as on the wire: 0x8000 checksum, 0x2000 key, 0x1000 sequence.
  Packet gre(std::uint16_t flags, std::uint16_t protocol, std::uint32_t key = 0) {
    std::vector<std::uint8_t> header(4);
    put16(header, 0, flags);
    put16(header, 2, protocol);
    if (flags & 0x8000) header.resize(header.size() + 4);
    if (flags & 0x2000) {
      header.resize(header.size() + 4);
      put32(header, header.size() - 4, key);
    }
    if (flags & 0x1000) header.resize(header.size() + 4);
    protocol_ = 47;
    return wrap(header);
  }

  /// The label nearest to what is there is the bottom of the stack.
  Packet mpls(std::uint32_t label) {
    std::vector<std::uint8_t> header(4);
    put32(header, 0, label << 12 | (ethertype_ == 0x8847 ? 0 : 0x100) | 64);
    ethertype_ = 0x8847;
    return wrap(header);
  }
  Packet vlan(std::uint16_t id, std::uint16_t ethertype = 0x8100) {
    std::vector<std::uint8_t> header(4);
    put16(header, 0, id);
    put16(header, 2, ethertype_);
    ethertype_ = ethertype;
    return wrap(header);
  }
  Packet ethertype(std::uint16_t number) {
    ethertype_ = number;
    return *this;
  }
  Packet ethernet() {
    std::vector<std::uint8_t> header = {2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0, 0};
    put16(header, 12, ethertype_);
    return wrap(header);
  }
  /// As Ethernet does to short frames.
  Packet padded(std::size_t bytes) {
    if (size() < bytes) bytes_.resize(bytes);
    return *this;
  }
  Packet cut(std::size_t bytes) {
    if (size() > bytes) bytes_.resize(bytes);
    return *this;
  }

 private:
  static std::uint8_t byte(std::uint32_t value, unsigned shift) {
    return static_cast<std::uint8_t>(value >> shift);
  }
  static void put16(std::vector<std::uint8_t>& to, std::size_t at, std::size_t value) {
    to[at] = static_cast<std::uint8_t>(value >> 8);
    to[at + 1] = static_cast<std::uint8_t>(value);
  }
  static void put32(std::vector<std::uint8_t>& to, std::size_t at, std::uint32_t value) {
    put16(to, at, value >> 16);
    put16(to, at + 2, value & 0xffff);
  }
  Packet wrap(const std::vector<std::uint8_t>& header) {
    bytes_.insert(bytes_.begin(), header.begin(), header.end());
    return *this;
  }
  Packet with_ports(std::uint8_t protocol, std::size_t bytes, std::uint16_t source, std::uint16_t destination,
                    std::size_t at, std::size_t value) {
    std::vector<std::uint8_t> header(bytes);
    put16(header, at, value);
    put16(header, 0, source);
    put16(header, 2, destination);
    protocol_ = protocol;
    return wrap(header);
  }

  std::vector<std::uint8_t> bytes_;
  std::uint8_t protocol_ = 253;  // for experiments (RFC 3692)
  std::uint16_t ethertype_ = 0x0800;
};

}  // namespace rheo::tests
