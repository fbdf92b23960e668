// SPDX-License-Identifier: Apache-2.0
// Names that others chose: what reaches the bus is UTF-8 that it takes, what reaches a terminal commands
// nothing.
#include <gtest/gtest.h>

#include "daemon/base/utf8.h"

namespace rheo {
namespace {

TEST(Utf8, WhatIsNoneIsReplaced) {
  EXPECT_EQ(valid_utf8("eth0 \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"),
            "eth0 \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
  for (const char* wrong :
       {"\xff", "\x80", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"}) {
    const std::string valid = valid_utf8(wrong);
    EXPECT_EQ(valid.find_first_not_of("\xef\xbf\xbd"), std::string::npos) << wrong;
    EXPECT_FALSE(valid.empty());
  }
}

TEST(Utf8, NoncharactersAreReplaced) {
  for (const char* none : {"\xef\xb7\x90", "\xef\xb7\xaf", "\xef\xbf\xbe", "\xef\xbf\xbf", "\xf0\x9f\xbf\xbe",
                           "\xf4\x8f\xbf\xbf"})
    EXPECT_EQ(valid_utf8(none), "\xef\xbf\xbd") << none;
  for (const char* some : {"\xef\xb7\x8f", "\xef\xb7\xb0", "\xef\xbf\xbd", "\xf0\x9f\xbf\xbd"})
    EXPECT_EQ(valid_utf8(some), some);
}

TEST(Utf8, ControlCharactersAreReplaced) {
  EXPECT_EQ(without_controls("a\x1b[2J\x07\x7f\n\xc2\x9b\xc2\xa0\xc3\xa4"), "a?[2J????\xc2\xa0\xc3\xa4");
  EXPECT_EQ(without_controls("one\ntwo\r", "\n"), "one\ntwo?");
}

}  // namespace
}  // namespace rheo
