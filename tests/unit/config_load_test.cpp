// SPDX-License-Identifier: Apache-2.0
// Files and drop-ins; and the shipped rheo.toml, which must say what the built-in defaults say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "daemon/config/keys.h"
#include "daemon/config/load_config.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

class ConfigLoad : public testing::Test {
 protected:
  ConfigLoad() {
    std::string pattern = (fs::temp_directory_path() / "rheo-config-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    path_ = folder_ / "rheo.toml";
  }
  ~ConfigLoad() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }

  std::vector<std::string> complaints(WhenMissing when_missing = WhenMissing::complain) {
    std::vector<std::string> texts;
    for (const Complaint& complaint : load_config(path_, when_missing).complaints)
      texts.push_back(complaint_text(complaint));
    return texts;
  }

  fs::path folder_;
  std::string path_;
};

TEST_F(ConfigLoad, DropInsInNameOrderOverride) {
  write("rheo.toml", "[flow]\ntcp_timeout = \"1s\"\nudp_timeout = \"1s\"\nicmp_timeout = \"1s\"\n");
  write("rheo.toml.d/20-b.toml", "[flow]\nudp_timeout = \"3s\"\n");
  write("rheo.toml.d/10-a.toml", "[flow]\nudp_timeout = \"2s\"\ntcp_timeout = \"2s\"\n");
  write("rheo.toml.d/30-c.toml.off", "[flow]\nudp_timeout = \"4s\"\n");
  write("rheo.toml.d/.hidden.toml", "nonsense");
  const ParsedConfig loaded = load_config(path_, WhenMissing::complain);
  EXPECT_THAT(loaded.complaints, IsEmpty());
  EXPECT_EQ(loaded.config.flow.icmp_timeout, 1s);
  EXPECT_EQ(loaded.config.flow.tcp_timeout, 2s);
  EXPECT_EQ(loaded.config.flow.udp_timeout, 3s);
}

// Enough of them that a directory's own order is not it by chance.
TEST_F(ConfigLoad, TheLastNameWins) {
  write("rheo.toml", "");
  for (const int number : {47, 99, 13, 58, 86, 21, 10, 72, 64, 35, 91, 28})
    write("rheo.toml.d/" + std::to_string(number) + ".toml", "[flow]\nmax_flows = " + std::to_string(number) +
                                                                 "\n[interfaces]\ninclude = [\"" +
                                                                 std::to_string(number) + "\"]\n");
  const ParsedConfig loaded = load_config(path_, WhenMissing::complain);
  EXPECT_THAT(loaded.complaints, IsEmpty());
  EXPECT_EQ(loaded.config.flow.max_flows, 99U);
  EXPECT_THAT(loaded.config.interfaces.include, ElementsAre("99"));
}

TEST_F(ConfigLoad, AMissingFileIsAComplaintOnlyWhenItWasNamed) {
  EXPECT_THAT(complaints(WhenMissing::use_defaults), IsEmpty());
  EXPECT_EQ(load_config(path_, WhenMissing::use_defaults).config, Config{});
  EXPECT_THAT(complaints(), ElementsAre(path_ + ": cannot read it: No such file or directory"));
  write("rheo.toml.d/a.toml", "x = 1");
  EXPECT_THAT(complaints(WhenMissing::use_defaults),
              ElementsAre(StartsWith(path_ + ".d/a.toml:1: x: unknown key")));
}

TEST_F(ConfigLoad, WhatIsNoFileIsAComplaint) {
  fs::create_directory(path_);
  EXPECT_THAT(complaints(), ElementsAre(path_ + ": cannot read it: not a regular file"));
  fs::remove(path_);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(complaints(WhenMissing::use_defaults),
              ElementsAre(path_ + ": cannot read it: not a regular file"));
  fs::remove(path_);
  write("rheo.toml", "");
  write("rheo.toml.d", "");
  EXPECT_THAT(complaints(), ElementsAre(path_ + ".d: cannot list it: Not a directory"));
}

TEST_F(ConfigLoad, ATooLargeFileIsAComplaint) {
  write("rheo.toml", std::string(kMaxConfigBytes + 100, '#'));
  EXPECT_THAT(complaints(), ElementsAre(path_ + ": more than 1048576 bytes"));
}

std::string shipped_text() {
  std::ifstream file(RHEO_SOURCE_DIR "/etc/rheo.toml");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(ShippedConfig, IsTheDefaults) {
  const ParsedConfig parsed = parse_config(shipped_text(), "etc/rheo.toml");
  EXPECT_THAT(parsed.complaints, IsEmpty());
  EXPECT_EQ(parsed.config, Config{});
}

// The examples are "#key = value" and "#[table]", without the space that a comment has.
TEST(ShippedConfig, ItsExamplesAreTheDefaultsToo) {
  const std::string text = std::regex_replace(shipped_text(), std::regex("(^|\n)#(?=[a-z\\[])"), "$1");
  const ParsedConfig parsed = parse_config(text, "etc/rheo.toml");
  EXPECT_THAT(parsed.complaints, IsEmpty());
  ASSERT_TRUE(parsed.config.exporters.json.contains("default"));
  JsonExportConfig example = parsed.config.exporters.json.at("default");
  EXPECT_THAT(example.path, StartsWith("/"));
  example.path.clear();
  EXPECT_EQ(example, JsonExportConfig{});
  ASSERT_TRUE(parsed.config.exporters.ipfix.contains("default"));
  IpfixExportConfig ipfix = parsed.config.exporters.ipfix.at("default");
  EXPECT_THAT(ipfix.endpoint, StartsWith("udp://"));
  ipfix.endpoint.clear();
  EXPECT_EQ(ipfix, IpfixExportConfig{});
  ASSERT_TRUE(parsed.config.exporters.otlp.contains("default"));
  OtlpExportConfig otlp = parsed.config.exporters.otlp.at("default");
  // What is absent is not what the example says; what that means is the exporter's.
  EXPECT_EQ(std::exchange(otlp.protocol, {}), OtlpProtocolChoice::grpc);
  EXPECT_EQ(std::exchange(otlp.compression, {}), CompressionChoice::none);
  EXPECT_EQ(std::exchange(otlp.timeout, {}), 10s);
  EXPECT_EQ(otlp, OtlpExportConfig{});
  EXPECT_EQ(parsed.config.resource, ResourceConfig{});
  ASSERT_TRUE(parsed.config.classes.classes.contains("office"));
  ClassesConfig classes = parsed.config.classes;
  classes.classes.erase("office");
  EXPECT_EQ(parsed.config.classes.classes.at("office"), ClassConfig{});
  EXPECT_EQ(classes, ClassesConfig{});
}

TEST(ShippedConfig, MentionsEveryKey) {
  std::istringstream lines(shipped_text());
  std::set<std::string> mentioned;
  std::string section;
  std::smatch match;
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_match(line, match, std::regex("#?\\[([a-z.]+)\\]"))) section = match[1];
    if (section.ends_with(".default")) section.replace(section.rfind('.'), std::string::npos, ".NAME");
    if (section == "classes.office") section = "classes.NAME";
    if (std::regex_search(line, match, std::regex("^#?([a-z_.]+) = ")))
      mentioned.insert(section + "." + match[1].str());
  }
  const auto names = config_key_names();
  EXPECT_EQ(mentioned, std::set<std::string>(names.begin(), names.end()));
}

}  // namespace
}  // namespace rheo
