// SPDX-License-Identifier: Apache-2.0
// IpfixDecoder: reads IPFIX messages by RFC 7011 alone, knows nothing of rheo and is strict: whatever is
// allowed but should not come from an exporter of ours (a withdrawal, a template changed, an empty set) is an
// error too.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace rheo::test {

using Octets = std::vector<std::uint8_t>;

struct DecodedField {
  std::uint32_t enterprise = 0;  // 0: IANA
  std::uint16_t number = 0;
  std::uint16_t length = 0;  // as in the template
  friend bool operator==(const DecodedField&, const DecodedField&) = default;
};

struct DecodedTemplate {
  std::size_t scope_fields = 0;
  std::vector<DecodedField> fields;
  friend bool operator==(const DecodedTemplate&, const DecodedTemplate&) = default;
};

struct DecodedRecord {
  std::uint16_t template_id = 0;
  bool options = false;
  std::vector<DecodedField> fields;
  std::vector<Octets> values;  // one a field

  /// The value of the last such field, null without one.
  const Octets* find(std::uint32_t enterprise, std::uint16_t number) const {
    const Octets* found = nullptr;
    for (std::size_t i = 0; i < fields.size(); ++i)
      if (fields[i].enterprise == enterprise && fields[i].number == number) found = &values[i];
    return found;
  }
  /// 2^64 - 1 without such a field.
  std::uint64_t number(std::uint32_t enterprise, std::uint16_t number_of) const {
    const Octets* octets = find(enterprise, number_of);
    if (octets == nullptr) return ~std::uint64_t{0};
    std::uint64_t value = 0;
    for (const std::uint8_t octet : *octets) value = value << 8U | octet;
    return value;
  }
  /// Without zeros at the end; "?" without such a field.
  std::string text(std::uint32_t enterprise, std::uint16_t number_of) const {
    const Octets* octets = find(enterprise, number_of);
    if (octets == nullptr) return "?";
    std::string value(octets->begin(), octets->end());
    while (!value.empty() && value.back() == '\0') value.pop_back();
    return value;
  }
};

/// One transport session of one observation domain.
class IpfixDecoder {
 public:
  std::map<std::uint16_t, DecodedTemplate> templates;
  std::vector<DecodedRecord> records;  // all, in order
  std::uint32_t next_sequence = 0;
  std::uint32_t domain = 0;
  std::uint32_t export_time = 0;
  std::vector<std::uint16_t> sets;            // ids, in order
  std::vector<std::uint16_t> templates_read;  // ids, in order
  std::size_t most_option_templates_in_set = 0;

  void new_session() {
    templates.clear();
    next_sequence = 0;
  }

  /// "" or what is wrong with the message.
  std::string decode(std::span<const std::byte> message) {
    const auto* first = reinterpret_cast<const std::uint8_t*>(message.data());
    at_ = first;
    end_ = first + message.size();
    if (message.size() < 16) return "shorter than its header";
    if (take(2) != 10) return "version is not 10";
    if (take(2) != message.size()) return "length is not the message's";
    export_time = static_cast<std::uint32_t>(take(4));
    if (take(4) != next_sequence) return "sequence number is not " + std::to_string(next_sequence);
    domain = static_cast<std::uint32_t>(take(4));
    if (at_ == end_) return "no set";
    while (at_ != end_)
      if (std::string wrong = set(); !wrong.empty()) return wrong;
    return "";
  }

 private:
  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  std::uint64_t take(std::size_t octets) {
    std::uint64_t value = 0;
    for (; octets > 0; --octets) value = value << 8U | *at_++;
    return value;
  }

  std::string set() {
    if (left() < 4) return "a set without room for its header";
    const auto id = static_cast<std::uint16_t>(take(2));
    const std::uint64_t length = take(2);
    if (length <= 4) return "a set without content";
    if (length - 4 > left()) return "a set that passes the message's end";
    const std::uint8_t* message_end = end_;
    end_ = at_ + length - 4;
    sets.push_back(id);
    std::string wrong = id >= 256 ? data_set(id) : template_set(id);
    if (wrong.empty() && at_ != end_) wrong = "octets after the last record of set " + std::to_string(id);
    end_ = message_end;
    return wrong;
  }

  std::string template_set(std::uint16_t set_id) {
    if (set_id != 2 && set_id != 3) return "set id " + std::to_string(set_id);
    std::size_t count = 0;
    while (left() > 0) {
      if (left() < (set_id == 3 ? 6U : 4U)) return "a template without room for its header";
      const auto id = static_cast<std::uint16_t>(take(2));
      const std::uint64_t field_count = take(2);
      if (id < 256) return "template id " + std::to_string(id);
      if (field_count == 0) return "a withdrawal";
      DecodedTemplate made{.scope_fields = set_id == 3 ? static_cast<std::size_t>(take(2)) : 0, .fields = {}};
      if (set_id == 3 && (made.scope_fields == 0 || made.scope_fields > field_count)) return "scope fields";
      if (std::string wrong = fields(field_count, made); !wrong.empty()) return wrong;
      if (templates.contains(id) && templates[id] != made) return "template changed: " + std::to_string(id);
      templates[id] = made;
      templates_read.push_back(id);
      if (set_id == 3) most_option_templates_in_set = std::max(most_option_templates_in_set, ++count);
    }
    return "";
  }

  std::string fields(std::uint64_t count, DecodedTemplate& made) {
    for (; count > 0; --count) {
      if (left() < 4) return "a template that passes its set's end";
      const std::uint64_t number = take(2);
      DecodedField field{.number = static_cast<std::uint16_t>(number & 0x7fffU),
                         .length = static_cast<std::uint16_t>(take(2))};
      if (field.length == 0 || field.number == 0) return "a field of number or length 0";
      if ((number & 0x8000U) != 0) {
        if (left() < 4) return "an enterprise number that passes its set's end";
        field.enterprise = static_cast<std::uint32_t>(take(4));
      }
      made.fields.push_back(field);
    }
    return "";
  }

  std::string data_set(std::uint16_t id) {
    const auto found = templates.find(id);
    if (found == templates.end()) return "data before its template " + std::to_string(id);
    while (left() > 0) {
      DecodedRecord record{.template_id = id,
                           .options = found->second.scope_fields != 0,
                           .fields = found->second.fields,
                           .values = {}};
      for (const DecodedField& field : record.fields) {
        std::size_t length = field.length;
        if (length == 65'535) {
          if (left() < 1) return "no length of a variable field";
          length = take(1);
          if (length == 255) {
            if (left() < 2) return "no long length of a variable field";
            length = take(2);
          }
        }
        if (length > left()) return "a record that passes its set's end";
        record.values.emplace_back(at_, at_ + length);
        at_ += length;
      }
      records.push_back(std::move(record));
      ++next_sequence;
    }
    return "";
  }

  const std::uint8_t* at_ = nullptr;
  const std::uint8_t* end_ = nullptr;
};

}  // namespace rheo::test
