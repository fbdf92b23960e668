// SPDX-License-Identifier: Apache-2.0
// One value of a TOML file to one setting, or why not. Pure, any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/config/toml_tree.h"
#include "daemon/model/ip_prefix.h"

namespace rheo {

/// What is wrong with a value and what is allowed; nothing: it was read. A faulty value leaves the setting as
/// it was.
using Fault = std::optional<std::string>;

struct DurationRange {
  Duration low;
  Duration high;
};
/// `example` is a good value for the complaint.
Fault read_duration(const TomlValue& value, DurationRange range, Duration example, Duration& setting);

struct NumberRange {
  std::uint64_t low;
  std::uint64_t high;
  bool power_of_two = false;
};
Fault read_number(const TomlValue& value, NumberRange range, std::uint64_t& setting);

/// Bytes, as an integer or as text with a unit.
Fault read_size(const TomlValue& value, NumberRange range, std::uint64_t& setting);

Fault read_switch(const TomlValue& value, bool& setting);

/// One of `words`; the setting is its index.
Fault read_word(const TomlValue& value, std::span<const std::string_view> words, std::size_t& setting);

/// An absolute path.
Fault read_directory(const TomlValue& value, std::string& setting);

/// An absolute path, "-" or "journal".
Fault read_output(const TomlValue& value, std::string& setting);

/// An absolute path of a file, or "" for none.
Fault read_file_name(const TomlValue& value, std::string& setting);

/// "udp://…" and the other schemes of IPFIX. What follows the scheme is the exporter's to judge.
Fault read_endpoint(const TomlValue& value, std::string& setting);

/// An IPv4 or IPv6 address, or "" for none.
Fault read_address(const TomlValue& value, std::string& setting);

/// The name of a host, in DNS, or an IPv4 or IPv6 address, or "" for none.
Fault read_host(const TomlValue& value, std::string& setting);

/// "http://…" or "https://…", or "" for none. What follows the scheme is the exporter's to judge.
Fault read_otlp_endpoint(const TomlValue& value, std::string& setting);

/// A table of up to 32 HTTP headers: names are tokens, in lower case afterwards, values printable ASCII.
Fault read_headers(const TomlValue& value, std::map<std::string, std::string>& setting);

/// Up to 8192 characters of printable ASCII.
Fault read_secret(const TomlValue& value, std::string& setting);

/// The name of a credential of systemd: no path; "" for none.
Fault read_credential(const TomlValue& value, std::string& setting);

/// A value of an attribute: a string, an integer, a number, a boolean or an array of strings.
Fault read_attribute(const TomlValue& value, ResourceConfig::Value& setting);

/// Up to 256 names of 1 to 64 characters out of letters and digits.
Fault read_names(const TomlValue& value, std::vector<std::string>& setting);

/// `least` to 256 patterns of interfaces, each of 1 to 64 bytes.
Fault read_globs(const TomlValue& value, std::size_t least, std::vector<std::string>& setting);

/// "auto", or up to 255 names of network namespaces: files' names of at most 255 bytes.
Fault read_namespaces(const TomlValue& value, std::vector<std::string>& setting);

/// A table of up to 256 such patterns, each with one of `words`, in the order of their enumerators.
Fault read_directions(const TomlValue& value, std::span<const std::string_view> words,
                      std::map<std::string, DirectionChoice>& setting);

/// Up to 4096 prefixes of IPv4 and IPv6.
Fault read_prefixes(const TomlValue& value, std::vector<IpPrefix>& setting);

/// Up to 8 UDP ports, the places for them in the kernel's settings.
Fault read_ports(const TomlValue& value, std::vector<std::uint16_t>& setting);

}  // namespace rheo
