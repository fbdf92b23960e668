// SPDX-License-Identifier: Apache-2.0
// Events: log lines that have an identity of their own, the journal's MESSAGE_ID, so that programs find them
// whatever their words are. Constants; rheod(8) has the same list, and a check compares the two.
#pragma once

#include <string_view>

namespace rheo::log {

/// 128 random bits in hexadecimal, see sd-id128(3). They never change.
struct Event {
  std::string_view id;
};

inline constexpr Event kMetering{"68016a47aca9765c5c7a147530dd2d74"};
inline constexpr Event kInterfaceMetered{"a73f47d860444d98ef624a76fa8731e6"};
inline constexpr Event kInterfaceLeft{"47985f14e3ab73c81548f340fccfe15d"};
inline constexpr Event kInterfaceRefused{"9af3be6d37fd416aeb83cfee2620c55e"};
inline constexpr Event kInterfacesUnseen{"b24002cdcdbcdc97a9f13201c49b5d5d"};
inline constexpr Event kInterfacesSeen{"31c15e2dbc1b677ce2d9eaf0ffaa4c69"};
inline constexpr Event kLossBegan{"11030a2649373ee9a5bdc24a16036c45"};
inline constexpr Event kLossEnded{"37820119b37a5fb1b2bd78099088c51d"};
inline constexpr Event kExporterFailed{"86c5058168c2a3a0b0b3da5c37919e87"};
inline constexpr Event kExporterWorks{"5b7e314a2f644f7ba1b755d054152f1d"};
inline constexpr Event kRecordsRefused{"b108ec7feef8678c89de5756406c15f8"};
inline constexpr Event kRecordsLost{"1c373e9216b8c3a1bf1a192eb37b35ee"};
inline constexpr Event kRecordsKept{"06bb1151c04487c0ad495d0985ef770c"};
inline constexpr Event kExporterNotice{"39e5ff4cae21153b6173b3e64bab3e6b"};
inline constexpr Event kExporterDropped{"b2c93f83951cada09f0345e722b19448"};
inline constexpr Event kExporterSwitched{"9682507d14cc43edacfd8501431acb5c"};
inline constexpr Event kConfigMistake{"6d0dde3b438e43608ffd5fe8f34f21e6"};
inline constexpr Event kReloadRefused{"bfa19ef1ea683f23332d4b0267d27079"};
inline constexpr Event kStartFailed{"53baa6dc325caf29197c165bc0777e41"};
inline constexpr Event kDrainFailed{"0a160c2a1a9a4e7868a24263d41a290c"};
inline constexpr Event kDrainWorks{"66ffb2676c74f6f1981c9e826a907a65"};
inline constexpr Event kClockStepped{"725550a1076b1975ad6fdafdc7fea856"};
inline constexpr Event kTableSetAside{"588b349d19884d725ddf51561c936206"};
inline constexpr Event kLeftBehind{"f312334cb62deb64f0347814e906464e"};
inline constexpr Event kListenersUnknown{"aed37e3220cf1d3e8c7bde05b5be747d"};
inline constexpr Event kBusJoined{"5d063cf1c67be99adc31e7dc32d540be"};
inline constexpr Event kBusLost{"c6ed8ceb5a3b57b4f6cc95b8ad51c2e8"};

}  // namespace rheo::log
