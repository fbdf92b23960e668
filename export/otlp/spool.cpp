// SPDX-License-Identifier: Apache-2.0
#include "export/otlp/spool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <vector>

#include "daemon/base/assert.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMagic = 0x31'4c'4f'4f'50'53'52'4fU;  // "ORSPOOL1"
constexpr std::uint32_t kMaxRequest = 1U << 30U;              // octets, unpacked
constexpr std::uint64_t kSmallestSegment = 64U << 10U;
constexpr std::uint64_t kSegments = 16;  // of a full spool: what is done is freed in such pieces

/// Before each request, in this host's byte order: the file never leaves it.
struct Head {
  std::uint64_t magic = kMagic;
  std::uint32_t packed_size = 0;
  std::uint32_t size = 0;
  std::uint64_t records = 0;
  FlowCounts counts;
  std::uint32_t sum = 0;  // CRC-32 of all above and of the packed octets
  std::uint32_t done = 0;
};
static_assert(sizeof(Head) == 56);
constexpr std::size_t kSummed = offsetof(Head, sum);

std::uint32_t sum_of(const Head& head, std::string_view packed) {
  const uLong begun = ::crc32(0, reinterpret_cast<const Bytef*>(&head), kSummed);
  return static_cast<std::uint32_t>(
      ::crc32(begun, reinterpret_cast<const Bytef*>(packed.data()), static_cast<uInt>(packed.size())));
}

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

/// The whole request at the offset; nothing where there is none, or a damaged one.
struct Entry {
  Head head;
  std::string packed;
  std::uint64_t size() const { return sizeof head + packed.size(); }
};

std::optional<Entry> read_entry(int fd, std::uint64_t offset, std::uint64_t file_size) {
  Entry entry;
  if (offset + sizeof(Head) > file_size || !read_at(fd, &entry.head, sizeof(Head), offset))
    return std::nullopt;
  const Head& head = entry.head;
  if (head.magic != kMagic || head.size > kMaxRequest || offset + sizeof(Head) + head.packed_size > file_size)
    return std::nullopt;
  entry.packed.resize(head.packed_size);
  if (!read_at(fd, entry.packed.data(), entry.packed.size(), offset + sizeof(Head))) return std::nullopt;
  if (sum_of(head, entry.packed) != head.sum) return std::nullopt;
  return entry;
}

/// Makes a new name in the folder outlive a power cut.
void sync_folder(const std::string& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd) ::fsync(fd.get());
}

}  // namespace

Result<std::unique_ptr<Spool>> Spool::open(const SpoolOptions& options) {
  std::error_code fault;
  const fs::path folder(options.folder);
  fs::create_directories(folder.parent_path(), fault);
  if (::mkdir(options.folder.c_str(), 0700) != 0 && errno != EEXIST)
    return errno_error("spool " + options.folder);
  std::unique_ptr<Spool> spool(new Spool(options));
  if (Status loaded = spool->load(); !loaded) return forward(std::move(loaded), "spool " + options.folder);
  return spool;
}

std::string Spool::path(std::uint64_t number) const {
  return fmt::format("{}/{:016}", options_.folder, number);
}

Status Spool::load() {
  std::vector<std::uint64_t> numbers;
  std::error_code fault;
  for (fs::directory_iterator entry(options_.folder, fault), end; !fault && entry != end;
       entry.increment(fault)) {
    const std::string name = entry->path().filename().string();
    std::uint64_t number = 0;
    const char* const begin = name.c_str();
    const auto read = std::from_chars(begin, begin + name.size(), number);
    if (name.size() == 16 && read.ec == std::errc() && read.ptr == begin + name.size())
      numbers.push_back(number);
  }
  if (fault) return std::unexpected(Error{fault, fault.message()});
  std::ranges::sort(numbers);
  for (const std::uint64_t number : numbers) {
    next_number_ = number + 1;
    if (Status loaded = load_segment(number); !loaded) return loaded;
  }
  skip_done();
  return Done{};
}

/// Counts the requests of a file, and cuts off what is not whole. A file without one that is to be sent goes.
Status Spool::load_segment(std::uint64_t number) {
  UniqueFd fd(::open(path(number).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) return errno_error(path(number));
  const auto size = static_cast<std::uint64_t>(status.st_size);
  std::uint64_t whole = 0;
  bool open_request = false;
  while (const auto entry = read_entry(fd.get(), whole, size)) {
    whole += entry->size();
    if (entry->head.done != 0) continue;
    open_request = true;
    records_ += entry->head.records;
  }
  if (!open_request) {
    ::unlink(path(number).c_str());
    return Done{};
  }
  if (whole < size && ::ftruncate(fd.get(), static_cast<off_t>(whole)) != 0) return errno_error(path(number));
  bytes_ += whole;
  segments_.push_back({.number = number, .size = whole, .fd = std::move(fd)});
  return Done{};
}

Status Spool::begin_segment() {
  const std::uint64_t number = next_number_;
  UniqueFd fd(::open(path(number).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return errno_error("spool " + path(number));
  sync_folder(options_.folder);
  ++next_number_;
  if (segments_.empty()) head_ = 0;
  segments_.push_back({.number = number, .size = 0, .fd = std::move(fd)});
  return Done{};
}

Status Spool::append(std::span<const std::byte> request, std::uint64_t records, const FlowCounts& counts) {
  RHEO_ASSERT(request.size() <= kMaxRequest);
  uLongf packed_size = ::compressBound(request.size());
  std::string entry(sizeof(Head) + packed_size, '\0');
  const int packed =
      ::compress2(reinterpret_cast<Bytef*>(entry.data() + sizeof(Head)), &packed_size,
                  reinterpret_cast<const Bytef*>(request.data()), request.size(), Z_BEST_SPEED);
  RHEO_ASSERT(packed == Z_OK);
  entry.resize(sizeof(Head) + packed_size);
  Head head{.packed_size = static_cast<std::uint32_t>(packed_size),
            .size = static_cast<std::uint32_t>(request.size()),
            .records = records,
            .counts = counts};
  head.sum = sum_of(head, std::string_view(entry).substr(sizeof(Head)));
  std::memcpy(entry.data(), &head, sizeof head);

  if (bytes_ + entry.size() > options_.limit)
    return failure(fmt::format("spool {} is full", options_.folder), std::errc::no_space_on_device);
  const bool fits =
      !segments_.empty() && segments_.back().size < std::max(options_.limit / kSegments, kSmallestSegment);
  if (!fits) {
    if (Status begun = begin_segment(); !begun) return begun;
  }
  if (Status written = write(segments_.back(), entry); !written) {
    if (segments_.back().size == 0) {  // nothing is in it
      ::unlink(path(segments_.back().number).c_str());
      segments_.pop_back();
    }
    return written;
  }
  records_ += records;
  return Done{};
}

/// All of it on the disk, or nothing behind what was there.
Status Spool::write(Segment& segment, const std::string& entry) {
  const auto failed = [&]() -> Status {
    Status error = errno_error("spool " + path(segment.number));
    if (::ftruncate(segment.fd.get(), static_cast<off_t>(segment.size)) != 0)
      return forward(std::move(error), "and cannot be cut back");
    return error;
  };
  std::size_t done = 0;
  while (done < entry.size()) {
    const ssize_t put = ::pwrite(segment.fd.get(), entry.data() + done, entry.size() - done,
                                 static_cast<off_t>(segment.size + done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return failed();
    done += static_cast<std::size_t>(put);
  }
  if (::fdatasync(segment.fd.get()) != 0) return failed();
  segment.size += entry.size();
  bytes_ += entry.size();
  return Done{};
}

std::optional<SpooledRequest> Spool::oldest() {
  RHEO_ASSERT(!empty());
  const Segment& segment = segments_.front();
  const auto entry = read_entry(segment.fd.get(), head_, segment.size);
  if (!entry) {  // the disk forgot it: so did it where the next request begins
    drop_segment();
    skip_done();
    return std::nullopt;
  }
  SpooledRequest request{.bytes = std::string(entry->head.size, '\0'),
                         .records = entry->head.records,
                         .counts = entry->head.counts};
  uLongf size = entry->head.size;
  const int unpacked = ::uncompress(reinterpret_cast<Bytef*>(request.bytes.data()), &size,
                                    reinterpret_cast<const Bytef*>(entry->packed.data()),
                                    static_cast<uLong>(entry->packed.size()));
  RHEO_ASSERT(unpacked == Z_OK && size == entry->head.size);
  return request;
}

void Spool::pop() {
  const Segment& segment = segments_.front();
  Head head;
  if (!read_at(segment.fd.get(), &head, sizeof head, head_)) return drop_segment();
  head.done = 1;
  static_cast<void>(!::pwrite(segment.fd.get(), &head.done, sizeof head.done,
                              static_cast<off_t>(head_ + offsetof(Head, done))));
  records_ -= std::min<std::uint64_t>(records_, head.records);
  head_ += sizeof head + head.packed_size;
  skip_done();
}

void Spool::drop_segment() {
  bytes_ -= segments_.front().size;
  ::unlink(path(segments_.front().number).c_str());
  segments_.pop_front();
  head_ = 0;
  if (segments_.empty()) records_ = 0;
}

/// The head comes to the oldest request that is not done; files without one go.
void Spool::skip_done() {
  while (!segments_.empty()) {
    const Segment& segment = segments_.front();
    Head head;
    while (head_ < segment.size && read_at(segment.fd.get(), &head, sizeof head, head_) && head.done != 0)
      head_ += sizeof head + head.packed_size;
    if (head_ < segment.size) return;
    drop_segment();
  }
}

}  // namespace rheo
