// SPDX-License-Identifier: Apache-2.0
// JsonText: writes JSON values into memory that is large enough, without allocating. Any thread.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "daemon/model/flow_record.h"

namespace rheo {

class JsonText {
 public:
  /// Writes from `at` on; the caller knows that there is room.
  explicit JsonText(char* at) : at_(at) {}

  char* at() const { return at_; }

  void raw(char c) { *at_++ = c; }
  void raw(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void integer(std::uint64_t value) { at_ = std::to_chars(at_, at_ + 20, value).ptr; }

  /// In quotes, for words that need no escapes.
  void word(std::string_view text) {
    raw('"');
    raw(text);
    raw('"');
  }

  /// In quotes, for text that others chose: control characters are escaped, also those that JSON would
  /// allow but a terminal would obey; bytes that are not UTF-8 become U+FFFD. At most six bytes for one.
  void text(std::string_view text);

  /// "0011223344556677"
  void hex(std::uint64_t value);

  /// As put_time(), put_address() and put_mac().
  void time(std::uint64_t ns);
  void address(const Address& address, bool ipv6);
  void mac(const MacAddress& mac);

 private:
  char* at_;
};

}  // namespace rheo
