// SPDX-License-Identifier: Apache-2.0
#include "export/json/json_text.h"

#include "daemon/base/utf8.h"
#include "export/flow_text.h"

namespace rheo {

void JsonText::text(std::string_view text) {
  raw('"');
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    const auto second = static_cast<unsigned char>(length == 2 ? text[1] : 0);
    const bool c1_control = first == 0xc2 && second < 0xa0;
    if (length == 0) {
      raw("\xef\xbf\xbd");
    } else if (first == '"' || first == '\\') {
      raw('\\');
      raw(text[0]);
    } else if (first < 0x20 || first == 0x7f || c1_control) {
      constexpr char kHex[] = "0123456789abcdef";
      const unsigned char code = c1_control ? second : first;
      raw("\\u00");
      raw(kHex[code >> 4U]);
      raw(kHex[code & 15U]);
    } else {
      raw(text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  raw('"');
}

void JsonText::hex(std::uint64_t value) {
  raw('"');
  at_ = put_hex(at_, value);
  raw('"');
}

void JsonText::time(std::uint64_t ns) {
  raw('"');
  at_ = put_time(at_, ns);
  raw('"');
}

void JsonText::mac(const MacAddress& mac) {
  raw('"');
  at_ = put_mac(at_, mac);
  raw('"');
}

void JsonText::address(const Address& address, bool ipv6) {
  raw('"');
  at_ = put_address(at_, address, ipv6);
  raw('"');
}

}  // namespace rheo
