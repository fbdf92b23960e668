// SPDX-License-Identifier: Apache-2.0
// The words for the model's closed sets, the same in every format. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

#include "daemon/model/flow_record.h"

namespace rheo {

/// "idle timeout", "active timeout", "end of Flow detected" (FIN and RST), "lack of resources", "forced end".
std::string_view end_reason_name(EndReason reason);

/// RFC 5102 flowEndReason: 1 to 5.
std::uint8_t ipfix_end_reason(EndReason reason);

/// "closed", "syn_sent", …; "" for TcpState::none.
std::string_view tcp_state_name(TcpState state);

/// "handshake", "listener", "port", "first_packet".
std::string_view initiator_by_name(InitiatorBy by);

/// "vxlan", "geneve", "gre", "nvgre", "ipip", "6in4", "4in6", "6in6"; "" for none.
std::string_view tunnel_type_name(TunnelType type);

/// "tcp", "udp", "icmpv6", …, or the number in decimal.
std::string protocol_name(std::uint8_t protocol);

/// "10.0.0.1" or "2001:db8::1" (RFC 5952).
std::string address_text(const Address& address, bool ipv6);

/// "02:00:00:00:00:01"
std::string mac_text(const MacAddress& mac);

/// "SYN|ACK" in the wire's order from FIN up; "" for none.
std::string tcp_flags_text(std::uint16_t flags);

}  // namespace rheo
