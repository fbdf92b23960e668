// SPDX-License-Identifier: Apache-2.0
// The options of an IPFIX exporter: its templates, and the records that tell of interfaces, of what was lost,
// of sampling, and of our own elements' types (RFC 5610). Pure functions, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/link.h"
#include "export/ipfix/elements.h"

namespace rheo {

/// Each has a template of its own. Two that tell the same thing are for collectors that read only one of
/// them.
enum class IpfixOptionsKind : std::uint8_t {
  exporting_process,   // RFC 7011 4.1 to 4.3
  metering_losses,     // one record a reason
  sampling,            // RFC 5477
  sampling_legacy,     // as NetFlow version 9 had it
  element_types,       // RFC 5610
  interfaces,          // the scope is the observation domain and the name
  interfaces_by_scope  // the scope is the interface
};
inline constexpr std::size_t kOptionsKindCount = 7;

struct OptionsTemplate {
  std::uint16_t scope_fields = 0;
  std::vector<std::string_view> fields;  // those of variable length are last
};

/// By IpfixOptionsKind; the template's id is kFirstOptionsTemplate plus its place here.
const std::array<OptionsTemplate, kOptionsKindCount>& options_templates();

struct OptionsRecord {
  std::vector<std::byte> fixed;       // in network order
  std::vector<std::string> variable;  // each below 255 octets

  /// On the wire.
  std::size_t size() const;
  friend bool operator==(const OptionsRecord&, const OptionsRecord&) = default;
};

/// Everything that options tell of.
struct OptionsInput {
  const IpfixEncoderOptions& settings;
  std::span<const IpfixElement* const> elements;  // those of the templates
  const IpfixStatistics& statistics;
  const LinkTable& links;
};

std::vector<OptionsRecord> options_records(IpfixOptionsKind kind, const OptionsInput& input);

}  // namespace rheo
