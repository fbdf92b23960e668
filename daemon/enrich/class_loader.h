// SPDX-License-Identifier: Apache-2.0
// load_classes: what the settings say of classes, with the files that they name. Any thread; a million
// prefixes take it about a second.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/enrich/file_stamp.h"
#include "daemon/model/address_classes.h"
#include "daemon/model/ip_prefix.h"

namespace rheo {

/// Of all classes and lists, those in files included: about 110 MiB at worst, twice while they change.
inline constexpr std::size_t kMaxPrefixes = 1'048'576;

struct NamedPrefixes {
  std::string name;  // of the class
  std::vector<IpPrefix> prefixes = {};
  std::string file = {};  // more of them; empty: none
  friend bool operator==(const NamedPrefixes&, const NamedPrefixes&) = default;
};

struct ClassSettings {
  std::vector<NamedPrefixes> classes = {};
  NamedPrefixes black = {};
  NamedPrefixes white = {};
  friend bool operator==(const ClassSettings&, const ClassSettings&) = default;
};

/// A file of prefixes as it was read last.
struct PrefixFile {
  FileStamp stamp;                                    // then, whether it could be read or not
  std::shared_ptr<const std::vector<IpPrefix>> good;  // as it was when it was last good
};
using PrefixFiles = std::map<std::string, PrefixFile>;  // by path

struct LoadedClasses {
  std::shared_ptr<const ConfiguredClasses> classes;
  PrefixFiles files;
  std::vector<std::string> complaints;  // a sentence each, of files that have changed
};

/// Reads the files that have changed since `known`. One with a mistake counts as it was when it was good.
/// Where prefixes are equal the settings' own classes win, in the order of their names, then built-in ones,
/// `internal` last; of the lists it is `black`.
LoadedClasses load_classes(const ClassSettings& settings, const PrefixFiles& known);

}  // namespace rheo
