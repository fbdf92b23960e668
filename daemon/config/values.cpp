// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/values.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <climits>

#include "daemon/config/interfaces.h"
#include "daemon/config/units.h"

namespace rheo {
namespace {

constexpr std::size_t kMaxPorts = 8;  // MAX_TUNNEL_PORTS of bpf/abi.h, which this room does not see
constexpr std::size_t kMaxGlobs = 256;
constexpr std::size_t kMaxGlobBytes = 64;
constexpr std::size_t kMaxPrefixes = 4'096;
constexpr std::size_t kMaxHeaders = 32;
constexpr std::size_t kMaxSecret = 8'192;
constexpr std::size_t kMaxAttribute = 1'024;
constexpr std::string_view kAttributeAllowed =
    "not an attribute's value; allowed: a string of up to 1024 bytes, a number, true, false, or an array of "
    "up "
    "to 64 strings";

template <class T>
const T* as(const TomlValue& value) {
  return std::get_if<T>(&value.value);
}

Fault check_range(std::uint64_t number, const NumberRange& range, const std::string& allowed) {
  if (number < range.low || number > range.high) return "out of range; allowed: " + allowed;
  if (range.power_of_two && !std::has_single_bit(number)) return "not a power of two; allowed: " + allowed;
  return std::nullopt;
}

bool is_absolute(const std::string& path) {
  return path.starts_with('/') && path.size() < PATH_MAX && path.find('\0') == std::string::npos;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

/// Why the text is no pattern of interfaces.
Fault check_pattern(const std::string& text, const std::string& allowed) {
  if (text.empty() || text.size() > kMaxGlobBytes || text.find('\0') != std::string::npos)
    return fmt::format("\"{}\" is not a name; allowed: {}", printable(text), allowed);
  if (const auto pattern = InterfacePattern::parse(text); !pattern)
    return fmt::format("{}; allowed: {}", pattern.error().what, allowed);
  return std::nullopt;
}

/// In lower case. Names that HTTP/2 and gRPC keep for themselves are none.
bool is_header_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= 128 && std::all_of(name.begin(), name.end(), allowed) &&
         !name.starts_with("grpc-") && !name.ends_with("-bin") && name != "content-type" &&
         name != "content-length" && name != "content-encoding" && name != "te" && name != "host" &&
         name != "connection" && name != "transfer-encoding" && name != "user-agent";
}

}  // namespace

Fault read_duration(const TomlValue& value, DurationRange range, Duration example, Duration& setting) {
  const std::string allowed = fmt::format("{} to {}, such as \"{}\"", duration_text(range.low),
                                          duration_text(range.high), duration_text(example));
  const auto* text = as<std::string>(value);
  const auto duration = text != nullptr ? parse_duration(*text) : std::nullopt;
  if (!duration) return "not a duration; allowed: " + allowed;
  if (*duration < range.low || *duration > range.high) return "out of range; allowed: " + allowed;
  setting = *duration;
  return std::nullopt;
}

Fault read_number(const TomlValue& value, NumberRange range, std::uint64_t& setting) {
  const std::string allowed =
      fmt::format("{}{} to {}", range.power_of_two ? "powers of two from " : "", range.low, range.high);
  const auto* number = as<std::int64_t>(value);
  if (number == nullptr) return "not an integer; allowed: " + allowed;
  if (*number < 0) return "out of range; allowed: " + allowed;
  const auto positive = static_cast<std::uint64_t>(*number);
  if (auto fault = check_range(positive, range, allowed)) return fault;
  setting = positive;
  return std::nullopt;
}

Fault read_size(const TomlValue& value, NumberRange range, std::uint64_t& setting) {
  const std::string allowed = fmt::format("{}{} to {}", range.power_of_two ? "powers of two from " : "",
                                          size_text(range.low), size_text(range.high));
  std::optional<std::uint64_t> bytes;
  if (const auto* number = as<std::int64_t>(value); number != nullptr && *number >= 0)
    bytes = static_cast<std::uint64_t>(*number);
  if (const auto* text = as<std::string>(value)) bytes = parse_size(*text);
  if (!bytes) return "not a size; allowed: " + allowed;
  if (auto fault = check_range(*bytes, range, allowed)) return fault;
  setting = *bytes;
  return std::nullopt;
}

Fault read_switch(const TomlValue& value, bool& setting) {
  const auto* on = as<bool>(value);
  if (on == nullptr) return "neither true nor false";
  setting = *on;
  return std::nullopt;
}

Fault read_word(const TomlValue& value, std::span<const std::string_view> words, std::size_t& setting) {
  if (const auto* text = as<std::string>(value)) {
    const auto found = std::find(words.begin(), words.end(), *text);
    if (found != words.end()) {
      setting = static_cast<std::size_t>(found - words.begin());
      return std::nullopt;
    }
  }
  return fmt::format("unknown; allowed: \"{}\"", fmt::join(words, "\", \""));
}

Fault read_directory(const TomlValue& value, std::string& setting) {
  const auto* text = as<std::string>(value);
  if (text == nullptr || !is_absolute(*text)) return "not a directory's name; allowed: an absolute path";
  setting = *text;
  return std::nullopt;
}

Fault read_output(const TomlValue& value, std::string& setting) {
  const auto* text = as<std::string>(value);
  if (text == nullptr || (*text != "-" && *text != "journal" && !is_absolute(*text)))
    return "no place to write to; allowed: the absolute path of a file, \"-\" for standard output, "
           "\"journal\"";
  setting = *text;
  return std::nullopt;
}

Fault read_file_name(const TomlValue& value, std::string& setting) {
  const auto* text = as<std::string>(value);
  if (text == nullptr || (!text->empty() && !is_absolute(*text)))
    return "not a file's name; allowed: an absolute path, \"\" for none";
  setting = *text;
  return std::nullopt;
}

Fault read_endpoint(const TomlValue& value, std::string& setting) {
  constexpr std::string_view kBeginnings[] = {"udp://", "tcp://", "tls://", "dtls://", "sctp://", "file:/"};
  const auto* text = as<std::string>(value);
  const auto begins = [&](std::string_view with) { return text->starts_with(with) && *text != with; };
  if (text == nullptr || text->size() >= PATH_MAX || text->find('\0') != std::string::npos ||
      std::none_of(std::begin(kBeginnings), std::end(kBeginnings), begins))
    return "not an endpoint; allowed: udp://, tcp://, tls://, dtls:// or sctp:// and HOST:PORT, "
           "file: and an absolute path";
  setting = *text;
  return std::nullopt;
}

Fault read_address(const TomlValue& value, std::string& setting) {
  const auto* text = as<std::string>(value);
  in6_addr address{};
  if (text == nullptr || (!text->empty() && ::inet_pton(AF_INET, text->c_str(), &address) != 1 &&
                          ::inet_pton(AF_INET6, text->c_str(), &address) != 1))
    return "not an address; allowed: an IPv4 or IPv6 address, \"\" for the route's";
  setting = *text;
  return std::nullopt;
}

Fault read_host(const TomlValue& value, std::string& setting) {
  constexpr std::size_t kLongestName = 253;  // of DNS
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == ':';
  };
  const auto* text = as<std::string>(value);
  if (text == nullptr || text->size() > kLongestName || !std::all_of(text->begin(), text->end(), fits))
    return "not a host; allowed: a name, an IPv4 or IPv6 address, \"\" for none";
  setting = *text;
  return std::nullopt;
}

Fault read_otlp_endpoint(const TomlValue& value, std::string& setting) {
  const auto* text = as<std::string>(value);
  if (text == nullptr || text->size() > 2'048 ||
      (!text->empty() && !text->starts_with("http://") && !text->starts_with("https://")) ||
      !is_printable(*text))
    return "not an endpoint; allowed: http:// or https:// and HOST:PORT, \"\" for the environment's or "
           "localhost";
  setting = *text;
  return std::nullopt;
}

Fault read_headers(const TomlValue& value, std::map<std::string, std::string>& setting) {
  const std::string allowed = fmt::format(
      "a table of up to {} names (letters, digits, \"-\", \"_\", \".\") and strings of printable "
      "ASCII",
      kMaxHeaders);
  const auto* table = as<TomlTable>(value);
  if (table == nullptr) return "not a table; allowed: " + allowed;
  if (table->size() > kMaxHeaders) return fmt::format("{} headers; allowed: {}", table->size(), allowed);
  std::map<std::string, std::string> headers;
  for (const TomlEntry& entry : *table) {
    const auto* text = as<std::string>(entry.value);
    std::string name = entry.key;
    std::transform(name.begin(), name.end(), name.begin(), lower);
    if (!is_header_name(name))
      return fmt::format("{} is not a header's name; allowed: {}", printable(name), allowed);
    if (text == nullptr || text->size() > kMaxSecret || !is_printable(*text))
      return fmt::format("{} is not printable ASCII; allowed: {}", printable(name), allowed);
    headers[name] = *text;
  }
  setting = std::move(headers);
  return std::nullopt;
}

Fault read_secret(const TomlValue& value, std::string& setting) {
  const auto* text = as<std::string>(value);
  if (text == nullptr || text->size() > kMaxSecret || !is_printable(*text))
    return fmt::format(
        "not a secret; allowed: a string of up to {} printable ASCII characters, \"\" for none", kMaxSecret);
  setting = *text;
  return std::nullopt;
}

Fault read_credential(const TomlValue& value, std::string& setting) {
  const auto* text = as<std::string>(value);
  if (text == nullptr || text->size() > 255 || text->starts_with('.') ||
      text->find('/') != std::string::npos || !is_printable(*text))
    return "not a credential's name; allowed: a file's name without a path, \"\" for none";
  setting = *text;
  return std::nullopt;
}

Fault read_attribute(const TomlValue& value, ResourceConfig::Value& setting) {
  if (const auto* text = as<std::string>(value); text != nullptr && text->size() <= kMaxAttribute) {
    setting = *text;
  } else if (const auto* on = as<bool>(value)) {
    setting = *on;
  } else if (const auto* number = as<std::int64_t>(value)) {
    setting = *number;
  } else if (const auto* real = as<double>(value)) {
    setting = *real;
  } else if (const auto* array = as<TomlArray>(value); array != nullptr && array->size() <= 64) {
    std::vector<std::string> texts;
    for (const TomlValue& item : *array) {
      const auto* one = as<std::string>(item);
      if (one == nullptr || one->size() > kMaxAttribute) return std::string(kAttributeAllowed);
      texts.push_back(*one);
    }
    setting = std::move(texts);
  } else {
    return std::string(kAttributeAllowed);
  }
  return std::nullopt;
}

Fault read_names(const TomlValue& value, std::vector<std::string>& setting) {
  const std::string allowed =
      fmt::format("up to {} names of 1 to {} letters and digits", kMaxGlobs, kMaxGlobBytes);
  const auto* array = as<TomlArray>(value);
  if (array == nullptr) return "not an array; allowed: " + allowed;
  if (array->size() > kMaxGlobs) return fmt::format("{} entries; allowed: {}", array->size(), allowed);

  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  std::vector<std::string> names;
  for (const TomlValue& item : *array) {
    const auto* text = as<std::string>(item);
    if (text == nullptr || text->empty() || text->size() > kMaxGlobBytes ||
        !std::all_of(text->begin(), text->end(), plain))
      return fmt::format("{} is not a name; allowed: {}", item.text(), allowed);
    names.push_back(*text);
  }
  setting = std::move(names);
  return std::nullopt;
}

Fault read_globs(const TomlValue& value, std::size_t least, std::vector<std::string>& setting) {
  const std::string allowed = fmt::format(
      "{} to {} names, shell patterns, /regular expressions/ or kind:KIND, of 1 to {} characters, such as "
      "[\"eth*\"]",
      least, kMaxGlobs, kMaxGlobBytes);
  const auto* array = as<TomlArray>(value);
  if (array == nullptr) return "not an array; allowed: " + allowed;
  if (array->size() < least || array->size() > kMaxGlobs)
    return fmt::format("{} entries; allowed: {}", array->size(), allowed);

  std::vector<std::string> globs;
  for (const TomlValue& item : *array) {
    const auto* text = as<std::string>(item);
    if (text == nullptr) return fmt::format("{} is not a name; allowed: {}", item.text(), allowed);
    if (auto fault = check_pattern(*text, allowed)) return fault;
    globs.push_back(*text);
  }
  setting = std::move(globs);
  return std::nullopt;
}

Fault read_namespaces(const TomlValue& value, std::vector<std::string>& setting) {
  constexpr std::size_t kMaxNamespaces = 255;  // that have a number
  const std::string allowed = fmt::format(
      "\"auto\", or up to {} names in /run/netns of 1 to {} bytes without \"/\", such as [\"blue\"]",
      kMaxNamespaces, NAME_MAX);
  std::vector<std::string> names;
  if (const auto* text = as<std::string>(value)) {
    if (*text != "auto") return "not \"auto\" and not an array; allowed: " + allowed;
    names.push_back(*text);
  } else if (const auto* array = as<TomlArray>(value)) {
    if (array->size() > kMaxNamespaces) return fmt::format("{} entries; allowed: {}", array->size(), allowed);
    for (const TomlValue& item : *array) {
      const auto* name = as<std::string>(item);
      if (name == nullptr || name->empty() || name->size() > NAME_MAX || *name == "." || *name == ".." ||
          name->find('/') != std::string::npos || name->find('\0') != std::string::npos)
        return fmt::format("{} is not a network namespace's name; allowed: {}", item.text(), allowed);
      if (std::find(names.begin(), names.end(), *name) == names.end()) names.push_back(*name);
    }
  } else {
    return "not \"auto\" and not an array; allowed: " + allowed;
  }
  setting = std::move(names);
  return std::nullopt;
}

Fault read_directions(const TomlValue& value, std::span<const std::string_view> words,
                      std::map<std::string, DirectionChoice>& setting) {
  const std::string allowed =
      fmt::format("a table of up to {} patterns as in include, each \"{}\", such as {{ \"eth*\" = \"{}\" }}",
                  kMaxGlobs, fmt::join(words, "\", \""), words.back());
  const auto* table = as<TomlTable>(value);
  if (table == nullptr) return "not a table; allowed: " + allowed;
  if (table->size() > kMaxGlobs) return fmt::format("{} entries; allowed: {}", table->size(), allowed);

  std::map<std::string, DirectionChoice> directions;
  for (const TomlEntry& entry : *table) {
    if (auto fault = check_pattern(entry.key, allowed)) return fault;
    std::size_t index = 0;
    if (auto fault = read_word(entry.value, words, index))
      return fmt::format("{} = {}: {}", printable(entry.key), entry.value.text(), *fault);
    directions[entry.key] = static_cast<DirectionChoice>(index);
  }
  setting = std::move(directions);
  return std::nullopt;
}

Fault read_prefixes(const TomlValue& value, std::vector<IpPrefix>& setting) {
  const auto* array = as<TomlArray>(value);
  if (array == nullptr)
    return "not an array; allowed: prefixes such as [\"10.1.0.0/16\", \"2001:db8::/32\"], [] for none";
  if (array->size() > kMaxPrefixes)
    return fmt::format("{} prefixes; allowed: {}, more of them in a file", array->size(), kMaxPrefixes);

  std::vector<IpPrefix> prefixes;
  for (const TomlValue& item : *array) {
    const auto* text = as<std::string>(item);
    if (text == nullptr) return item.text() + " is no prefix; allowed: a string such as \"10.1.0.0/16\"";
    const auto prefix = parse_ip_prefix(*text);
    if (!prefix) return prefix.error().what;
    prefixes.push_back(*prefix);
  }
  setting = std::move(prefixes);
  return std::nullopt;
}

Fault read_ports(const TomlValue& value, std::vector<std::uint16_t>& setting) {
  const std::string allowed = fmt::format("up to {} ports from 1 to 65535, such as [4789]", kMaxPorts);
  const auto* array = as<TomlArray>(value);
  if (array == nullptr) return "not an array; allowed: " + allowed;
  if (array->size() > kMaxPorts) return fmt::format("{} ports; allowed: {}", array->size(), allowed);

  std::vector<std::uint16_t> ports;
  for (const TomlValue& item : *array) {
    const auto* port = as<std::int64_t>(item);
    if (port == nullptr || *port < 1 || *port > 65'535)
      return fmt::format("{} is not a port; allowed: {}", item.text(), allowed);
    ports.push_back(static_cast<std::uint16_t>(*port));
  }
  setting = std::move(ports);
  return std::nullopt;
}

}  // namespace rheo
