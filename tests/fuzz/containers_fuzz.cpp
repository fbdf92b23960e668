// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file of a container runtime: strings in UTF-8, or nothing; never a crash.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/base/assert.h"
#include "daemon/base/utf8.h"
#include "daemon/enrich/json_strings.h"

namespace {

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = rheo::utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string name;
  std::string image;
  std::string id;
  bool asked = false;
  const bool read =
      rheo::read_json_strings(text, {{{"Name"}, &name}, {{"Config", "Image"}, &image}, {{"[]", "id"}, &id}},
                              [&] { return asked = !id.empty(); });
  if (read) RHEO_ASSERT(is_utf8(name) && is_utf8(image) && is_utf8(id));
  RHEO_ASSERT(name.size() + image.size() + id.size() <= size);
  RHEO_ASSERT(!asked || read);
  return 0;
}
