// SPDX-License-Identifier: Apache-2.0
// The capture reader: both formats in both byte orders, and each way a file can be damaged.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "daemon/replay/capture_reader.h"
#include "tests/unit/pcap_file_bytes.h"

namespace rheo {
namespace {

using tests::Bytes;
using tests::FileBytes;

struct SeenPacket {
  std::uint64_t time_ns;
  Bytes bytes;
  std::uint32_t original;
  std::uint32_t link_type;
  std::uint32_t interface;
  PacketDirection direction;
};

struct Outcome {
  std::vector<SeenPacket> packets;
  std::vector<CaptureInterface> interfaces;
  std::string error;  // empty: the file ended well
};

Outcome drain(CaptureReader& reader) {
  Outcome outcome;
  while (true) {
    const auto packet = reader.next();
    outcome.interfaces = reader.interfaces();
    if (!packet) {
      outcome.error = packet.error().what;
      EXPECT_FALSE(reader.next()) << "an error is final";
      return outcome;
    }
    if (!*packet) return outcome;
    const CapturedPacket& p = **packet;
    outcome.packets.push_back({p.time_ns, Bytes(p.bytes.begin(), p.bytes.end()), p.original_length,
                               p.link_type, p.interface, p.direction});
  }
}

Outcome read_all(const Bytes& file) {
  auto reader = CaptureReader::over(file, "f.pcap");
  if (!reader) return {.packets = {}, .interfaces = {}, .error = reader.error().what};
  return drain(*reader);
}

const Bytes kFive = {1, 2, 3, 4, 5};
constexpr std::uint64_t kSecond = 1'000'000'000;

TEST(Pcap, BothByteOrdersAndBothUnits) {
  for (const bool big_endian : {false, true}) {
    const auto micro =
        read_all(FileBytes(big_endian).pcap_header(0xa1b2c3d4, 101).pcap_packet(7, 9, kFive, 60).get());
    ASSERT_EQ(micro.packets.size(), 1U) << micro.error;
    EXPECT_EQ(micro.error, "");
    EXPECT_EQ(micro.packets[0].time_ns, 7 * kSecond + 9'000);
    EXPECT_EQ(micro.packets[0].bytes, kFive);
    EXPECT_EQ(micro.packets[0].original, 60U);
    EXPECT_EQ(micro.packets[0].link_type, 101U);

    const auto nano =
        read_all(FileBytes(big_endian).pcap_header(0xa1b23c4d, 1).pcap_packet(7, 9, kFive).get());
    ASSERT_EQ(nano.packets.size(), 1U) << nano.error;
    EXPECT_EQ(nano.packets[0].time_ns, 7 * kSecond + 9);
  }
}

TEST(Pcap, FrameCheckSequenceBitsAreNotTheLinkType) {
  const auto seen = read_all(FileBytes().pcap_header(0xa1b2c3d4, 0x24000001).pcap_packet(0, 0, kFive).get());
  ASSERT_EQ(seen.packets.size(), 1U);
  EXPECT_EQ(seen.packets[0].link_type, 1U);
}

TEST(Pcap, OriginalLengthIsNeverLessThanCaptured) {
  const auto seen = read_all(FileBytes().pcap_header(0xa1b2c3d4, 1).pcap_packet(0, 0, kFive, 2).get());
  ASSERT_EQ(seen.packets.size(), 1U);
  EXPECT_EQ(seen.packets[0].original, 5U);
}

TEST(Pcap, CutAnywhereDeliversEveryCompletePacketThenSaysWhere) {
  const Bytes file =
      FileBytes().pcap_header(0xa1b2c3d4, 1).pcap_packet(1, 0, kFive).pcap_packet(2, 0, kFive).get();
  ASSERT_EQ(file.size(), 24U + 21 + 21);
  for (std::size_t size = 4; size < file.size(); ++size) {
    const auto seen = read_all(Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size)));
    EXPECT_EQ(seen.packets.size(), size >= 45 ? 1U : 0U) << size;
    if (size == 24 || size == 45) {
      EXPECT_EQ(seen.error, "") << size;
    } else {
      const std::string at = size < 24 ? "0" : size < 45 ? "24" : "45";
      EXPECT_TRUE(seen.error.starts_with("f.pcap: damaged at byte " + at + ": the file ends inside"))
          << seen.error;
    }
  }
}

TEST(Pcap, HostileLengthIsDamage) {
  const auto seen = read_all(FileBytes()
                                 .pcap_header(0xa1b2c3d4, 1)
                                 .pcap_packet(1, 0, kFive)
                                 .u32(0)
                                 .u32(0)
                                 .u32(0xfffffff0)
                                 .u32(1)
                                 .get());
  EXPECT_EQ(seen.packets.size(), 1U);
  EXPECT_EQ(seen.error,
            "f.pcap: damaged at byte 45: a packet of 4294967280 captured bytes, more than the file's limit "
            "of 262144");
}

TEST(Pcap, WhatIsNoCaptureIsNamed) {
  EXPECT_EQ(read_all({0x1f, 0x8b, 8, 0, 0}).error, "f.pcap: is compressed with gzip: decompress it first");
  EXPECT_EQ(read_all({0x28, 0xb5, 0x2f, 0xfd, 0}).error,
            "f.pcap: is compressed with zstd: decompress it first");
  EXPECT_EQ(read_all({'h', 'e', 'l', 'l', 'o'}).error,
            "f.pcap: is no pcap or pcapng capture: it begins with 68 65 6c 6c");
  EXPECT_EQ(read_all({}).error, "f.pcap: is no pcap or pcapng capture: only 0 bytes");
  EXPECT_EQ(read_all(FileBytes().u32(0xa1b2c3d4).u16(3).u16(0).u32(0).u32(0).u32(0).u32(1).get()).error,
            "f.pcap: damaged at byte 0: pcap version 3 is not known, only 2");
}

TEST(Pcap, FileThatIsNotThereIsNamed) {
  const auto reader = CaptureReader::open("/nonexistent/a.pcap");
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().what, "/nonexistent/a.pcap: No such file or directory");
}

TEST(Pcap, FileLargerThanTheWindowIsReadWhole) {
  const std::string path = testing::TempDir() + "/rheo_pcap_reader_" + std::to_string(::getpid()) + ".pcap";
  FileBytes file;
  file.pcap_header(0xa1b2c3d4, 1, 1U << 20U);
  std::vector<std::size_t> sizes = {1, 262'144, 70'000, 700'000, 3, 0, 262'143};
  sizes.insert(sizes.end(), 60, 30'001);  // many to a window, and some across its end
  for (std::size_t i = 0; i < sizes.size(); ++i)
    file.pcap_packet(static_cast<std::uint32_t>(i), 0, Bytes(sizes[i], static_cast<std::uint8_t>(i)));
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(file.get().data()),
             static_cast<std::streamsize>(file.get().size()));
  auto reader = CaptureReader::open(path);
  ASSERT_TRUE(reader) << reader.error().what;
  const auto seen = drain(*reader);
  ::unlink(path.c_str());
  EXPECT_EQ(seen.error, "");
  ASSERT_EQ(seen.packets.size(), sizes.size());
  for (std::size_t i = 0; i < sizes.size(); ++i)
    EXPECT_EQ(seen.packets[i].bytes, Bytes(sizes[i], static_cast<std::uint8_t>(i))) << i;
}

TEST(Pcapng, BothByteOrdersSectionsAndInterfaces) {
  FileBytes file;
  for (const bool big_endian : {false, true}) {
    FileBytes section(big_endian);
    section.section()
        .interface(1,
                   FileBytes(big_endian).option(2, {'e', 't', 'h', '0'}).option(9, {9}).option(0, {}).get())
        .block(0xbad, {1, 2, 3, 4})  // unknown: passed over
        .interface(101)
        .enhanced(1, 5'000'001, kFive,
                  FileBytes(big_endian).option(2, FileBytes(big_endian).u32(2).get()).get())
        .enhanced(0, 5 * kSecond + 3, kFive,
                  FileBytes(big_endian).option(2, FileBytes(big_endian).u32(1).get()).get());
    file.raw(section.get());
  }
  const auto seen = read_all(file.get());
  EXPECT_EQ(seen.error, "");
  ASSERT_EQ(seen.packets.size(), 4U);
  ASSERT_EQ(seen.interfaces.size(), 4U);
  EXPECT_EQ(seen.interfaces[2].name, "eth0");
  EXPECT_EQ(seen.interfaces[3].name, "");
  EXPECT_EQ(seen.interfaces[3].number_in_section, 1U);
  for (const std::size_t section : {0U, 1U}) {
    const SeenPacket& first = seen.packets[2 * section];
    const SeenPacket& second = seen.packets[2 * section + 1];
    EXPECT_EQ(first.interface, 2 * section + 1);
    EXPECT_EQ(first.link_type, 101U);
    EXPECT_EQ(first.time_ns, 5 * kSecond + 1'000);
    EXPECT_EQ(first.direction, PacketDirection::outbound);
    EXPECT_EQ(second.interface, 2 * section);
    EXPECT_EQ(second.time_ns, 5 * kSecond + 3);
    EXPECT_EQ(second.bytes, kFive);
    EXPECT_EQ(second.direction, PacketDirection::inbound);
  }
}

std::uint64_t time_of(std::uint64_t ticks, std::uint8_t resolution, std::uint64_t offset_s) {
  const auto seen = read_all(
      FileBytes()
          .section()
          .interface(
              1, FileBytes().option(9, {resolution}).option(14, FileBytes().number(offset_s, 8).get()).get())
          .enhanced(0, ticks, kFive)
          .get());
  return seen.packets.empty() ? 1 : seen.packets[0].time_ns;
}

TEST(Pcapng, TimeResolutionAndOffset) {
  EXPECT_EQ(time_of(3, 0, 0), 3 * kSecond);
  EXPECT_EQ(time_of(3'500, 3, 100), 103 * kSecond + 500'000'000);
  EXPECT_EQ(time_of(3'000'000'000'000, 12, 0), 3 * kSecond);
  EXPECT_EQ(time_of(3 * 1024 + 512, 0x80 | 10, 0), 3 * kSecond + 500'000'000);
  EXPECT_EQ(time_of(10 * kSecond, 9, static_cast<std::uint64_t>(-4)), 6 * kSecond);
  // Out of range either way stays within it.
  EXPECT_EQ(time_of(10 * kSecond, 9, static_cast<std::uint64_t>(-11)), 0U);
  EXPECT_EQ(time_of(~0ULL, 0, 0), static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  EXPECT_EQ(time_of(~0ULL, 127, 0), 0U);
  EXPECT_EQ(time_of(~0ULL, 255, 0), 0U);
}

TEST(Pcapng, SimpleAndObsoletePacketBlocks) {
  const auto seen =
      read_all(FileBytes()
                   .section()
                   .interface(1, {}, 4)
                   .block(2, FileBytes().u16(0).u16(0).u32(0).u32(9).u32(2).u32(70).raw({8, 9}).pad().get())
                   .block(3, FileBytes().u32(100).raw({1, 2, 3, 4}).get())
                   .block(3, FileBytes().u32(3).raw({1, 2, 3}).pad().get())
                   .get());
  EXPECT_EQ(seen.error, "");
  ASSERT_EQ(seen.packets.size(), 3U);
  EXPECT_EQ(seen.packets[0].bytes, (Bytes{8, 9}));
  EXPECT_EQ(seen.packets[0].original, 70U);
  EXPECT_EQ(seen.packets[0].time_ns, 9'000U);
  EXPECT_EQ(seen.packets[1].bytes, (Bytes{1, 2, 3, 4}));
  EXPECT_EQ(seen.packets[1].original, 100U);
  EXPECT_EQ(seen.packets[1].time_ns, 9'000U) << "the time of the packet before";
  EXPECT_EQ(seen.packets[2].bytes, (Bytes{1, 2, 3}));
}

TEST(Pcapng, DamageIsNamedAfterTheCompletePackets) {
  const Bytes good = FileBytes().section().interface(1).enhanced(0, 1, kFive).get();
  struct Case {
    std::string what;
    Bytes more;
    std::string says;
  };
  const Case cases[] = {
      {"short length", FileBytes().u32(6).u32(8).u32(8).get(), "a block of length 8"},
      {"odd length", FileBytes().u32(6).u32(33).u32(8).get(), "a block of length 33"},
      {"odd length of a block that is passed over", FileBytes().u32(9).u32(33).u32(8).get(),
       "a block of length 33"},
      {"huge", FileBytes().u32(6).u32(0xfffffffc).u32(8).get(), "a block of length 4294967292"},
      {"huge, passed over", FileBytes().u32(9).u32(0xfffffffc).u32(8).get(),
       "the file ends inside a block of 4294967292"},
      {"two lengths", FileBytes().u32(3).u32(16).u32(0).u32(20).get(),
       "a block has length 16 in front and 20 behind"},
      {"two lengths, passed over", FileBytes().u32(9).u32(16).u32(0).u32(20).get(),
       "a block has length 16 in front and 20 behind"},
      {"interface", FileBytes().enhanced(1, 1, kFive).get(),
       "a packet of interface 1, which the file does not describe"},
      {"captured", FileBytes().block(6, FileBytes().u32(0).u32(0).u32(0).u32(0xffffffff).u32(0).get()).get(),
       "a packet of 4294967295 captured bytes in a block of 32"},
      {"options", FileBytes().interface(1, FileBytes().u16(2).u16(9).u32(0).get()).get(),
       "an interface description whose options are longer than it"},
      {"magic", FileBytes().u32(0x0a0d0d0a).u32(28).u32(5).u32(0).get(),
       "a section header with the byte-order magic"},
      {"cut", FileBytes().u32(6).u32(40).u32(0).get(), "the file ends inside a block of 40 bytes"},
      {"cut head", FileBytes().u32(6).get(), "the file ends inside a block's header"},
  };
  for (const Case& damage : cases) {
    const auto seen = read_all(FileBytes().raw(good).raw(damage.more).get());
    EXPECT_EQ(seen.packets.size(), 1U) << damage.what;
    const std::string expected =
        "f.pcap: damaged at byte " + std::to_string(good.size()) + ": " + damage.says;
    EXPECT_TRUE(seen.error.starts_with(expected)) << damage.what << ": " << seen.error;
  }
}

TEST(Pcapng, NewSectionForgetsTheInterfacesBefore) {
  const auto seen = read_all(FileBytes().section().interface(1).section().enhanced(0, 1, kFive).get());
  EXPECT_EQ(seen.packets.size(), 0U);
  EXPECT_NE(seen.error.find("a packet of interface 0, which the file does not describe"), std::string::npos)
      << seen.error;
}

}  // namespace
}  // namespace rheo
