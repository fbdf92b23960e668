// SPDX-License-Identifier: Apache-2.0
// Every value of every closed set has a word of its own in every format.
#include "daemon/model/names.h"

#include <gtest/gtest.h>

#include <set>

namespace rheo {
namespace {

TEST(Names, EveryEndReasonHasAWordAndAnIpfixValue) {
  // RFC 5102, 5.11.3: 1 idle, 2 active, 3 end of flow detected, 4 forced end, 5 lack of resources.
  const std::pair<std::string_view, int> expected[kEndReasonCount] = {
      {"idle timeout", 1},         {"active timeout", 2},    {"end of Flow detected", 3},
      {"end of Flow detected", 3}, {"lack of resources", 5}, {"forced end", 4}};
  for (int i = 0; i < kEndReasonCount; ++i) {
    EXPECT_EQ(end_reason_name(static_cast<EndReason>(i)), expected[i].first);
    EXPECT_EQ(ipfix_end_reason(static_cast<EndReason>(i)), expected[i].second);
  }
}

template <class E>
void expect_distinct_words(int count, std::string_view (*name)(E), bool first_is_none) {
  std::set<std::string_view> words;
  for (int i = first_is_none ? 1 : 0; i < count; ++i) {
    const std::string_view word = name(static_cast<E>(i));
    EXPECT_FALSE(word.empty()) << i;
    EXPECT_TRUE(words.insert(word).second) << word << " stands for two values";
  }
  EXPECT_EQ(name(static_cast<E>(0)).empty(), first_is_none);
}

TEST(Names, EveryTcpStateHasAWord) { expect_distinct_words(kTcpStateCount, tcp_state_name, true); }
TEST(Names, EveryTunnelTypeHasAWord) { expect_distinct_words(kTunnelTypeCount, tunnel_type_name, true); }
TEST(Names, EveryInitiatorByHasAWord) { expect_distinct_words(kInitiatorByCount, initiator_by_name, false); }

TEST(Names, ProtocolsHaveOpenTelemetrysWordsOrTheirNumber) {
  EXPECT_EQ(protocol_name(6), "tcp");
  EXPECT_EQ(protocol_name(58), "icmpv6");
  EXPECT_EQ(protocol_name(253), "253");
}

TEST(Names, TcpFlagsInTheWiresOrder) {
  EXPECT_EQ(tcp_flags_text(0x12), "SYN|ACK");
  EXPECT_EQ(tcp_flags_text(0x1ff), "FIN|SYN|RST|PSH|ACK|URG|ECE|CWR|AE");
  EXPECT_EQ(tcp_flags_text(0), "");
  EXPECT_EQ(tcp_flags_text(kFlagSynOnly | kFlagSynAck), "");
}

TEST(Names, MacAddresses) { EXPECT_EQ(mac_text({2, 0, 0, 0, 0xab, 1}), "02:00:00:00:ab:01"); }

}  // namespace
}  // namespace rheo
