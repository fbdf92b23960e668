// SPDX-License-Identifier: Apache-2.0
// What the files of container runtimes say of a container. Any thread; reads files.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rheo {

struct ContainerLabel {
  std::string name;   // as its user knows it; "" where nothing tells
  std::string image;  // "docker.io/library/nginx:1.27", of nspawn the folder or file; likewise
  friend bool operator==(const ContainerLabel&, const ContainerLabel&) = default;
};

/// Octets of a name, and of an image's, as they are told.
inline constexpr std::size_t kMaxContainerText = 128;

/// A file of one container, and the file with all of podman's; what is longer is not read.
inline constexpr std::size_t kMaxContainerFile = 1U << 20U;
inline constexpr std::size_t kMaxContainerList = 4U << 20U;

/// Whether an id can stand in a path: letters, digits, "_", "-", ".", and no point in front.
bool is_container_word(std::string_view id);

/// By the id and runtime of CgroupMeaning; of runtime "" all that know ids of 64 digits are asked. Empty
/// where no file is there, may be read, or makes sense. `root` comes before each path: "" for the host's. No
/// link behind the folders of the runtimes is followed.
ContainerLabel read_container_label(const std::string& root, std::string_view id, std::string_view runtime);

/// Folders of runtimes that are there and that this process may not read, in words.
std::vector<std::string> unreadable_container_folders(const std::string& root);

}  // namespace rheo
