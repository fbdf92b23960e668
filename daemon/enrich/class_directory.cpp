// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/class_directory.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

namespace rheo {

ClassDirectory::ClassDirectory(Snapshot<AddressClasses>& published, ClassSettings settings,
                               ResolverFiles resolvers)
    : published_(published),
      settings_(std::move(settings)),
      resolvers_(std::move(resolvers)),
      loaded_(load_classes(settings_, {})) {}

void ClassDirectory::follow(ClassSettings settings) {
  if (settings == settings_) return;
  settings_ = std::move(settings);
  outdated_ = true;
}

std::vector<std::string> ClassDirectory::look(const LinkTable& links, const AddressTable& addresses) {
  std::vector<std::string> complaints;
  bool changed = take_loaded(complaints);
  if (!loading_.valid() && (outdated_ || files_changed())) start_loading();
  if (look_at_host(links, addresses)) changed = true;
  if (changed)
    published_.publish(AddressClasses(
        loaded_.classes, {.classes = PrefixTrie(host_), .own = PrefixTrie(own_addresses(addresses))}));
  return complaints;
}

/// Where there is no thread to be had, the next look() tries again.
void ClassDirectory::start_loading() {
  try {
    loading_ = std::async(std::launch::async, load_classes, settings_, loaded_.files);
    outdated_ = false;
  } catch (const std::system_error&) {
    outdated_ = true;
  }
}

bool ClassDirectory::take_loaded(std::vector<std::string>& complaints) {
  if (loading_.valid() && loading_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
    loaded_ = loading_.get();
    told_ = false;
  }
  if (std::exchange(told_, true)) return false;
  complaints = std::exchange(loaded_.complaints, {});
  return true;
}

bool ClassDirectory::look_at_host(const LinkTable& links, const AddressTable& addresses) {
  auto host = host_classes({.links = links, .addresses = addresses, .resolvers = resolvers_.look()});
  if (host == host_) return false;
  host_ = std::move(host);
  return true;
}

bool ClassDirectory::files_changed() const {
  return std::ranges::any_of(loaded_.files,
                             [](const auto& file) { return stamp_of(file.first) != file.second.stamp; });
}

}  // namespace rheo
