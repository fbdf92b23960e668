// SPDX-License-Identifier: Apache-2.0
// Which links are metered: a function of the settings and of all links.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/config/interfaces.h"

namespace rheo {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// A host, by ifindex; every link is up unless said otherwise.
class Host {
 public:
  Host() { add("lo").loopback = true; }

  Link& add(const std::string& name, const std::string& kind = "") {
    const auto index = static_cast<std::uint32_t>(links.size() + 1);
    Link& link = links[index];
    link.index = index;
    link.name = name;
    link.kind = kind;
    link.up = true;
    return link;
  }
  Link& port(const std::string& name, const std::string& kind, const Link& master) {
    Link& link = add(name, kind);
    link.master = master.index;
    return link;
  }
  Link& above(const std::string& name, const std::string& kind, const Link& lower) {
    Link& link = add(name, kind);
    link.lower = lower.index;
    return link;
  }

  std::vector<std::string> chosen(const InterfacesConfig& config = {}) const {
    const auto chooser = InterfaceChooser::make(config);
    std::vector<std::string> names;
    for (const auto& [index, wanted] : chooser.value().choose(links)) {
      std::string name = links.at(index).name;
      if (!wanted.ingress) name += ":egress";
      if (!wanted.egress) name += ":ingress";
      names.push_back(name);
    }
    return names;
  }

  LinkTable links;
};

TEST(Interfaces, ByDefaultWhatIsUpButLoopback) {
  Host host;
  host.add("eth0");
  host.add("eth1").up = false;
  host.add("ib0").layer = LinkLayer::unsupported;
  host.add("wg0", "wireguard").layer = LinkLayer::none;
  EXPECT_THAT(host.chosen(), ElementsAre("eth0", "wg0"));
}

TEST(Interfaces, PortsOfAMeteredMasterAreSeenOnIt) {
  Host host;
  const Link bond = host.add("bond0", "bond");
  host.port("eth0", "", bond);
  host.port("eth1", "", bond);
  EXPECT_THAT(host.chosen(), ElementsAre("bond0"));
  EXPECT_THAT(host.chosen({.include = {"*"}, .exclude = {"bond0"}}), ElementsAre("eth0", "eth1"));
  EXPECT_THAT(host.chosen({.include = {"eth*"}}), ElementsAre("eth0", "eth1"));
  host.links.at(bond.index).up = false;
  EXPECT_THAT(host.chosen(), ElementsAre("eth0", "eth1"));
}

TEST(Interfaces, LinksAboveAMeteredOneAreSeenBelow) {
  Host host;
  const Link eth = host.add("eth0");
  for (const char* kind : {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"})
    host.above(std::string("on_") + kind, kind, eth);
  const Link veth = host.above("veth0", "veth", eth);  // of a veth it is the peer
  host.above("vxlan0", "vxlan", eth);                  // what it carries is counted as its own
  EXPECT_THAT(host.chosen(), ElementsAre("eth0", "veth0", "vxlan0"));
  EXPECT_THAT(host.chosen({.include = {"*"}, .exclude = {"eth0", "/^(veth|vxlan)/"}}),
              ElementsAre("on_vlan", "on_macvlan", "on_macvtap", "on_ipvlan", "on_ipvtap"));
}

TEST(Interfaces, AtAnyDistance) {
  Host host;
  const Link bridge = host.add("br0", "bridge");
  const Link bond = host.port("bond0", "bond", bridge);
  const Link eth = host.port("eth0", "", bond);
  host.above("eth0.5", "vlan", eth);
  EXPECT_THAT(host.chosen(), ElementsAre("br0"));
  EXPECT_THAT(host.chosen({.include = {"*"}, .exclude = {"br0"}}), ElementsAre("bond0"));
}

TEST(Interfaces, ACircleEnds) {
  Host host;
  Link& a = host.add("a", "vlan");
  Link& b = host.above("b", "vlan", a);
  a.lower = b.index;
  host.chosen();
}

TEST(Interfaces, AVrfDoesNotSeeWhatItsMembersReceive) {
  Host host;
  const Link vrf = host.add("blue", "vrf");
  host.port("eth0", "", vrf);
  EXPECT_THAT(host.chosen(), ElementsAre("eth0"));
  EXPECT_THAT(host.chosen({.include = {"*", "kind:vrf"}}), ElementsAre("blue", "eth0"));
}

TEST(Interfaces, ANameIsMeteredWhateverItIs) {
  Host host;
  const Link bond = host.add("bond0", "bond");
  host.port("eth0", "", bond).up = false;
  EXPECT_THAT(host.chosen({.include = {"lo", "eth0", "bond*"}}), ElementsAre("lo:egress", "bond0", "eth0"));
  EXPECT_THAT(host.chosen({.include = {"l*"}}), IsEmpty());
  EXPECT_THAT(host.chosen({.include = {"kind:loopback"}}), ElementsAre("lo:egress"));
}

TEST(Interfaces, PatternsAndExcludeWins) {
  Host host;
  host.add("eth0");
  host.add("eth10");
  host.add("wg0", "wireguard");
  host.add("veth7", "veth");
  EXPECT_THAT(host.chosen({.include = {"kind:physical"}}), ElementsAre("eth0", "eth10"));
  EXPECT_THAT(host.chosen({.include = {"eth?", "kind:veth"}}), ElementsAre("eth0", "veth7"));
  EXPECT_THAT(host.chosen({.include = {"/eth[0-9]$/"}}), ElementsAre("eth0", "veth7"));
  EXPECT_THAT(host.chosen({.include = {"*", "eth0"}, .exclude = {"eth0", "kind:veth"}}),
              ElementsAre("eth10", "wg0"));
}

TEST(Interfaces, TheLongestPatternDecidesOnTheDirection) {
  Host host;
  host.add("eth0");
  host.add("eth1");
  host.add("eth2");
  const InterfacesConfig config{.include = {"*", "lo"},
                                .exclude = {},
                                .direction = {{"*", DirectionChoice::both},
                                              {"eth*", DirectionChoice::ingress},
                                              {"/eth1/", DirectionChoice::egress},
                                              {"lo", DirectionChoice::ingress}}};
  EXPECT_THAT(host.chosen(config), ElementsAre("eth0:ingress", "eth1:egress", "eth2:ingress"))
      << "of loopback nothing is left";
}

TEST(Interfaces, ComplaintsNameWhatWasIncludedByName) {
  Host host;
  Link& ib = host.add("ib0");
  ib.layer = LinkLayer::unsupported;
  ib.hardware_type = 32;
  const auto chooser = InterfaceChooser::make({.include = {"ib0", "eth9", "wlan*"}});
  EXPECT_THAT(chooser.value().complaints(host.links),
              ElementsAre("interface ib0: links of hardware type 32 cannot be metered, continuing without it",
                          "interface eth9: there is none now, it is metered when it appears"));
}

TEST(Interfaces, APatternThatIsNone) {
  EXPECT_FALSE(InterfaceChooser::make({.include = {"/(/"}}));
  EXPECT_FALSE(InterfaceChooser::make({.include = {"/((a{255}){255}){255}/"}}));
  EXPECT_FALSE(InterfaceChooser::make({.include = {"*"}, .exclude = {"kind:"}}));
  EXPECT_TRUE(InterfaceChooser::make({.include = {"//", "/"}}));
}

TEST(Interfaces, SettingsThatIncludeOrExcludeALinkByName) {
  Host host;
  const Link eth = host.add("eth0");
  const Link off = host.port("eth1", "", eth);  // seen on its master
  const InterfacesConfig config{.include = {"*"}, .exclude = {"eth1"}};
  const auto with = including(config, off);
  ASSERT_TRUE(with);
  EXPECT_THAT(host.chosen(*with), ElementsAre("eth0", "eth1"));
  EXPECT_EQ(including(*with, off), *with);
  const auto without = excluding(*with, eth);
  ASSERT_TRUE(without);
  EXPECT_THAT(host.chosen(*without), ElementsAre("eth1"));
  EXPECT_EQ(excluding(*without, eth), *without);
  EXPECT_THAT(host.chosen(including(*without, eth).value()), ElementsAre("eth0", "eth1"));
}

TEST(Interfaces, SettingsCannotIncludeWhatAPatternExcludesNorWhatIsAPatternItself) {
  Host host;
  const auto excluded = including({.exclude = {"e*"}}, host.add("eth0"));
  ASSERT_FALSE(excluded);
  EXPECT_EQ(excluded.error().what,
            "interface eth0: \"e*\" of exclude matches it, and exclude wins; change that");
  for (const char* name : {"a*", "a[b]", "a?", "a\xff"}) {
    EXPECT_FALSE(including({}, host.add(name))) << name;
    EXPECT_FALSE(excluding({}, host.add(name))) << name;
  }
}

}  // namespace
}  // namespace rheo
