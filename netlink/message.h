// SPDX-License-Identifier: Apache-2.0
// Message: a bounds-checked look into the bytes of one netlink message. Pure, any thread; the bytes must
// outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

namespace rheo {

/// A run of netlink attributes, one after the other.
class Attributes {
 public:
  explicit Attributes(std::span<const std::byte> bytes) : bytes_(bytes) {}

  /// The payload of the last attribute of this type, as the kernel's own readers take it. Attributes from the
  /// first malformed one on do not exist.
  std::optional<std::span<const std::byte>> find(std::uint16_t type) const;

  /// The payload as a number; nothing where it is absent or shorter.
  template <class T>
  std::optional<T> number(std::uint16_t type) const {
    static_assert(std::is_integral_v<T>);
    const auto payload = find(type);
    if (!payload || payload->size() < sizeof(T)) return std::nullopt;
    T value{};
    std::memcpy(&value, payload->data(), sizeof(T));
    return value;
  }

  /// The payload as text up to its first NUL; "" where it is absent.
  std::string text(std::uint16_t type) const;

 private:
  std::span<const std::byte> bytes_;
};

/// Type of the message, its fixed part of type T (struct ifinfomsg, …) and the attributes behind it.
template <class T>
struct Message {
  std::uint16_t type;
  T fixed;
  Attributes attributes;
};

/// The type and the payload behind the netlink header; nothing where the message is shorter than it says.
struct Payload {
  std::uint16_t type;
  std::span<const std::byte> bytes;
};
std::optional<Payload> read_payload(std::span<const std::byte> message);

/// Nothing where the message is too short for its header, for what its header says, or for T.
template <class T>
std::optional<Message<T>> read_message(std::span<const std::byte> message) {
  static_assert(std::is_trivially_copyable_v<T>);
  constexpr std::size_t kFixed = (sizeof(T) + 3U) & ~std::size_t{3};  // NLMSG_ALIGN
  const auto payload = read_payload(message);
  if (!payload || payload->bytes.size() < sizeof(T)) return std::nullopt;

  T fixed{};
  std::memcpy(&fixed, payload->bytes.data(), sizeof(T));
  const auto rest =
      payload->bytes.size() > kFixed ? payload->bytes.subspan(kFixed) : std::span<const std::byte>();
  return Message<T>{payload->type, fixed, Attributes(rest)};
}

}  // namespace rheo
