// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/container_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "daemon/base/read_file.h"
#include "daemon/base/unique_fd.h"
#include "daemon/base/utf8.h"
#include "daemon/enrich/json_strings.h"

namespace rheo {
namespace {

constexpr std::string_view kDocker = "/var/lib/docker/containers";
constexpr std::string_view kContainerd = "/run/containerd/io.containerd.runtime.v2.task";
constexpr std::string_view kStorage = "/var/lib/containers/storage";
constexpr std::string_view kMachines = "/run/systemd/machines";

/// As it is told: UTF-8 without controls, and not too long.
std::string told(std::string_view text) {
  const std::string clean = without_controls(valid_utf8(text.substr(0, 2 * kMaxContainerText)));
  std::size_t end = 0;
  while (end < clean.size()) {
    const std::size_t length = utf8_length(std::string_view(clean).substr(end));
    if (length == 0 || end + length > kMaxContainerText) break;
    end += length;
  }
  return clean.substr(0, end);
}

/// The text of a regular file below `folder`; nothing where a link is on the way, or it is too long.
std::optional<std::string> read_below(const std::string& folder, const std::vector<std::string>& names,
                                      std::size_t most) {
  UniqueFd at(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (std::size_t i = 0; at && i < names.size(); ++i) {
    const int kind = i + 1 < names.size() ? O_DIRECTORY : 0;
    at.reset(::openat(at.get(), names[i].c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC | kind));
  }
  struct stat status{};
  if (!at || ::fstat(at.get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  auto text = read_file("read a container's file", "/proc/self/fd/" + std::to_string(at.get()), most + 1);
  if (!text || text->size() > most) return std::nullopt;
  return *std::move(text);
}

ContainerLabel docker_label(const std::string& root, const std::string& id) {
  const auto text = read_below(root + std::string(kDocker), {id, "config.v2.json"}, kMaxContainerFile);
  ContainerLabel label;
  if (!text || !read_json_strings(*text, {{{"Name"}, &label.name}, {{"Config", "Image"}, &label.image}}))
    return {};
  if (label.name.starts_with('/')) label.name.erase(0, 1);
  return label;
}

/// Kubernetes' containers, and nerdctl's.
ContainerLabel containerd_label(const std::string& root, const std::string& id) {
  for (const char* space : {"k8s.io", "default"}) {
    const auto text =
        read_below(root + std::string(kContainerd), {space, id, "config.json"}, kMaxContainerFile);
    ContainerLabel label;
    std::string nerdctl;
    std::string sandbox;
    if (!text ||
        !read_json_strings(*text, {{{"annotations", "io.kubernetes.cri.container-name"}, &label.name},
                                   {{"annotations", "io.kubernetes.cri.image-name"}, &label.image},
                                   {{"annotations", "nerdctl/name"}, &nerdctl},
                                   {{"annotations", "io.kubernetes.cri.sandbox-name"}, &sandbox}}))
      continue;
    if (label.name.empty()) label.name = nerdctl.empty() ? sandbox : nerdctl;
    return label;
  }
  return {};
}

/// Podman and CRI-O keep one list of their containers, and another of those that no reboot outlives.
ContainerLabel listed_label(const std::string& root, const std::string& id) {
  for (const char* driver : {"overlay-containers", "vfs-containers", "btrfs-containers", "zfs-containers"}) {
    for (const char* list : {"containers.json", "volatile-containers.json"}) {
      const auto text = read_below(root + std::string(kStorage), {driver, list}, kMaxContainerList);
      std::string its_id;
      std::string name;
      std::string metadata;
      const auto found = [&] {
        if (its_id == id) return true;
        for (std::string* const one : {&its_id, &name, &metadata}) one->clear();
        return false;
      };
      if (!text ||
          !read_json_strings(
              *text,
              {{{"[]", "id"}, &its_id}, {{"[]", "names", "[]"}, &name}, {{"[]", "metadata"}, &metadata}},
              found) ||
          its_id != id)
        continue;
      ContainerLabel label;
      std::string kubernetes;
      if (!read_json_strings(metadata, {{{"image-name"}, &label.image}, {{"metadata-name"}, &kubernetes}}))
        label.image.clear();
      label.name = kubernetes.empty() ? name : kubernetes;
      return label;
    }
  }
  return {};
}

/// machined's own, "ROOT=/var/lib/machines/web" in a line.
ContainerLabel machine_label(const std::string& root, const std::string& id) {
  ContainerLabel label{.name = id, .image = {}};
  const auto text = read_below(root + std::string(kMachines), {id}, kMaxContainerFile);
  if (!text) return label;
  constexpr std::string_view key = "\nROOT=";
  const std::string lines = "\n" + *text;
  const std::size_t at = lines.find(key);
  if (at != std::string::npos) {
    const std::size_t from = at + key.size();
    label.image = lines.substr(from, lines.find('\n', from) - from);
  }
  return label;
}

using Reader = ContainerLabel (*)(const std::string& root, const std::string& id);
struct Runtime {
  std::string_view name;
  Reader read;
};
constexpr std::array kRuntimes = {Runtime{"docker", docker_label}, Runtime{"containerd", containerd_label},
                                  Runtime{"cri-o", listed_label}, Runtime{"podman", listed_label},
                                  Runtime{"systemd-nspawn", machine_label}};

ContainerLabel read_label(const std::string& root, const std::string& id, std::string_view runtime) {
  if (runtime == "lxc") return {.name = id, .image = {}};
  for (const Runtime& one : kRuntimes)
    if (one.name == runtime) return one.read(root, id);
  for (const Reader read : {docker_label, containerd_label, listed_label})
    if (ContainerLabel label = read(root, id); label != ContainerLabel()) return label;
  return {};
}

}  // namespace

bool is_container_word(std::string_view id) {
  return !id.empty() && id.size() <= kMaxContainerText && id.front() != '.' &&
         std::ranges::all_of(id, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                  c == '-' || c == '.';
         });
}

ContainerLabel read_container_label(const std::string& root, std::string_view id, std::string_view runtime) {
  if (!is_container_word(id)) return {};
  ContainerLabel label = read_label(root, std::string(id), runtime);
  return {.name = told(label.name), .image = told(label.image)};
}

std::vector<std::string> unreadable_container_folders(const std::string& root) {
  std::vector<std::string> refused;
  for (const std::string_view folder : {kDocker, kContainerd, kStorage}) {
    const std::string path = root + std::string(folder);
    const UniqueFd open(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!open && (errno == EACCES || errno == EPERM)) refused.push_back(path + ": " + std::strerror(errno));
  }
  return refused;
}

}  // namespace rheo
