// SPDX-License-Identifier: Apache-2.0
// Which elements stand in which template, and in what order. A template is a kind of record; its id never
// changes, so that no id means two layouts within a session. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "export/ipfix/elements.h"

namespace rheo {

struct TemplateField {
  const IpfixElement* element = nullptr;
  bool reverse = false;
};

/// Address families × transports × carriers.
inline constexpr std::size_t kRecordKindCount = 24;
inline constexpr std::uint16_t kFirstRecordTemplate = 256;
inline constexpr std::uint16_t kFirstOptionsTemplate = 512;

RecordKind kind_of(const FlowRecord& record);

/// 0 to kRecordKindCount - 1, and back.
std::size_t index_of(RecordKind kind);
RecordKind kind_at(std::size_t index);

/// Those of `chosen` that a record of this kind has. Split records have no reverse elements.
std::vector<TemplateField> fields_of(std::span<const IpfixElement* const> chosen, RecordKind kind,
                                     IpfixBiflow biflow);

/// The fields of a template of options: each must be in the table.
std::vector<TemplateField> fields_named(std::span<const std::string_view> names);

/// Octets of a record; a field of variable length counts as 0.
std::size_t record_size(std::span<const TemplateField> fields);

/// Octets of the template record: its header and one specifier a field.
std::size_t template_size(std::span<const TemplateField> fields);

inline constexpr std::uint16_t kVariableLength = 65'535;

}  // namespace rheo
