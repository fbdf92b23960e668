// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/resolvers.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "daemon/base/read_file.h"
#include "daemon/model/ip_prefix.h"

namespace rheo {
namespace {

constexpr std::size_t kMaxResolvers = 64;
constexpr std::size_t kMaxResolvConf = 1U << 16U;  // bytes that are looked at
constexpr std::string_view kSpaces = " \t\r";

std::vector<Address> read_resolvers(const std::string& path) {
  const auto text = read_file(path, path, kMaxResolvConf);
  return text ? parse_resolv_conf(*text) : std::vector<Address>();
}

/// What systemd-resolved listens on: it asks others in its turn.
bool is_stub(const Address& address) {
  constexpr std::array<std::uint8_t, 15> kBegin = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0};
  return std::equal(kBegin.begin(), kBegin.end(), address.begin()) &&
         (address.back() == 53 || address.back() == 54);
}

}  // namespace

std::vector<Address> parse_resolv_conf(std::string_view text) {
  constexpr std::string_view kWord = "nameserver";
  std::vector<Address> addresses;
  while (!text.empty() && addresses.size() < kMaxResolvers) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.starts_with(kWord)) continue;
    line.remove_prefix(kWord.size());
    const std::size_t begin = line.find_first_not_of(kSpaces);
    if (begin == 0 || begin == std::string_view::npos) continue;
    line.remove_prefix(begin);
    // Behind the address of a link may be its name, and behind all a comment.
    const auto prefix = parse_ip_prefix(line.substr(0, line.find_first_of(" \t\r%#;/")));
    if (prefix) addresses.push_back(prefix->address);
  }
  return addresses;
}

const std::vector<Address>& Resolvers::look() {
  const FileStamp host = stamp_of(files_.host);
  const FileStamp behind_stub = stamp_of(files_.behind_stub);
  if (std::exchange(read_, true) && std::tie(host, behind_stub) == std::tie(host_, behind_stub_))
    return addresses_;
  host_ = host;
  behind_stub_ = behind_stub;
  addresses_ = read_resolvers(files_.host);
  if (std::ranges::any_of(addresses_, is_stub)) {
    const auto others = read_resolvers(files_.behind_stub);
    addresses_.insert(addresses_.end(), others.begin(), others.end());
  }
  return addresses_;
}

}  // namespace rheo
