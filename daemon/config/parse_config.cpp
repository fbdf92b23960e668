// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/parse_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "daemon/config/keys.h"
#include "daemon/config/names.h"
#include "daemon/config/toml_tree.h"

namespace rheo {
namespace {

constexpr std::array<std::string_view, 8> kSections = {"daemon", "interfaces", "datapath", "tunnels",
                                                       "flow",   "classes",    "resource", "export"};
constexpr std::array<std::string_view, 2> kLists = {"black", "white"};
constexpr std::array<std::string_view, 3> kFormats = {"json", "ipfix", "otlp"};
constexpr std::size_t kMaxAttributes = 128;
constexpr std::size_t kMaxClasses = 256;
constexpr std::size_t kMaxExporters = 16;  // each is a thread and a place in the flow table's file

/// "tls.ca_cert" and "tls_ca_cert" are the same key, whichever of them its table of keys has.
bool is_same_key(std::string_view a, std::string_view b) {
  const auto plain = [](char c) { return c == '.' ? '_' : c; };
  return std::ranges::equal(a, b, {}, plain, plain);
}

/// What may be a table of keys within a section.
bool is_inner_table(std::string_view name) { return name == "tls" || name == "auth"; }

/// Applies files one after the other to one Config.
class Reader {
 public:
  /// `set_up`: exporters_of() all files.
  Reader(ParsedConfig& parsed, std::set<std::string> set_up)
      : parsed_(parsed), config_(parsed.config), set_up_(std::move(set_up)) {}

  void read_file(const ConfigText& file);

  /// What can only be said when all files are read.
  void check_exporters();

 private:
  struct Place {
    std::string file;
    int line;
  };

  void complain(int line, std::string text) { parsed_.complaints.push_back({file_, line, std::move(text)}); }
  void complain_unknown(const TomlEntry& entry, std::string_view prefix,
                        std::span<const std::string_view> known);
  bool complained_of(std::string_view beginning) const;
  void read_root(const TomlTable& root);
  void read_export(const TomlEntry& entry);
  void read_classes(const TomlEntry& entry);
  void read_class(const TomlEntry& entry, const std::string& name, ClassConfig& setting);
  void read_lists(const TomlEntry& entry);
  void read_resource(const TomlEntry& entry, const std::string& name, const std::string& prefix);
  void check_secret(const std::string& exporter, std::string_view key, const SecretConfig& secret);
  void check_output(const std::string& exporter, std::string_view key, const std::string& output,
                    std::string_view allowed);
  void check_queue(const std::string& exporter, std::uint32_t queue);

  const TomlTable* table_of(const TomlEntry& entry, std::string_view name);

  template <class Section>
  void read_exports(const TomlEntry& entry, const Keys<Section>& keys,
                    std::map<std::string, Section>& exporters);

  template <class Section>
  void read_section(const TomlEntry& entry, const std::string& name, const Keys<Section>& keys,
                    Section& section);

  /// Where in a section a table of keys is: "" or "tls.", and the keys that were there already.
  struct Within {
    const std::string& section;
    std::string prefix;
    std::set<std::string_view>& seen;
  };
  template <class Section>
  void read_keys(const TomlTable& table, const Within& within, const Keys<Section>& keys, Section& section);

  ParsedConfig& parsed_;
  Config& config_;
  const std::set<std::string> set_up_;
  std::string file_;
  bool switches_only_ = false;
  std::map<std::string, Place> places_;         // where each exporter was first named
  std::map<std::string, std::string> writers_;  // by the file that they write
};

void Reader::complain_unknown(const TomlEntry& entry, std::string_view prefix,
                              std::span<const std::string_view> known) {
  const std::string_view meant = nearest_word(entry.key, known);
  complain(entry.line, fmt::format("{}{}: unknown key; {}", prefix, printable(entry.key),
                                   meant.empty() ? fmt::format("allowed: {}", fmt::join(known, ", "))
                                                 : fmt::format("did you mean \"{}\"?", meant)));
}

const TomlTable* Reader::table_of(const TomlEntry& entry, std::string_view name) {
  const auto* table = std::get_if<TomlTable>(&entry.value.value);
  if (table == nullptr)
    complain(entry.line, fmt::format("{} = {}: not a table; allowed: [{}] and keys below it", name,
                                     entry.value.text(), name));
  return table;
}

template <class Section>
void Reader::read_section(const TomlEntry& entry, const std::string& name, const Keys<Section>& keys,
                          Section& section) {
  const TomlTable* const table = table_of(entry, name);
  if (table == nullptr) return;

  std::set<std::string_view> seen;
  read_keys(*table, {.section = name, .prefix = "", .seen = seen}, keys, section);
}

template <class Section>
void Reader::read_keys(const TomlTable& table, const Within& within, const Keys<Section>& keys,
                       Section& section) {
  for (const TomlEntry& item : table) {
    const std::string name = within.prefix + item.key;
    const auto key = std::ranges::find_if(keys, [&](const auto& k) { return is_same_key(k.name, name); });
    const auto* const inner = std::get_if<TomlTable>(&item.value.value);
    const auto is_within = [](const auto& k, std::string_view prefix) {
      return k.name.size() > prefix.size() && is_same_key(k.name.substr(0, prefix.size()), prefix);
    };
    if (key != keys.end()) {
      if (!within.seen.insert(key->name).second)
        complain(item.line, fmt::format("{}.{}: set twice, with \".\" and with \"_\"; allowed: once",
                                        within.section, name));
      else if (const Fault fault = key->read(item.value, section))
        complain(item.line, fmt::format("{}.{} = {}: {}", within.section, name,
                                        key->secret ? "(not shown)" : item.value.text(), *fault));
    } else if (inner != nullptr && within.prefix.empty() && is_inner_table(name) &&
               std::ranges::any_of(keys, [&](const auto& k) { return is_within(k, name + "."); })) {
      read_keys(*inner, {.section = within.section, .prefix = name + ".", .seen = within.seen}, keys,
                section);
    } else {
      std::vector<std::string_view> known;
      for (const auto& k : keys)
        if (is_within(k, within.prefix)) known.push_back(k.name.substr(within.prefix.size()));
      complain_unknown(item, within.section + "." + within.prefix, known);
    }
  }
}

template <class Section>
void Reader::read_exports(const TomlEntry& entry, const Keys<Section>& keys,
                          std::map<std::string, Section>& exporters) {
  const std::string format = "export." + entry.key;
  const TomlTable* const table = table_of(entry, format);
  if (table == nullptr) return;

  for (const TomlEntry& item : *table) {
    if (!is_exporter_name(item.key)) {
      complain(item.line, fmt::format("{}.{}: not a name; allowed: 1 to {} of a-z, 0-9, \"_\" and \"-\"",
                                      format, printable(item.key), kMaxNameLength));
      continue;
    }
    const std::string name = format + "." + item.key;
    if (switches_only_ && !set_up_.contains(name)) {
      parsed_.notes.push_back(
          {file_, item.line,
           name + ": no other file has this exporter any more; passed over, the file may be deleted"});
      continue;
    }
    if (config_.exporters.size() >= kMaxExporters && !exporters.contains(item.key)) {
      complain(item.line,
               fmt::format("{}.{}: too many exporters; allowed: {}", format, item.key, kMaxExporters));
      continue;
    }
    places_.try_emplace(name, Place{file_, item.line});
    read_section(item, name, keys, exporters[item.key]);
  }
}

void Reader::read_export(const TomlEntry& entry) {
  const TomlTable* const table = table_of(entry, "export");
  if (table == nullptr) return;

  for (const TomlEntry& item : *table) {
    if (item.key == "json")
      read_exports(item, json_export_keys(), config_.exporters.json);
    else if (item.key == "ipfix")
      read_exports(item, ipfix_export_keys(), config_.exporters.ipfix);
    else if (item.key == "otlp")
      read_exports(item, otlp_export_keys(), config_.exporters.otlp);
    else
      complain_unknown(item, "export.", kFormats);
  }
}

/// `office = ["10.1.0.0/16"]` is short for `office.prefixes = ["10.1.0.0/16"]`.
void Reader::read_class(const TomlEntry& entry, const std::string& name, ClassConfig& setting) {
  if (!std::holds_alternative<TomlArray>(entry.value.value))
    read_section(entry, name, class_keys(), setting);
  else if (const Fault fault = read_prefixes(entry.value, setting.prefixes))
    complain(entry.line, fmt::format("{} = {}: {}", name, entry.value.text(), *fault));
}

void Reader::read_lists(const TomlEntry& entry) {
  const TomlTable* const table = table_of(entry, "classes.abnormal");
  if (table == nullptr) return;
  for (const TomlEntry& item : *table) {
    if (item.key == "black")
      read_class(item, "classes.abnormal.black", config_.classes.black);
    else if (item.key == "white")
      read_class(item, "classes.abnormal.white", config_.classes.white);
    else
      complain_unknown(item, "classes.abnormal.", kLists);
  }
}

void Reader::read_classes(const TomlEntry& entry) {
  const TomlTable* const table = table_of(entry, "classes");
  if (table == nullptr) return;
  auto& classes = config_.classes.classes;
  for (const TomlEntry& item : *table) {
    const std::string name = "classes." + printable(item.key);
    if (item.key == "abnormal")
      read_lists(item);
    else if (item.key == "external")
      complain(item.line, name + ": this class is of all addresses that no other has; allowed: others");
    else if (!is_class_name(item.key))
      complain(item.line, fmt::format("{}: not a name; allowed: 1 to {} letters, digits, \"_\" and \"-\"",
                                      name, kMaxNameLength));
    else if (classes.size() >= kMaxClasses && !classes.contains(item.key))
      complain(item.line, fmt::format("{}: too many classes; allowed: {}", name, kMaxClasses));
    else
      read_class(item, name, classes[item.key]);
  }
}

/// `deployment.environment.name = "x"` and `"deployment.environment.name" = "x"` mean the same.
void Reader::read_resource(const TomlEntry& entry, const std::string& name, const std::string& prefix) {
  const TomlTable* const table = table_of(entry, name);
  if (table == nullptr) return;
  auto& attributes = config_.resource.attributes;
  for (const TomlEntry& item : *table) {
    const std::string key = prefix + item.key;
    if (std::holds_alternative<TomlTable>(item.value.value)) {
      read_resource(item, name + "." + printable(item.key), key + ".");
      continue;
    }
    const std::string shown = printable(key);
    if (shown != key || item.key.empty()) {
      complain(item.line,
               fmt::format("resource.{}: not a name; allowed: 1 to 64 printable characters", shown));
    } else if (attributes.size() >= kMaxAttributes && !attributes.contains(key)) {
      complain(item.line,
               fmt::format("resource.{}: too many attributes; allowed: {}", shown, kMaxAttributes));
    } else if (const Fault fault = read_attribute(item.value, attributes[key])) {
      complain(item.line, fmt::format("resource.{} = {}: {}", shown, item.value.text(), *fault));
    }
  }
}

void Reader::read_root(const TomlTable& root) {
  for (const TomlEntry& entry : root) {
    if (entry.key == "daemon")
      read_section(entry, entry.key, daemon_keys(), config_.daemon);
    else if (entry.key == "interfaces")
      read_section(entry, entry.key, interfaces_keys(), config_.interfaces);
    else if (entry.key == "datapath")
      read_section(entry, entry.key, datapath_keys(), config_.datapath);
    else if (entry.key == "tunnels")
      read_section(entry, entry.key, tunnels_keys(), config_.tunnels);
    else if (entry.key == "flow")
      read_section(entry, entry.key, flow_keys(), config_.flow);
    else if (entry.key == "classes")
      read_classes(entry);
    else if (entry.key == "resource")
      read_resource(entry, "resource", "");
    else if (entry.key == "export")
      read_export(entry);
    else
      complain_unknown(entry, "", kSections);
  }
}

bool Reader::complained_of(std::string_view beginning) const {
  return std::any_of(parsed_.complaints.begin(), parsed_.complaints.end(),
                     [&](const Complaint& complaint) { return complaint.text.starts_with(beginning); });
}

void Reader::read_file(const ConfigText& file) {
  file_ = file.file;
  switches_only_ = file.switches_only;
  if (file.text.size() > kMaxConfigBytes) {
    complain(0, fmt::format("more than {} bytes", kMaxConfigBytes));
    return;
  }
  const auto root = parse_toml(file.text);
  if (root)
    read_root(*root);
  else
    complain(root.error().line, root.error().text);
}

/// A secret has one place.
void Reader::check_secret(const std::string& exporter, std::string_view key, const SecretConfig& secret) {
  if ((secret.value.empty() ? 0 : 1) + (secret.file.empty() ? 0 : 1) + (secret.credential.empty() ? 0 : 1) <=
      1)
    return;
  const Place& place = places_.at(exporter);
  file_ = place.file;
  complain(place.line,
           fmt::format("{}: {} in more than one place; allowed: one of {}, {}_file and {}_credential",
                       exporter, key, key, key, key));
}

/// Each exporter has an output, and none has another's.
void Reader::check_output(const std::string& exporter, std::string_view key, const std::string& output,
                          std::string_view allowed) {
  const Place& place = places_.at(exporter);
  file_ = place.file;
  if (output.empty()) {
    if (!complained_of(fmt::format("{}.{} = ", exporter, key)))
      complain(place.line, fmt::format("{}: no {}; allowed: {}", exporter, key, allowed));
    return;
  }
  const auto [other, is_new] = writers_.try_emplace(output, exporter);
  if (!is_new)
    complain(place.line, fmt::format("{}.{} = \"{}\": {} writes there; allowed: one exporter for each {}",
                                     exporter, key, printable(output), other->second, key));
}

/// A queue is a share of the outbox.
void Reader::check_queue(const std::string& exporter, std::uint32_t queue) {
  constexpr std::uint32_t kShortest = 1'024;
  const std::uint32_t longest = config_.flow.outbox_records;
  if (queue == 0 || (queue >= kShortest && queue <= longest)) return;
  const Place& place = places_.at(exporter);
  file_ = place.file;
  complain(
      place.line,
      fmt::format("{}.queue = {}: out of range; allowed: {} to {} (flow.outbox_records), 0 for all of these",
                  exporter, queue, kShortest, longest));
}

void Reader::check_exporters() {
  for (const auto& [name, settings] : config_.exporters.json)
    check_queue("export.json." + name, settings.queue);
  for (const auto& [name, settings] : config_.exporters.ipfix)
    check_queue("export.ipfix." + name, settings.queue);
  for (const auto& [name, settings] : config_.exporters.json)
    check_output("export.json." + name, "path", settings.path,
                 "the absolute path of a file, \"-\" for standard output, \"journal\"");
  for (const auto& [name, settings] : config_.exporters.ipfix)
    check_output("export.ipfix." + name, "endpoint", settings.endpoint,
                 "one such as \"udp://192.0.2.1:4739\" or \"file:/var/log/rheo/flows.ipfix\"");
  for (const auto& [name, settings] : config_.exporters.otlp) {
    const std::string exporter = "export.otlp." + name;
    check_secret(exporter, "auth.basic", settings.auth_basic);
    check_secret(exporter, "auth.bearer", settings.auth_bearer);
    if (!settings.auth_basic.empty() && !settings.auth_bearer.empty()) {
      const Place& place = places_.at(exporter);
      file_ = place.file;
      complain(place.line, exporter + ": auth.basic and auth.bearer; allowed: one of them");
    }
  }
}

}  // namespace

std::string complaint_text(const Complaint& complaint) {
  return complaint.line > 0 ? fmt::format("{}:{}: {}", complaint.file, complaint.line, complaint.text)
                            : fmt::format("{}: {}", complaint.file, complaint.text);
}

ParsedConfig parse_config(std::span<const ConfigText> files) {
  ParsedConfig parsed;
  Reader reader(parsed, exporters_of(files));
  for (const ConfigText& file : files) reader.read_file(file);
  reader.check_exporters();
  return parsed;
}

ParsedConfig parse_config(std::string_view toml, std::string_view file) {
  const ConfigText text{.file = std::string(file), .text = std::string(toml)};
  return parse_config(std::span(&text, 1));
}

}  // namespace rheo
