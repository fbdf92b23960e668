// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/class_loader.h"

#include <algorithm>
#include <utility>

#include "daemon/enrich/prefix_file.h"

namespace rheo {
namespace {

constexpr auto kInternal = std::to_underlying(AddressClass::internal);

/// Gathers entries, as many as there may be.
class Loader {
 public:
  explicit Loader(const PrefixFiles& known) : known_(known) {}

  void add(const NamedPrefixes& of, std::uint16_t number, std::vector<PrefixTrie::Entry>& entries) {
    append(of.name, of.prefixes, number, entries);
    if (of.file.empty()) return;
    const auto content = content_of(of);
    if (content != nullptr) append(of.name, *content, number, entries);
  }

  LoadedClasses finish(ConfiguredClasses classes) {
    loaded_.classes = std::make_shared<const ConfiguredClasses>(std::move(classes));
    return std::move(loaded_);
  }

 private:
  void append(const std::string& name, const std::vector<IpPrefix>& prefixes, std::uint16_t number,
              std::vector<PrefixTrie::Entry>& entries) {
    if (prefixes.size() > room_) {
      loaded_.complaints.push_back("classes." + name + ": " + std::to_string(prefixes.size()) +
                                   " prefixes are too many with those before, the most is " +
                                   std::to_string(kMaxPrefixes) + " in all; continuing without them");
      return;
    }
    room_ -= prefixes.size();
    for (const IpPrefix& prefix : prefixes) entries.push_back({prefix, number});
  }

  std::shared_ptr<const std::vector<IpPrefix>> content_of(const NamedPrefixes& of) {
    if (const auto read = loaded_.files.find(of.file); read != loaded_.files.end()) return read->second.good;
    PrefixFile& file = loaded_.files[of.file];
    const FileStamp stamp =
        stamp_of(of.file);  // before it is read: what is written meanwhile is seen next time
    const auto before = known_.find(of.file);
    if (before != known_.end()) file = before->second;
    if (before != known_.end() && file.stamp == stamp) return file.good;

    file.stamp = stamp;
    auto content = read_prefix_file(of.file, kMaxPrefixes);
    if (content)
      file.good = std::make_shared<const std::vector<IpPrefix>>(*std::move(content));
    else
      loaded_.complaints.push_back("classes." + of.name + ": " + content.error().what +
                                   (file.good == nullptr
                                        ? "; continuing without the file until it changes"
                                        : "; its prefixes stay as they were until it changes again"));
    return file.good;
  }

  const PrefixFiles& known_;
  LoadedClasses loaded_;
  std::size_t room_ = kMaxPrefixes;
};

}  // namespace

LoadedClasses load_classes(const ClassSettings& settings, const PrefixFiles& known) {
  Loader loader(known);
  ConfiguredClasses configured;
  std::vector<std::pair<std::uint16_t, const NamedPrefixes*>> built_in;
  std::vector<PrefixTrie::Entry> entries;
  for (const NamedPrefixes& of : settings.classes) {
    if (const auto number = AddressClasses().number_of(of.name)) {
      built_in.emplace_back(*number, &of);
      continue;
    }
    const std::size_t number = kBuiltInClasses + configured.names.size();
    configured.names.push_back(of.name);
    loader.add(of, static_cast<std::uint16_t>(number), entries);
  }
  std::ranges::stable_partition(built_in, [](const auto& of) { return of.first != kInternal; });
  for (const auto& [number, of] : built_in) loader.add(*of, number, entries);
  configured.classes = PrefixTrie(entries);

  entries.clear();
  loader.add(settings.black, std::to_underlying(Listed::black), entries);
  loader.add(settings.white, std::to_underlying(Listed::white), entries);
  configured.lists = PrefixTrie(entries);
  return loader.finish(std::move(configured));
}

}  // namespace rheo
