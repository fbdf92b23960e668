// SPDX-License-Identifier: Apache-2.0
// The one table of information elements: what each is called, numbered and typed, in which records and
// profiles it stands, and where its value comes from. Templates, records, type information (RFC 5610) and
// rheo-ipfix(5) all follow it. Constants and pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/model/address_classes.h"
#include "daemon/model/flow_record.h"
#include "daemon/model/owner.h"
#include "export/ipfix/encoder.h"

namespace rheo {

/// Numbers of the IANA registry "IPFIX Information Element Data Types".
enum class IpfixType : std::uint8_t {
  octet_array = 0,
  unsigned8 = 1,
  unsigned16 = 2,
  unsigned32 = 3,
  unsigned64 = 4,
  mac_address = 12,
  string = 13,
  date_time_milliseconds = 15,
  ipv4_address = 18,
  ipv6_address = 19,
};

/// Numbers of the IANA registries "IPFIX Information Element Semantics" and "… Units".
enum class IpfixSemantics : std::uint8_t {
  none = 0,
  quantity = 1,
  total_counter = 2,
  delta_counter = 3,
  identifier = 4,
  flags = 5,
};
enum class IpfixUnits : std::uint8_t {
  none = 0,
  octets = 2,
  packets = 3,
  flows = 4,
  milliseconds = 6,
  microseconds = 7,
  messages = 10
};

/// Of a data record; the numbers are part of its kind's template id.
enum class IpfixProtocol : std::uint8_t {
  tcp,
  ports,
  icmp,
  other
};  // ports: UDP, SCTP and others that have them
enum class IpfixCarrier : std::uint8_t { none, ipv4, ipv6 };  // the tunnel's outer packet

/// What a record is: one template each.
struct RecordKind {
  bool ipv6 = false;
  IpfixProtocol transport = IpfixProtocol::other;
  IpfixCarrier carrier = IpfixCarrier::none;
};

/// A record as one direction of it sees it.
struct FlowView {
  const FlowRecord& record;
  const FlowDirection& counted;  // the direction that is told
  const FlowDirection& opposite;
  bool turned = false;  // source and destination change places: the second record of IpfixBiflow::split
  std::uint16_t community_id_seed = 0;
  const AddressClasses* classes = nullptr;  // null: not known
  const Owner* source_owner = nullptr;      // of the initiator's socket; null: not known
  const Owner* destination_owner = nullptr;
};

/// Where an element's value is from. `put` writes exactly `length` octets in network order.
struct IpfixSource {
  void (*put)(std::byte* at, const FlowView& view) = nullptr;
  std::uint16_t length = 0;
};

/// Where the reverse form (RFC 5103) stands in a template. nfdump takes every reverse element that is not a
/// counter for its forward one, so these come before it and the last one met is right.
enum class IpfixReverse : std::uint8_t { never, in_front, beside };

/// The smallest profile that has the element; an added one stands in records only where the settings name it.
enum class IpfixSet : std::uint8_t { compact, standard, full, added, options_only };

struct IpfixElement {
  std::string_view name;  // ends with a zero
  std::uint16_t number = 0;
  bool own = false;  // under the private enterprise number
  IpfixType type = IpfixType::unsigned64;
  IpfixSemantics semantics = IpfixSemantics::none;
  IpfixUnits units = IpfixUnits::none;
  IpfixReverse reverse = IpfixReverse::never;
  bool (*stands_in)(RecordKind kind) = nullptr;
  IpfixSet set = IpfixSet::full;
  IpfixSource source;
  std::string_view meaning;
};

/// In the order in which they stand in a template.
std::span<const IpfixElement> ipfix_elements();

/// Null when there is none of that name.
const IpfixElement* find_ipfix_element(std::string_view name);

/// "octetDeltaCount" becomes "reverseOctetDeltaCount" (RFC 5103).
std::string reverse_element_name(std::string_view name);

/// The bit of the number of a reverse element under a private enterprise number (RFC 5103 6.2).
inline constexpr std::uint16_t kReverseBit = 0x4000;

/// The enterprise number of the reverse forms of IANA's elements (RFC 5103).
inline constexpr std::uint32_t kReversePen = 29'305;

/// The profile's elements and `add`, without `remove`, in the table's order. Fails on a name that the table
/// does not have, or that only options use.
Result<std::vector<const IpfixElement*>> choose_elements(IpfixProfile profile,
                                                         std::span<const std::string> add,
                                                         std::span<const std::string> remove);

}  // namespace rheo
