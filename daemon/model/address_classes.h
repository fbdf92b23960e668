// SPDX-License-Identifier: Apache-2.0
// AddressClasses: what kind of place an address is, by the settings and by what the host itself has. A plain
// value, published as a snapshot; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/flow_record.h"
#include "daemon/model/prefix_trie.h"

namespace rheo {

/// A class is a number, good for one AddressClasses. These are in all; names of the settings come behind.
enum class AddressClass : std::uint16_t { external, internal, localhost, dns, docker, k8s_pod, k8s_svc };
inline constexpr std::uint16_t kBuiltInClasses = 7;

/// "external", "internal", "localhost", "dns", "docker", "k8sPod", "k8sSvc".
std::string_view built_in_class_name(AddressClass address_class);

/// On which of the lists of the settings an address is.
enum class Listed : std::uint8_t { none, black, white };

/// "black", "white"; "" for none.
std::string_view listed_name(Listed listed);

/// Where a flow goes from the host's point of view.
enum class HostDirection : std::uint8_t { local, egress, ingress, forwarded };

/// "local", "egress", "ingress", "forwarded".
std::string_view host_direction_name(HostDirection direction);

/// What the settings say, files that they name included.
struct ConfiguredClasses {
  std::vector<std::string> names;  // of the class numbers from kBuiltInClasses on
  PrefixTrie classes;              // to class numbers
  PrefixTrie lists;                // to Listed
};

/// What was found on the host.
struct HostClasses {
  PrefixTrie classes;  // to class numbers
  PrefixTrie own;      // its addresses
};

class AddressClasses {
 public:
  /// Every address is external, and on no list.
  AddressClasses() : AddressClasses(std::make_shared<const ConfiguredClasses>(), {}) {}

  AddressClasses(std::shared_ptr<const ConfiguredClasses> configured, HostClasses host)
      : configured_(std::move(configured)), host_(std::move(host)) {}

  /// The class of the longest prefix. Of two that are equal that of the settings wins, but for `internal`.
  std::uint16_t find(const Address& address) const;

  std::string_view name(std::uint16_t number) const;
  std::string_view name_of(const Address& address) const { return name(find(address)); }

  /// Nothing: there is no such class.
  std::optional<std::uint16_t> number_of(std::string_view name) const;

  Listed listed(const Address& address) const;

  /// By which of the two is the host's own, whatever the settings call it: local, both are; forwarded,
  /// neither is. What others send to a group or to all (255.255.255.255) is ingress.
  HostDirection direction(const Address& initiator, const Address& responder) const;

 private:
  std::shared_ptr<const ConfiguredClasses> configured_;
  HostClasses host_;
};

}  // namespace rheo
