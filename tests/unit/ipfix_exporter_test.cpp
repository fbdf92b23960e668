// SPDX-License-Identifier: Apache-2.0
// The exporter over real sockets and files: what a session begins with, when templates come again, which
// records a retry repeats, and the pace.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <thread>

#include "export/ipfix/ipfix_exporter.h"
#include "export/ipfix/options.h"
#include "tests/unit/ipfix_peers.h"
#include "tests/unit/ipfix_session.h"

namespace rheo::test {
namespace {

using testing::HasSubstr;

IpfixExporterOptions exporter_options(const std::string& endpoint) {
  IpfixTransportOptions transport = options_for(endpoint);
  transport.max_message_size = 1'000;
  static const Snapshot<MeteringCounters> no_counters;
  return {.encoder = {.links = no_links()}, .transport = transport, .metering = no_counters};
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

/// Without what is cut off at the end.
Bytes whole_messages(Bytes stream) {
  std::size_t at = 0;
  const auto size_at = [&stream](std::size_t i) {
    return std::to_integer<std::size_t>(stream[i + 2]) << 8U | std::to_integer<std::size_t>(stream[i + 3]);
  };
  while (stream.size() - at >= 16 && stream.size() - at >= size_at(at)) at += size_at(at);
  stream.resize(at);
  return stream;
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

const DecodedRecord& last_of(const IpfixDecoder& decoder, IpfixOptionsKind kind) {
  static const DecodedRecord none;
  const DecodedRecord* last = &none;
  for (const DecodedRecord& record : decoder.records)
    if (record.template_id == kFirstOptionsTemplate + static_cast<std::size_t>(kind)) last = &record;
  return *last;
}

TEST(IpfixExporter, TellsTheDaemonsCountersAndTheLanesLosses) {
  const LoopbackSocket collector(SOCK_DGRAM);
  Snapshot<MeteringCounters> metering;
  const IpfixExporterOptions plain = exporter_options(udp(collector));
  const auto exporter = make_exporter({.encoder = plain.encoder,
                                       .transport = plain.transport,
                                       .template_refresh = milliseconds(1),
                                       .metering = metering});
  IpfixDecoder decoder;
  ASSERT_TRUE(deliver(*exporter, batch_of(2, 0)));
  MeteringCounters counters;
  counters.datapath.not_ip = {1, 2};
  counters.datapath.too_deep = {30, 4'000};
  counters.datapath.evicted_full = {500, 60'000};
  counters.table.flows_made = 7;
  metering.publish(counters);
  exporter->note_losses({.records = 8, .counts = {.packets = 9, .l3_bytes = 10, .l2_bytes = 11}});
  std::this_thread::sleep_for(milliseconds(2));
  ASSERT_TRUE(deliver(*exporter, batch_of(2, 2)));
  drain(collector, decoder);

  const DecodedRecord& process = last_of(decoder, IpfixOptionsKind::exporting_process);
  EXPECT_EQ(process.number(0, 42), 2U) << "flow records sent before";
  EXPECT_EQ(process.number(0, 163), 7U);
  EXPECT_EQ(process.number(0, 164), 530U) << "what is not IP was not to be metered";
  EXPECT_EQ(process.number(0, 165), 64'000U);
  EXPECT_EQ(process.number(0, 166), 8U);
  EXPECT_EQ(process.number(0, 167), 9U);
  EXPECT_EQ(process.number(0, 168), 10U);
  std::map<std::string, std::uint64_t> packets;  // of the last time they were told
  for (const DecodedRecord& record : decoder.records)
    if (record.template_id == kFirstOptionsTemplate + static_cast<int>(IpfixOptionsKind::metering_losses))
      packets[record.text(kDocumentationPen, 1)] = record.number(0, 164);
  const std::map<std::string, std::uint64_t> expected = {
      {"not_ip", 1}, {"truncated", 0}, {"malformed", 0}, {"too_deep", 30}, {"evicted_full", 500}};
  EXPECT_EQ(packets, expected);
}

TEST(IpfixExporter, AnIdleOneTellsTemplatesWhenTheyAreDue) {
  const LoopbackSocket collector(SOCK_DGRAM);
  IpfixExporterOptions options = exporter_options(udp(collector));
  options.template_refresh = milliseconds(3'000);
  const auto exporter = make_exporter(options);
  IpfixDecoder decoder;
  ASSERT_TRUE(exporter->idle());
  EXPECT_EQ(drain(collector, decoder), 0U) << "there is no session before the first record";
  ASSERT_TRUE(deliver(*exporter, batch_of(1, 0)));
  ASSERT_TRUE(exporter->idle());
  const std::size_t first = drain(collector, decoder);
  const std::size_t templates = decoder.templates_read.size();
  std::this_thread::sleep_for(options.template_refresh);
  ASSERT_TRUE(exporter->idle());
  EXPECT_EQ(drain(collector, decoder), first - 1) << "all but the message with the record";
  EXPECT_EQ(decoder.templates_read.size(), 2 * templates);
  ASSERT_TRUE(exporter->idle());
  EXPECT_EQ(drain(collector, decoder), 0U);
}

/// Cuts a stream into messages.
void decode_stream(const Bytes& stream, IpfixDecoder& decoder) {
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t size =
        std::to_integer<std::size_t>(stream[at + 2]) << 8U | std::to_integer<std::size_t>(stream[at + 3]);
    ASSERT_GT(size, 0U);
    ASSERT_EQ(decoder.decode(std::span(stream).subspan(at, size)), "");
    at += size;
  }
}

TEST(IpfixExporter, OverAStreamOnlyOptionsComeAgain) {
  LoopbackSocket collector(SOCK_STREAM);
  ASSERT_TRUE(collector.listen());
  IpfixExporterOptions options = exporter_options("tcp://127.0.0.1:" + std::to_string(collector.port()));
  options.template_refresh = milliseconds(1);
  const auto exporter = make_exporter(options);
  IpfixDecoder decoder;
  ASSERT_TRUE(deliver(*exporter, batch_of(1, 0)));
  const UniqueFd connection = collector.accept();
  decode_stream(receive(connection.get(), 65'536, milliseconds(200)), decoder);
  const std::size_t templates = decoder.templates_read.size();
  EXPECT_GT(templates, 0U);
  decoder.records.clear();
  std::this_thread::sleep_for(milliseconds(2));
  ASSERT_TRUE(deliver(*exporter, batch_of(1, 1)));
  decode_stream(receive(connection.get(), 65'536, milliseconds(200)), decoder);
  EXPECT_EQ(decoder.templates_read.size(), templates) << "RFC 7011 8.1: once a session";
  EXPECT_EQ(last_of(decoder, IpfixOptionsKind::exporting_process).number(0, 42), 1U);
  EXPECT_EQ(flow_ids(decoder).size(), 1U);
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
  std::size_t sent = 0;
  EXPECT_TRUE(once_within(milliseconds(2'000), [&] {
    const std::uint64_t start = monotonic_ns();
    ASSERT_TRUE(exporter->write(batch_of(96, sent)));
    ASSERT_TRUE(exporter->write(batch_of(1, sent + 96)));  // waits for the last burst's time to be over
    EXPECT_GE(since(start), milliseconds(200));
    sent += 97;
  }));
  IpfixDecoder decoder;
  drain(collector, decoder);
  EXPECT_EQ(flow_ids(decoder).size(), sent);
}

// The collector reads nothing: the write stops in the middle of the batch, whose beginning is in its buffer,
// and whose middle is in ours.
TEST(IpfixExporter, WhatArrivedIsNotRepeatedAndTheRestIs) {
  LoopbackSocket collector(SOCK_STREAM);
  const int small = 65'536;
  ::setsockopt(collector.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  ASSERT_TRUE(collector.listen());
  const auto exporter =
      make_exporter(exporter_options("tcp://127.0.0.1:" + std::to_string(collector.port())));
  const FlowBatch batch = batch_of(60'000, 0);
  ASSERT_TRUE(exporter->open());
  UniqueFd first = collector.accept();
  ASSERT_FALSE(exporter->write(batch));
  Bytes beginning = receive(first.get(), 1'000'000);
  first.reset();
  IpfixDecoder arrived;
  decode_stream(whole_messages(beginning), arrived);
  const std::size_t count = flow_ids(arrived).size();
  ASSERT_GT(count, 0U);

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
  decode_stream(stream, decoder);
  const auto ids = flow_ids(decoder);
  ASSERT_FALSE(ids.empty());
  EXPECT_EQ(ids.front(), count) << "the first that the other one has not";
  EXPECT_EQ(ids.back(), 59'999U);
  EXPECT_EQ(ids.size(), 60'000U - ids.front());
}

// It takes every message within the time of one, but not the batch of them.
TEST(IpfixExporter, ASlowCollectorDoesNotHoldUpTheEnd) {
  LoopbackSocket collector(SOCK_STREAM);
  const int small = 65'536;
  ::setsockopt(collector.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  ASSERT_TRUE(collector.listen());
  IpfixExporterOptions options = exporter_options("tcp://127.0.0.1:" + std::to_string(collector.port()));
  options.transport.write_timeout =
      milliseconds(3'000);  // longer than a busy machine keeps the reader waiting
  const auto exporter = make_exporter(options);
  const FlowBatch batch = batch_of(60'000, 0);
  ASSERT_TRUE(exporter->open());
  UniqueFd connection = collector.accept();
  std::jthread reader([&connection](const std::stop_token& enough) {
    const std::uint64_t start = monotonic_ns();
    while (!enough.stop_requested() && since(start) < kPatience && !receive(connection.get(), 16'384).empty())
      std::this_thread::sleep_for(milliseconds(20));
    connection.reset();
  });
  const std::uint64_t start = monotonic_ns();
  exporter->end_by(start + 500'000'000);
  const Status written = exporter->write(batch);
  EXPECT_LT(since(start), kPatience);
  EXPECT_GE(since(start), milliseconds(3'490)) << "the time of one more message";
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().what, HasSubstr("there is no more time to send the rest"));
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
