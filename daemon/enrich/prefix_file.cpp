// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/prefix_file.h"

#include <algorithm>

#include "daemon/base/read_file.h"
#include "daemon/enrich/file_stamp.h"

namespace rheo {
namespace {

std::string_view trimmed(std::string_view line) {
  constexpr std::string_view kSpaces = " \t\r\f\v";
  line = line.substr(0, line.find('#'));
  const std::size_t begin = line.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return line.substr(begin, line.find_last_not_of(kSpaces) - begin + 1);
}

}  // namespace

Result<std::vector<IpPrefix>> parse_prefix_lines(std::string_view text, std::size_t most) {
  std::vector<IpPrefix> prefixes;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty()) continue;
    auto prefix = parse_ip_prefix(line);
    if (!prefix) return forward(std::move(prefix), std::to_string(number));
    if (prefixes.size() == most)
      return failure(std::to_string(number) + ": one prefix too many; allowed: " + std::to_string(most) +
                     " with those of other classes and lists");
    prefixes.push_back(*prefix);
  }
  return prefixes;
}

Result<std::vector<IpPrefix>> read_prefix_file(const std::string& path, std::size_t most) {
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(stamp_of(path).size, 0));
  auto text = read_file(path, path, std::min(size, kMaxPrefixFile) + 1);
  if (!text) return forward(std::move(text));
  if (text->size() > kMaxPrefixFile)
    return failure(path + ": more than " + std::to_string(kMaxPrefixFile) + " bytes");
  auto prefixes = parse_prefix_lines(*text, most);
  if (!prefixes) return failure(path + ":" + prefixes.error().what);
  return prefixes;
}

}  // namespace rheo
