// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/json_strings.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

namespace rheo {
namespace {

/// What nlohmann::json::sax_parse() calls; false stops it. Its parser keeps one bit a level and does not
/// recurse.
class StringFinder {
 public:
  StringFinder(const std::vector<JsonString>& wanted, const std::function<bool()>& enough)
      : wanted_(wanted), enough_(enough) {}

  bool stopped_early() const { return stopped_early_; }

  bool null() { return true; }
  bool boolean(bool /*value*/) { return true; }
  bool number_integer(std::int64_t /*value*/) { return true; }
  bool number_unsigned(std::uint64_t /*value*/) { return true; }
  bool number_float(double /*value*/, const std::string& /*text*/) { return true; }
  bool binary(const nlohmann::json::binary_t& /*value*/) { return false; }
  bool string(const std::string& value) {
    for (const JsonString& one : wanted_)
      if (one.value->empty() && std::ranges::equal(one.path, keys_)) *one.value = value;
    return true;
  }
  bool start_object(std::size_t /*members*/) { return deeper(""); }
  bool start_array(std::size_t /*members*/) { return deeper("[]"); }
  bool key(const std::string& name) {
    keys_.back() = name;
    return true;
  }
  bool end_array() {
    keys_.pop_back();
    return true;
  }
  bool end_object() {
    keys_.pop_back();
    stopped_early_ = enough_ && keys_.size() == 1 && keys_.front() == "[]" && enough_();
    return !stopped_early_;
  }
  static bool parse_error(std::size_t /*at*/, const std::string& /*token*/,
                          const nlohmann::json::exception& /*error*/) {
    return false;
  }

 private:
  bool deeper(const char* first) {
    keys_.emplace_back(first);
    return keys_.size() <= kMaxJsonDepth;
  }

  const std::vector<JsonString>& wanted_;
  const std::function<bool()>& enough_;
  std::vector<std::string> keys_;
  bool stopped_early_ = false;
};

}  // namespace

bool read_json_strings(std::string_view text, const std::vector<JsonString>& wanted,
                       const std::function<bool()>& enough) {
  StringFinder finder(wanted, enough);
  return nlohmann::json::sax_parse(text.begin(), text.end(), &finder) || finder.stopped_early();
}

}  // namespace rheo
