// SPDX-License-Identifier: Apache-2.0
// Bytes of an rtnetlink dump to filters.
#include "daemon/datapath/filter_dump.h"

#include <gtest/gtest.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>

#include <cstring>

namespace rheo {
namespace {

using Bytes = std::vector<std::byte>;

template <class T>
void put(Bytes& bytes, const T& value) {
  const auto* from = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), from, from + sizeof value);
}

void put_attribute(Bytes& bytes, unsigned short type, const void* data, std::size_t size) {
  put(bytes, rtattr{.rta_len = static_cast<unsigned short>(RTA_LENGTH(size)), .rta_type = type});
  const auto* from = static_cast<const std::byte*>(data);
  bytes.insert(bytes.end(), from, from + size);
  bytes.resize(RTA_ALIGN(bytes.size()));
}

Bytes message(std::uint16_t type, const Bytes& payload) {
  Bytes bytes;
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(NLMSG_LENGTH(payload.size()));
  header.nlmsg_type = type;
  put(bytes, header);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  bytes.resize(NLMSG_ALIGN(bytes.size()));
  return bytes;
}

Bytes filter(const char* kind, const char* name) {
  Bytes payload;
  tcmsg body{};
  body.tcm_handle = 0x7268;
  body.tcm_info = 50U << 16U | 0x0300U;
  put(payload, body);
  put_attribute(payload, TCA_KIND, kind, std::strlen(kind) + 1);
  Bytes options;
  put_attribute(options, TCA_BPF_NAME, name, std::strlen(name) + 1);
  put_attribute(payload, TCA_OPTIONS | NLA_F_NESTED, options.data(), options.size());
  return message(RTM_NEWTFILTER, payload);
}

TEST(FilterDump, TellsPlaceAndName) {
  Bytes answer = filter("bpf", "meter_ip_egress:[7]");
  const Bytes other = filter("u32", "meter_fake");
  answer.insert(answer.end(), other.begin(), other.end());
  std::vector<TcFilter> filters;
  EXPECT_EQ(read_filters(answer, filters), false);
  ASSERT_EQ(filters.size(), 2U);
  EXPECT_EQ(filters[0].priority, 50U);
  EXPECT_EQ(filters[0].handle, 0x7268U);
  EXPECT_EQ(filters[0].bpf_name, "meter_ip_egress:[7]");
  EXPECT_EQ(filters[1].bpf_name, "");
}

TEST(FilterDump, EndsAtDoneAndFailsOnErrors) {
  std::vector<TcFilter> filters;
  EXPECT_EQ(read_filters(message(NLMSG_DONE, Bytes(4)), filters), true);
  EXPECT_EQ(read_filters(message(NLMSG_ERROR, Bytes(20)), filters), std::nullopt);
  EXPECT_TRUE(filters.empty());
}

TEST(FilterDump, BytesCutAnywhereDoNoHarm) {
  const Bytes whole = filter("bpf", "meter_ip_egress:[7]");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    std::vector<TcFilter> filters;
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(read_filters(cut, filters), size == 0 ? std::optional(false) : std::nullopt);
  }
  for (std::size_t i = sizeof(nlmsghdr); i < whole.size(); ++i) {
    Bytes wrong = whole;
    wrong[i] = std::byte{0xff};
    std::vector<TcFilter> filters;
    EXPECT_EQ(read_filters(wrong, filters), false);
  }
}

}  // namespace
}  // namespace rheo
