// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/evicted_ring.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "bpf/abi.h"
#include "daemon/base/assert.h"
#include "daemon/datapath/refusal.h"

namespace rheo {
namespace {

constexpr std::size_t kBatchRows = 64;
constexpr std::uint64_t kRecordAlignment = 8;

/// The counters lie at the beginning of their pages (kernel/bpf/ringbuf.c, struct bpf_ringbuf).
std::atomic_ref<std::uint64_t> position_in(const Mapping& page) {
  return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(page.data()));
}

std::uint64_t record_bytes(std::uint32_t length) {
  return (length + BPF_RINGBUF_HDR_SZ + kRecordAlignment - 1) & ~(kRecordAlignment - 1);
}

}  // namespace

Result<EvictedRing> EvictedRing::create(std::uint64_t bytes) {
  UniqueFd fd(bpf_map_create(BPF_MAP_TYPE_RINGBUF, "evicted", 0, 0, static_cast<__u32>(bytes), nullptr));
  if (!fd) return bpf_error("create the BPF map evicted", errno);
  return open(std::move(fd));
}

Result<EvictedRing> EvictedRing::open(UniqueFd fd) {
  bpf_map_info info{};
  __u32 size = sizeof info;
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return bpf_error("look at the map evicted", errno);
  if (info.type != BPF_MAP_TYPE_RINGBUF) return failure("the pinned map evicted is not a ring buffer");

  EvictedRing ring;
  ring.page_ = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  ring.bytes_ = info.max_entries;
  auto consumer = Mapping::map(fd.get(), ring.page_, 0, Mapping::Access::read_write);
  if (!consumer) return forward(std::move(consumer), "evicted");
  auto producer = Mapping::map(fd.get(), ring.page_ + 2 * ring.bytes_, ring.page_, Mapping::Access::read);
  if (!producer) return forward(std::move(producer), "evicted");
  ring.consumer_ = *std::move(consumer);
  ring.producer_ = *std::move(producer);
  ring.fd_ = std::move(fd);
  return ring;
}

std::uint64_t EvictedRing::consumer_position() const {
  return position_in(consumer_).load(std::memory_order_relaxed);  // we are its only writer
}

void EvictedRing::release(std::uint64_t position) {
  // A journal may name a place in a ring that is gone with its pin; ahead of the producer, our position would
  // make the kernel believe that this one is full.
  if (position > position_in(producer_).load(std::memory_order_acquire)) return;
  if (position > consumer_position()) position_in(consumer_).store(position, std::memory_order_release);
}

void EvictedRing::consume(const std::function<void(std::span<const Row>)>& merge,
                          std::uint64_t until_first_ns) {
  std::byte* const data = producer_.data() + page_;
  std::array<Row, kBatchRows> batch;
  std::size_t filled = 0;
  std::uint64_t position = consumer_position();
  std::uint64_t merged = position;  // where the last row handed out ends

  // False: merge did not release its rows, so nothing behind them may be handed out or skipped.
  const auto flush = [&] {
    if (filled > 0) merge(std::span(batch.data(), std::exchange(filled, 0)));
    return consumer_position() >= merged;
  };

  // What comes in meanwhile is for the next call: under a flood of new flows there is always more.
  const std::uint64_t end = position_in(producer_).load(std::memory_order_acquire);
  while (position < end) {
    std::byte* const record = data + (position & (bytes_ - 1));
    const std::uint32_t header =
        std::atomic_ref(*reinterpret_cast<std::uint32_t*>(record)).load(std::memory_order_acquire);
    if ((header & BPF_RINGBUF_BUSY_BIT) != 0) break;
    const std::uint32_t length = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
    const std::uint64_t next = position + record_bytes(length);
    if ((header & BPF_RINGBUF_DISCARD_BIT) == 0) {
      RHEO_ASSERT(length == sizeof(abi::evicted_row));
      const auto* row = reinterpret_cast<const abi::evicted_row*>(record + BPF_RINGBUF_HDR_SZ);
      if (row->hot.first_ns >= until_first_ns) break;
      batch[filled++] = {
          .hot = &row->hot,
          .cold = &row->cold,
          .tcp = &row->tcp,
          .place = {.kind = RowPlace::Kind::ring, .generation = 0, .way = 0, .position = next}};
      merged = next;
    }
    position = next;
    if (filled == kBatchRows && !flush()) return;
  }
  if (flush()) release(position);  // past records that the programs discarded, too
}

}  // namespace rheo
