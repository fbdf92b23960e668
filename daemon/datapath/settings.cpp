// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/settings.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <limits>
#include <span>

namespace rheo {
namespace {

std::uint64_t nearest_power_of_two(std::uint64_t value) {
  if (value <= 1) return 1;
  const std::uint64_t below = std::bit_floor(value);
  return value - below < 2 * below - value ? below : 2 * below;
}

/// Fills `places` and marks each port in `filter`, by the rule beside abi::parse_settings.
Status put_ports(std::string_view name, const std::vector<std::uint16_t>& ports, std::span<__u16> places,
                 __u64& filter) {
  if (ports.size() > places.size())
    return failure(
        fmt::format("{}: {} ports given, at most {} are possible", name, ports.size(), places.size()));
  std::copy(ports.begin(), ports.end(), places.begin());
  for (const std::uint16_t port : ports) filter |= port == 0 ? 0 : abi::tunnel_port_bit(port);
  return Done{};
}

}  // namespace

Result<Geometry> make_geometry(const DatapathOptions& options, std::uint32_t cpus) {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t ring = options.evicted_ring;
  // The kernel's own limit: record offsets in pages must fit, and max_entries is 32 bits.
  constexpr std::uint64_t kLargestRing = 1ULL << 31U;
  if (!std::has_single_bit(ring) || ring < page || ring > kLargestRing)
    return failure(
        fmt::format("evicted_ring: {} bytes is not a power of two from {} to {}", ring, page, kLargestRing));

  const std::uint64_t sets = nearest_power_of_two(options.flow_cache_rows / abi::FLOW_CACHE_WAYS / cpus);
  return Geometry{
      .partition_sets = static_cast<std::uint32_t>(sets), .partition_count = cpus, .ring_bytes = ring};
}

std::uint32_t configured_cpus() {
  return static_cast<std::uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_CONF)));
}

bool realtime_kernel() {
  std::ifstream file("/sys/kernel/realtime");
  int value = 0;
  return file >> value && value == 1;
}

Result<abi::parse_settings> make_parse_settings(const DatapathOptions& options) {
  abi::parse_settings parse{};
  auto& filter = parse.tunnel_port_filter;
  if (auto put = put_ports("vxlan_ports", options.vxlan_ports, parse.vxlan_ports, filter); !put)
    return forward(std::move(put));
  if (auto put = put_ports("geneve_ports", options.geneve_ports, parse.geneve_ports, filter); !put)
    return forward(std::move(put));
  if (auto put = put_ports("wireguard_ports", options.wireguard_ports, parse.wireguard_ports, filter); !put)
    return forward(std::move(put));
  parse.decapsulate_gre = options.decapsulate_gre;
  parse.decapsulate_ipip = options.decapsulate_ipip;
  return parse;
}

Result<abi::meter_settings> make_meter_settings(const DatapathOptions& options, const Geometry& geometry) {
  auto parse = make_parse_settings(options);
  if (!parse) return forward(std::move(parse));

  abi::meter_settings settings{};
  settings.parse = *parse;
  // At boot this may wait for entropy; 64 bytes come in one piece.
  if (::getrandom(settings.hash_seed, sizeof settings.hash_seed, 0) != sizeof settings.hash_seed)
    return errno_error("getrandom");
  for (auto& factor : settings.hash_seed) factor |= 1;  // so that no product loses a bit
  settings.partition_sets = geometry.partition_sets;
  settings.partition_count = geometry.partition_count;
  settings.note_tcp = options.note_tcp;
  settings.ring_wakeup_bytes = static_cast<std::uint32_t>(geometry.ring_bytes / 4);
  settings.claim_partition = realtime_kernel();
  return settings;
}

}  // namespace rheo
