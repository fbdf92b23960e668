// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/flow_index.h"

#include <gtest/gtest.h>

#include <random>
#include <unordered_map>

namespace rheo {
namespace {

TEST(FlowIndex, BehavesLikeAMapUnderRandomInsertsAndErases) {
  std::mt19937_64 random(7);
  FlowIndex index;
  std::unordered_map<std::uint32_t, std::uint64_t> reference;  // entry → hash
  for (int step = 0; step < 200'000; ++step) {
    const auto entry = static_cast<std::uint32_t>(random() % 5'000);
    if (const auto found = reference.find(entry); found != reference.end()) {
      index.erase(found->second, entry);
      reference.erase(found);
    } else {
      // Few distinct hashes: long runs of collisions, which an erase must keep whole.
      const std::uint64_t hash = (random() % 700) << 32U;
      index.insert(hash, entry);
      reference.emplace(entry, hash);
    }
    ASSERT_EQ(index.size(), reference.size());
  }
  for (const auto& [entry, hash] : reference)
    EXPECT_EQ(index.find(hash, [wanted = entry](std::uint32_t e) { return e == wanted; }), entry);
  EXPECT_EQ(index.find(std::uint64_t{701} << 32U, [](std::uint32_t) { return true; }), FlowIndex::kNone);
}

TEST(HashFlowKey, DependsOnEveryByteAndOnTheSeed) {
  abi::flow_key key{};
  const std::uint64_t plain = hash_flow_key(key, 1);
  EXPECT_NE(plain, hash_flow_key(key, 2));
  auto* bytes = reinterpret_cast<unsigned char*>(&key);
  for (std::size_t i = 0; i < sizeof key; ++i) {
    bytes[i] = 1;
    EXPECT_NE(hash_flow_key(key, 1), plain) << "byte " << i;
    bytes[i] = 0;
  }
}

}  // namespace
}  // namespace rheo
