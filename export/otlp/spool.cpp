// SPDX-License-Identifier: Apache-2.0
#include "export/otlp/spool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <vector>

#include "daemon/base/assert.h"
#include "daemon/base/read_file.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSmallestSegment = 64U << 10U;
constexpr std::uint64_t kSegments = 16;  // of a full spool: what is done is freed in such pieces

std::string boot_id() {
  const auto text = read_file("boot id", "/proc/sys/kernel/random/boot_id", 36);
  return text ? *text : std::string();
}

/// Makes a new name in the folder outlive a power cut.
void sync_folder(const std::string& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd) ::fsync(fd.get());
}

}  // namespace

Spool::Spool(const SpoolOptions& options)
    : options_(options), boot_id_(options.boot_id.empty() ? boot_id() : options.boot_id) {}

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
  advance(0);
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
  auto entry = next_spool_entry(fd.get(), 0, size);
  for (; entry && entry->end() <= size; entry = next_spool_entry(fd.get(), whole, size)) {
    whole = entry->end();
    if (entry->done()) continue;
    open_request = true;
    records_ += entry->head.records;
  }
  if (entry)
    note_torn(*entry);
  else
    damage_.unreadable += size - whole;
  if (!open_request) {
    ::unlink(path(number).c_str());
    return Done{};
  }
  if (whole < size && ::ftruncate(fd.get(), static_cast<off_t>(whole)) != 0) return errno_error(path(number));
  bytes_ += whole;
  segments_.push_back({.number = number, .size = whole, .fd = std::move(fd)});
  return Done{};
}

/// Its records are lost if what they were taken from, the queue below /run, is of another boot.
void Spool::note_torn(const SpoolEntry& entry) {
  const auto& boot = entry.head.boot;
  const bool of_this_boot = std::string_view(boot.data(), ::strnlen(boot.data(), boot.size())) == boot_id_;
  if (!of_this_boot && !entry.done()) lose(entry);
}

Status Spool::begin_segment() {
  const std::uint64_t number = next_number_;
  UniqueFd fd(::open(path(number).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return errno_error("spool " + path(number));
  sync_folder(options_.folder);
  ++next_number_;
  segments_.push_back({.number = number, .size = 0, .fd = std::move(fd)});
  return Done{};
}

Status Spool::append(std::span<const std::byte> request, std::uint64_t records, const FlowCounts& counts) {
  const std::string entry = pack_spool_entry(request, records, counts, boot_id_);
  if (bytes_ + entry.size() > options_.limit)
    return failure(fmt::format("spool {} is full", options_.folder), std::errc::no_space_on_device);
  const bool was_empty = segments_.empty();
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
  if (was_empty) advance(0);
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
  auto bytes = read_spooled(segments_.front().fd.get(), oldest_);
  if (!bytes) {
    lose(oldest_);
    pop();
    return std::nullopt;
  }
  return SpooledRequest{
      .bytes = *std::move(bytes), .records = oldest_.head.records, .counts = oldest_.head.counts};
}

void Spool::lose(const SpoolEntry& entry) {
  damage_.lost.records += entry.head.records;
  damage_.lost.counts += entry.head.counts;
}

void Spool::pop() {
  RHEO_ASSERT(!empty());
  mark_done(segments_.front().fd.get(), oldest_);
  records_ -= std::min<std::uint64_t>(records_, oldest_.head.records);
  advance(oldest_.end());
}

void Spool::drop_segment() {
  bytes_ -= segments_.front().size;
  ::unlink(path(segments_.front().number).c_str());
  segments_.pop_front();
  if (segments_.empty()) records_ = 0;
}

/// The oldest becomes the first request at or after the offset that is not done; files without one go.
void Spool::advance(std::uint64_t offset) {
  for (; !segments_.empty(); offset = 0) {
    const Segment& segment = segments_.front();
    while (const auto entry = next_spool_entry(segment.fd.get(), offset, segment.size)) {
      damage_.unreadable += entry->offset - offset;
      offset = entry->end();
      oldest_ = *entry;
      if (!entry->done()) return;
    }
    if (offset < segment.size) damage_.unreadable += segment.size - offset;
    drop_segment();
  }
}

}  // namespace rheo
