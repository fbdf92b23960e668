// SPDX-License-Identifier: Apache-2.0
// Sums of flows: who is in which group, and how fast groups grow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dbus/rheoctl/flow_groups.h"

namespace rheo::ctl {
namespace {

using testing::ElementsAre;

constexpr std::uint64_t kSecond = 1'000'000'000;

/// Of a column, from the top.
std::vector<std::string> column(const Table& table, std::size_t number) {
  std::vector<std::string> cells;
  for (const auto& row : table.rows)
    cells.push_back(row[number].kind == CellKind::text ? row[number].text
                                                       : std::to_string(row[number].number));
  return cells;
}

void look(FlowGroups& groups, const std::vector<GroupedFlow>& flows, std::uint64_t now_ns) {
  groups.begin(now_ns);
  for (const GroupedFlow& flow : flows) groups.add(flow);
  groups.end();
}

TEST(RheoctlGroups, AFlowIsInTheGroupsOfBothEndsAndOneOfNobodyInItsOwn) {
  FlowGroups groups;
  look(groups,
       {{.id = 1, .names = {"nginx.service", "db.service"}, .packets = 10, .bytes = 1'000},
        {.id = 2, .names = {"nginx.service"}, .packets = 5, .bytes = 500},
        {.id = 3, .names = {}, .packets = 1, .bytes = 60}},
       kSecond);
  const Table table = groups.table("unit");
  ASSERT_EQ(table.columns.size(), 4U);  // one look has no rates
  EXPECT_EQ(table.columns[0].title, "UNIT");
  EXPECT_EQ(table.columns[0].key, "unit");
  EXPECT_THAT(column(table, 0), ElementsAre("nginx.service", "db.service", "-"));
  EXPECT_THAT(column(table, 1), ElementsAre("2", "1", "1"));
  EXPECT_THAT(column(table, 2), ElementsAre("15", "10", "1"));
  EXPECT_THAT(column(table, 3), ElementsAre("1500", "1000", "60"));
}

TEST(RheoctlGroups, RatesAreOfWhatCameBetweenTwoLooks) {
  FlowGroups groups;
  look(groups,
       {{.id = 4, .names = {"big"}, .packets = 1, .bytes = 1'000'000, .started_ns = 1},
        {.id = 5, .names = {"big"}, .packets = 1, .bytes = 5'000, .started_ns = 1}},
       10 * kSecond);
  look(groups,
       {{.id = 4, .names = {"big"}, .packets = 2, .bytes = 1'000'100, .started_ns = 1},
        {.id = 6, .names = {"small"}, .packets = 1, .bytes = 250, .started_ns = 11 * kSecond},
        {.id = 7, .names = {"small"}, .packets = 1, .bytes = 7'000, .started_ns = 2}},
       12 * kSecond);
  const Table table = groups.table("unit");
  ASSERT_EQ(table.columns.size(), 5U);
  EXPECT_THAT(column(table, 0), ElementsAre("small", "big"));  // the fastest first
  EXPECT_THAT(column(table, 4), ElementsAre("1.00k", "400"));
}

TEST(RheoctlGroups, AClockThatWentBackHasNoRates) {
  FlowGroups groups;
  look(groups, {{.id = 1, .names = {"a"}, .packets = 1, .bytes = 100}}, 10 * kSecond);
  look(groups, {{.id = 1, .names = {"a"}, .packets = 1, .bytes = 50}}, 9 * kSecond);
  EXPECT_EQ(groups.table("unit").columns.size(), 4U);
}

TEST(RheoctlGroups, KnowsItsWords) {
  for (const char* by : {"unit", "process", "user", "container", "class", "peer", "port", "interface"})
    EXPECT_TRUE(is_grouping(by)) << by;
  EXPECT_FALSE(is_grouping("size"));
  EXPECT_FALSE(is_grouping(""));
}

}  // namespace
}  // namespace rheo::ctl
