// SPDX-License-Identifier: Apache-2.0
// FlowFilter: an expression such as "tcp and dst port 443 and src net 10.0.0.0/8" that a flow matches or not.
// Immutable once made; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/model/address_classes.h"
#include "daemon/model/flow_record.h"
#include "daemon/model/link.h"
#include "daemon/model/owner.h"

namespace rheo {

/// What a filter asks of others; null: it is not known here, and an expression that needs it is refused.
struct FilterSources {
  std::shared_ptr<const AddressClasses> classes;
  Owners* owners = nullptr;  // outlives the filter
};

class FlowFilter {
 public:
  static constexpr std::size_t kMaxBytes = 4'096;
  static constexpr std::size_t kMaxDepth = 32;  // of parentheses and "not"

  /// Matches every flow.
  FlowFilter() = default;

  /// The expression may come from anybody. Names of interfaces are looked up in `links`. The error is one
  /// sentence that names the word it stumbled over. "" matches every flow.
  ///
  ///   EXPRESSION := TERM { "or" TERM }     TERM := FACTOR { ["and"] FACTOR }
  ///   FACTOR     := "not" FACTOR | "(" EXPRESSION ")" | PRIMITIVE
  ///   PRIMITIVE  := tcp | udp | icmp | icmpv6 | sctp | proto N | ip | ip6 | vlan N | interface NAME
  ///               | [src|dst] host ADDRESS | [src|dst] net ADDRESS/BITS | [src|dst] port N[-N]
  ///               | [src|dst] class NAME | [src|dst] unit NAME | [src|dst] user NAME | [src|dst] uid N
  ///               | [src|dst] process NAME-OR-PATH | [src|dst] pid N | [src|dst] container NAME-OR-ID
  ///
  /// A name may stand in double quotes; of a container's id the beginning is enough.
  static Result<FlowFilter> parse(std::string_view text, const LinkTable& links, FilterSources sources = {});

  bool matches(const FlowRecord& record) const;

  enum class What : std::uint8_t {
    all_of,
    any_of,
    negate,
    protocol,
    family,
    vlan,
    link,
    net,
    port,
    place,
    unit,
    user,
    uid,
    process,
    pid,
    container
  };
  enum class Side : std::uint8_t { either, source, destination };

  /// One step in postfix order: conditions push a truth, all_of and any_of take two and push one.
  struct Step {
    What what = What::protocol;
    Side side = Side::either;
    std::uint32_t low = 0;   // number, or the least of a range; of a net: its bits; of a place: its class
    std::uint32_t high = 0;  // the greatest of a range
    Address address{};
    std::string name{};  // of an owner
  };

 private:
  FlowFilter(std::vector<Step> steps, FilterSources sources)
      : steps_(std::move(steps)), sources_(std::move(sources)) {}

  std::vector<Step> steps_;
  FilterSources sources_;
};

/// By which of a flow's numbers flows are put in order, the greatest first.
enum class FlowOrder : std::uint8_t { bytes, packets, start, end };

struct FlowQuery {
  FlowFilter filter;
  FlowOrder order = FlowOrder::bytes;
  std::uint32_t limit = 1'000;
};

}  // namespace rheo
