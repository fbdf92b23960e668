// SPDX-License-Identifier: Apache-2.0
#include "export/otlp/spool_entry.h"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "daemon/base/assert.h"

namespace rheo {
namespace {

// Nothing packs to more than this beside its own size.
constexpr std::uint32_t kMaxPacked = kMaxSpooledRequest + (kMaxSpooledRequest >> 8U);

std::uint32_t crc(const void* from, std::size_t size) {
  return static_cast<std::uint32_t>(::crc32(0, static_cast<const Bytef*>(from), static_cast<uInt>(size)));
}

std::uint32_t sum_of(const SpoolHead& head) { return crc(&head, offsetof(SpoolHead, sum)); }

bool read_at(int fd, void* to, std::size_t size, std::uint64_t offset) {
  auto* at = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t got = ::pread(fd, at, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    offset += static_cast<std::uint64_t>(got);
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

bool read_head(int fd, std::uint64_t offset, std::uint64_t file_size, SpoolHead& head) {
  return offset + sizeof head <= file_size && read_at(fd, &head, sizeof head, offset) &&
         head.magic == SpoolHead::kMagic && head.sum == sum_of(head) && head.size <= kMaxSpooledRequest &&
         head.packed_size <= kMaxPacked && head.behind <= 1;
}

/// The entry of the head at `at`, if there is one, and it does not begin before `least`.
std::optional<SpoolEntry> entry_of_head(int fd, std::uint64_t at, std::uint64_t least,
                                        std::uint64_t file_size) {
  SpoolEntry entry{.head = {}, .offset = at};
  if (!read_head(fd, at, file_size, entry.head)) return std::nullopt;
  const std::uint64_t before = entry.head.behind == 0 ? 0 : sizeof(SpoolHead) + entry.head.packed_size;
  if (at < least + before) return std::nullopt;
  entry.offset = at - before;
  return entry;
}

/// Looks for a head in every place, where the one that should be at the offset cannot be read.
std::optional<SpoolEntry> search_entry(int fd, std::uint64_t offset, std::uint64_t file_size) {
  constexpr std::size_t kChunk = 64U << 10U;
  constexpr std::uint64_t magic = SpoolHead::kMagic;
  std::string chunk(kChunk, '\0');
  for (std::uint64_t from = offset; from + sizeof magic <= file_size; from += kChunk - sizeof magic + 1) {
    const std::size_t size = std::min<std::uint64_t>(kChunk, file_size - from);
    if (!read_at(fd, chunk.data(), size, from)) return std::nullopt;
    const std::string_view text(chunk.data(), size);
    const std::string_view wanted(reinterpret_cast<const char*>(&magic), sizeof magic);
    for (std::size_t at = text.find(wanted); at != text.npos; at = text.find(wanted, at + 1))
      if (auto entry = entry_of_head(fd, from + at, offset, file_size)) return entry;
  }
  return std::nullopt;
}

}  // namespace

std::optional<SpoolEntry> next_spool_entry(int fd, std::uint64_t offset, std::uint64_t file_size) {
  const auto entry = entry_of_head(fd, offset, offset, file_size);
  return entry ? entry : search_entry(fd, offset, file_size);
}

std::optional<std::string> read_spooled(int fd, const SpoolEntry& entry) {
  std::string packed(entry.head.packed_size, '\0');
  if (!read_at(fd, packed.data(), packed.size(), entry.octets()) ||
      crc(packed.data(), packed.size()) != entry.head.packed_sum)
    return std::nullopt;
  std::string request(entry.head.size, '\0');
  uLongf size = request.size();
  if (::uncompress(reinterpret_cast<Bytef*>(request.data()), &size,
                   reinterpret_cast<const Bytef*>(packed.data()), packed.size()) != Z_OK ||
      size != request.size())
    return std::nullopt;
  return request;
}

void mark_done(int fd, const SpoolEntry& entry) {
  const std::uint32_t done = SpoolHead::kDone;
  for (const std::uint64_t head : {entry.offset, entry.behind()})
    static_cast<void>(
        !::pwrite(fd, &done, sizeof done, static_cast<off_t>(head + offsetof(SpoolHead, state))));
}

std::string pack_spool_entry(std::span<const std::byte> request, std::uint64_t records,
                             const FlowCounts& counts, std::string_view boot) {
  RHEO_ASSERT(request.size() <= kMaxSpooledRequest);
  uLongf packed_size = ::compressBound(request.size());
  std::string entry(sizeof(SpoolHead) + packed_size, '\0');
  char* const packed = entry.data() + sizeof(SpoolHead);
  const int code = ::compress2(reinterpret_cast<Bytef*>(packed), &packed_size,
                               reinterpret_cast<const Bytef*>(request.data()), request.size(), Z_BEST_SPEED);
  RHEO_ASSERT(code == Z_OK);
  SpoolHead head{.packed_size = static_cast<std::uint32_t>(packed_size),
                 .size = static_cast<std::uint32_t>(request.size()),
                 .records = records,
                 .counts = counts,
                 .packed_sum = crc(packed, packed_size)};
  boot.copy(head.boot.data(), head.boot.size());
  head.sum = sum_of(head);
  std::memcpy(entry.data(), &head, sizeof head);
  head.behind = 1;
  head.sum = sum_of(head);
  entry.resize(sizeof head + packed_size);
  entry.append(reinterpret_cast<const char*>(&head), sizeof head);
  return entry;
}

}  // namespace rheo
