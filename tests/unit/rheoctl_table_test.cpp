// SPDX-License-Identifier: Apache-2.0
// What rheoctl makes of words and of values: nothing that others chose reaches the terminal as a command.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/base/utf8.h"
#include "dbus/rheoctl/args.h"
#include "dbus/rheoctl/table.h"

namespace rheo::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<Args> parse(std::vector<std::string> words) {
  words.insert(words.begin(), "rheoctl");
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return parse_args(static_cast<int>(words.size()), pointers.data());
}

TEST(RheoctlArgs, OptionsMayStandAnywhere) {
  const auto args = parse({"flows", "--json", "tcp", "-n", "7", "--sort=end", "--no-legend", "--", "--odd"});
  ASSERT_TRUE(args);
  EXPECT_THAT(args->words, ElementsAre("flows", "tcp", "--odd"));
  EXPECT_TRUE(args->json);
  EXPECT_FALSE(args->legend);
  EXPECT_EQ(args->limit, 7U);
  EXPECT_EQ(args->sort, "end");
}

TEST(RheoctlArgs, AComplaintNamesTheWord) {
  EXPECT_THAT(parse({"--nonsense"}).error().what, HasSubstr("--nonsense: no such option"));
  EXPECT_THAT(parse({"--limit"}).error().what, HasSubstr("--limit: a value is missing"));
  for (const char* limit : {"x", "-1", "4294967296", "7 "})
    EXPECT_THAT(parse({"-n", limit}).error().what, HasSubstr(limit)) << limit;
}

Table table() {
  return {.columns = {{"NAME", "name"}, {"PACKETS", "packets"}, {"BYTES", "bytes"}},
          .rows = {{text_cell("eth0"), number_cell(7), bytes_cell(1'234'567)},
                   {text_cell("wlan–é"), number_cell(12'345'678), bytes_cell(0)},
                   {text_cell(""), number_cell(0), bytes_cell(999)}}};
}

TEST(RheoctlTable, ColumnsAreAligned) {
  EXPECT_EQ(print_table(table(), {}),
            "NAME     PACKETS   BYTES\n"
            "eth0           7  1.2 MB\n"
            "wlan–é  12345678     0 B\n"
            "-              0   999 B\n");
  EXPECT_EQ(print_table(table(), {.legend = false}).find("NAME"), std::string::npos);
  EXPECT_THAT(print_table(table(), {.attributes = true}), testing::StartsWith("\x1b[1mNAME"));
  Table alarming = table();
  alarming.rows[0][0] = state_cell("failing", true);
  EXPECT_THAT(print_table(alarming, {.attributes = true}), HasSubstr("\x1b[31mfailing"));
  EXPECT_THAT(print_table(alarming, {}), testing::Not(HasSubstr("\x1b")));
  EXPECT_EQ(print_table({.columns = {{"NAME", "name"}}, .rows = {}}, {}), "NAME\n");
}

TEST(RheoctlTable, JsonHasPlainNumbers) {
  EXPECT_THAT(print_json(table()), HasSubstr("{\"name\":\"eth0\",\"packets\":7,\"bytes\":1234567},\n"));
  EXPECT_EQ(print_json({.columns = {}, .rows = {}}), "[]\n");
}

TEST(RheoctlTable, WhatATerminalWouldObeyIsNotPrinted) {
  EXPECT_EQ(without_controls("a\x1b[2Jb\x7f\n\xc2\x9bm é"), "a?[2Jb???m é");
  EXPECT_EQ(json_text("a\"\\\x1b\xc2\x9b é"), "\"a\\\"\\\\\\u001b\\u009b é\"");
  EXPECT_EQ(print_table({.columns = {{"N", "n"}}, .rows = {{text_cell("\x1b]0;x")}}}, {}), "N\n?]0;x\n");
}

TEST(RheoctlTable, OctetsHaveUnits) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1'000), "1.0 kB");
  EXPECT_EQ(bytes_text(9'949), "9.9 kB");
  EXPECT_EQ(bytes_text(9'999), "10 kB");
  EXPECT_EQ(bytes_text(999'499), "999 kB");
  EXPECT_EQ(bytes_text(999'500), "1.0 MB");
  EXPECT_EQ(bytes_text(UINT64_MAX), "18 EB");
}

}  // namespace
}  // namespace rheo::ctl
