// SPDX-License-Identifier: Apache-2.0
// The exporter over real sockets and files: what a session begins with, when templates come again, which
// records a retry repeats, and the pace.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <thread>

#include "export/ipfix/ipfix_exporter.h"
#include "tests/unit/ipfix_peers.h"
#include "tests/unit/ipfix_session.h"

namespace rheo::test {
namespace {

using testing::HasSubstr;

IpfixExporterOptions exporter_options(const std::string& endpoint) {
  IpfixTransportOptions transport = options_for(endpoint);
  transport.max_message_size = 1'000;
  return {.encoder = {.links = no_links()}, .transport = transport};
}

std::unique_ptr<IpfixExporter> make_exporter(const IpfixExporterOptions& options) {
  auto made = IpfixExporter::create(options);
  EXPECT_TRUE(made) << made.error().what;
  return made ? *std::move(made) : nullptr;
}

FlowBatch batch_of(std::size_t count, std::uint64_t first_position) {
  FlowBatch batch{.records = {}, .first_position = first_position};
  for (std::size_t i = 0; i < count; ++i) {
    batch.records.push_back(fullest_record());
    batch.records.back().flow_id = first_position + i;
  }
  return batch;
}

Status deliver(IpfixExporter& exporter, const FlowBatch& batch) {
  if (Status opened = exporter.open(); !opened) return opened;
  return exporter.write(batch);
}

/// Everything that has arrived at a datagram socket.
std::size_t drain(const LoopbackSocket& collector, IpfixDecoder& decoder) {
  std::size_t messages = 0;
  for (;;) {
    const Bytes got = receive(collector.fd(), 65'535, milliseconds(200));
    if (got.empty()) return messages;
    EXPECT_EQ(decoder.decode(got), "");
    ++messages;
  }
}

std::vector<std::uint64_t> flow_ids(const IpfixDecoder& decoder) {
  std::vector<std::uint64_t> ids;
  for (const DecodedRecord& record : decoder.records)
    if (!record.options) ids.push_back(record.number(0, 148));
  return ids;
}

std::string udp(const LoopbackSocket& collector) {
  return "udp://127.0.0.1:" + std::to_string(collector.port());
}

TEST(IpfixExporter, RefusesWhatCanNeverWork) {
  IpfixExporterOptions options = exporter_options("udp://127.0.0.1:9");
  options.encoder.add = {"nonsense"};
  const auto made = IpfixExporter::create(options);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().what, HasSubstr("nonsense"));
}

TEST(IpfixExporter, TemplatesComeFirstAndThenOnlyWhenDue) {
  const LoopbackSocket collector(SOCK_DGRAM);
  const auto exporter = make_exporter(exporter_options(udp(collector)));
  IpfixDecoder decoder;
  ASSERT_TRUE(deliver(*exporter, batch_of(3, 0)));
  const std::size_t first = drain(collector, decoder);
  EXPECT_GT(first, 1U);
  ASSERT_TRUE(deliver(*exporter, batch_of(3, 3)));
  EXPECT_EQ(drain(collector, decoder), 1U);
  EXPECT_EQ(flow_ids(decoder).size(), 6U);
}

TEST(IpfixExporter, TemplatesComeAgainAfterSoManyMessages) {
  const LoopbackSocket collector(SOCK_DGRAM);
  IpfixExporterOptions options = exporter_options(udp(collector));
  options.template_refresh_messages = 1;
  const auto exporter = make_exporter(options);
  IpfixDecoder decoder;
  ASSERT_TRUE(deliver(*exporter, batch_of(1, 0)));
  const std::size_t first = drain(collector, decoder);
  ASSERT_TRUE(deliver(*exporter, batch_of(1, 1)));
  EXPECT_EQ(drain(collector, decoder), first);
}

TEST(IpfixExporter, TemplatesComeAgainWithTime) {
  const LoopbackSocket collector(SOCK_DGRAM);
  IpfixExporterOptions options = exporter_options(udp(collector));
  options.template_refresh = milliseconds(1);
  const auto exporter = make_exporter(options);
  IpfixDecoder decoder;
  ASSERT_TRUE(deliver(*exporter, batch_of(1, 0)));
  const std::size_t first = drain(collector, decoder);
  ASSERT_TRUE(deliver(*exporter, batch_of(1, 1)));
  EXPECT_EQ(drain(collector, decoder), first);
}

TEST(IpfixExporter, ACollectorThatWasAwayGetsTemplatesEarly) {
  std::uint16_t port = 0;
  {
    const LoopbackSocket closed(SOCK_DGRAM);
    port = closed.port();
  }
  const auto exporter = make_exporter(exporter_options("udp://127.0.0.1:" + std::to_string(port)));
  static_cast<void>(deliver(*exporter, batch_of(1, 0)));
  const LoopbackSocket collector(SOCK_DGRAM, "127.0.0.1", port);
  ASSERT_TRUE(deliver(*exporter, batch_of(1, 1)));
  // Not decoded: the session goes on, with a sequence number that this collector cannot know.
  std::size_t messages = 0;
  while (!receive(collector.fd(), 65'535, milliseconds(200)).empty()) ++messages;
  EXPECT_GT(messages, 10U) << "templates and options are a message each";
}

TEST(IpfixExporter, KeepsThePace) {
  const LoopbackSocket collector(SOCK_DGRAM);
  IpfixExporterOptions options = exporter_options(udp(collector));
  options.rate_limit = 400;
  const auto exporter = make_exporter(options);
  ASSERT_TRUE(exporter->open());
  const std::uint64_t start = monotonic_ns();
  ASSERT_TRUE(exporter->write(batch_of(96, 0)));
  ASSERT_TRUE(exporter->write(batch_of(1, 96)));  // waits for the last burst's time to be over
  EXPECT_GE(since(start), milliseconds(200));
  EXPECT_LE(since(start), milliseconds(2'000));
  IpfixDecoder decoder;
  drain(collector, decoder);
  EXPECT_EQ(flow_ids(decoder).size(), 97U);
}

// The collector reads nothing: the write stops in the middle of the batch, whose beginning is in its buffer.
TEST(IpfixExporter, WhatWasSentIsNotRepeated) {
  LoopbackSocket collector(SOCK_STREAM);
  const int small = 4'096;
  ::setsockopt(collector.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  ASSERT_TRUE(collector.listen());
  const auto exporter =
      make_exporter(exporter_options("tcp://127.0.0.1:" + std::to_string(collector.port())));
  const FlowBatch batch = batch_of(60'000, 0);
  ASSERT_TRUE(exporter->open());
  UniqueFd first = collector.accept();
  ASSERT_FALSE(exporter->write(batch));
  first.reset();

  ASSERT_TRUE(exporter->open());
  UniqueFd second = collector.accept();
  Bytes stream;
  std::jthread reader([&] {
    for (Bytes got = receive(second.get(), 65'536); !got.empty(); got = receive(second.get(), 65'536))
      stream.insert(stream.end(), got.begin(), got.end());
  });
  ASSERT_TRUE(exporter->write(batch));
  reader.join();
  IpfixDecoder decoder;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t size =
        std::to_integer<std::size_t>(stream[at + 2]) << 8U | std::to_integer<std::size_t>(stream[at + 3]);
    ASSERT_GT(size, 0U);
    ASSERT_EQ(decoder.decode(std::span(stream).subspan(at, size)), "");
    at += size;
  }
  const auto ids = flow_ids(decoder);
  ASSERT_FALSE(ids.empty());
  EXPECT_GT(ids.front(), 0U) << "nothing counted as sent before the failure";
  EXPECT_EQ(ids.back(), 59'999U);
  EXPECT_EQ(ids.size(), 60'000U - ids.front());
}

TEST(IpfixExporter, AFileIsCutBackAndOpenedAgain) {
  std::string folder = (std::filesystem::temp_directory_path() / "rheo-ipfix-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/flows.ipfix";
  FileMark mark;
  {
    const auto exporter = make_exporter(exporter_options("file:" + path));
    ASSERT_TRUE(deliver(*exporter, batch_of(5, 0)));
    mark = exporter->mark();
    ASSERT_TRUE(deliver(*exporter, batch_of(5, 5)));
    EXPECT_GT(std::filesystem::file_size(path), mark.offset);
  }
  const auto exporter = make_exporter(exporter_options("file:" + path));
  ASSERT_TRUE(exporter->resume(mark));
  EXPECT_EQ(std::filesystem::file_size(path), mark.offset);
  std::filesystem::rename(path, path + ".old");
  exporter->request_reopen();
  ASSERT_TRUE(deliver(*exporter, batch_of(5, 5)));
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_EQ(std::filesystem::file_size(path + ".old"), mark.offset);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace rheo::test
