// SPDX-License-Identifier: Apache-2.0
// The table of rheo-flow(5) of a field in every format, held against the encoders' own tables, both ways.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "export/flow_fields.h"
#include "export/ipfix/elements.h"
#include "export/otlp/span_fields.h"

namespace rheo {
namespace {

struct Row {
  std::string json;
  std::string otlp;
  std::string ipfix;
};

/// Of the page's table, without its titles.
std::vector<Row> rows() {
  std::ifstream page(RHEO_SOURCE_DIR "/man/rheo-flow.5.scd");
  std::vector<Row> found;
  std::string line;
  while (std::getline(page, line) && line != "# THE FIELDS IN EVERY FORMAT") {
  }
  for (std::size_t column = 0; std::getline(page, line) && !line.starts_with("# ");) {
    if (line.starts_with("|  ")) {
      found.push_back({.json = line.substr(3), .otlp = "", .ipfix = ""});
      column = 1;
    } else if (line.starts_with(":  ") && !found.empty()) {
      (column++ == 1 ? found.back().otlp : found.back().ipfix) = line.substr(3);
    }
  }
  return found;
}

std::vector<std::string> names_in(const std::string& cell) {
  std::vector<std::string> names;
  std::istringstream words(cell);
  for (std::string name; words >> name;) {
    if (name.ends_with(',')) name.pop_back();
    if (name != "-") names.push_back(name);
  }
  return names;
}

TEST(FlowPage, HasEveryFieldOfJsonInItsOrder) {
  std::vector<std::string> said;
  for (const Row& row : rows())
    if (row.json != "-") said.push_back(row.json);
  std::vector<std::string> fields;
  for (const FlowField& field : kFlowFields) fields.emplace_back(field.name);
  EXPECT_EQ(said, fields);
}

TEST(FlowPage, HasEveryAttributeOfSpans) {
  std::set<std::string> said;
  for (const Row& row : rows()) {
    // A span's own times are no attributes.
    if (row.json == "start" || row.json == "end") {
      EXPECT_EQ(row.otlp, "the span's " + row.json);
      continue;
    }
    if (row.json != "-")
      EXPECT_EQ(row.otlp, "the same") << row.json;
    else if (row.otlp != "-")
      said.insert(row.otlp);
  }
  std::set<std::string> fields;
  for (const FlowField& field : kSpanFields) fields.emplace(field.name);
  EXPECT_EQ(said, fields);
}

TEST(FlowPage, HasEveryElementOfFlowRecords) {
  std::set<std::string> said;
  for (const Row& row : rows()) {
    const auto names = names_in(row.ipfix);
    said.insert(names.begin(), names.end());
  }
  std::set<std::string> elements;
  for (const IpfixElement& element : ipfix_elements()) {
    if (element.set == IpfixSet::options_only) continue;
    elements.emplace(element.name);
    if (element.reverse != IpfixReverse::never) elements.insert(reverse_element_name(element.name));
  }
  EXPECT_EQ(said, elements);
}

/// What a reverse field says is in the reverse forms of the elements of its forward one.
TEST(FlowPage, ReverseFieldsHaveReverseElements) {
  const auto all = rows();
  for (const Row& row : all) {
    if (!row.json.starts_with("flow.reverse.")) continue;
    const auto forward = std::ranges::find(all, "flow." + row.json.substr(13), &Row::json);
    ASSERT_NE(forward, all.end()) << row.json;
    std::vector<std::string> reversed;
    for (const std::string& name : names_in(forward->ipfix)) {
      const IpfixElement* element = find_ipfix_element(name);
      ASSERT_NE(element, nullptr) << name;
      if (element->reverse != IpfixReverse::never) reversed.push_back(reverse_element_name(name));
    }
    EXPECT_EQ(names_in(row.ipfix), reversed) << row.json;
  }
}

}  // namespace
}  // namespace rheo
