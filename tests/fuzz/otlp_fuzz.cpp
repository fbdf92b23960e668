// SPDX-License-Identifier: Apache-2.0
// Any bytes as what an OTLP receiver answers, and as a file of the spool: a verdict within its bounds, a text
// that can be logged, and never a read beyond them. The bytes are also put where only their sums or the
// messages around them are right, so that the fuzzer need not find those.
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/base/assert.h"
#include "daemon/base/unique_fd.h"
#include "export/otlp/answer.h"
#include "export/otlp/endpoint.h"
#include "export/otlp/spool_entry.h"
#include "export/otlp/wire.h"

namespace {

using namespace rheo;

void check(const OtlpAnswer& answer) {
  RHEO_ASSERT(answer.what.size() < 300);
  RHEO_ASSERT(std::ranges::all_of(answer.what, [](char c) { return c >= 0x20 && c < 0x7f; }));
  RHEO_ASSERT(answer.retry_after.count() >= 0 && answer.retry_after <= kLongestRetryAfter);
  RHEO_ASSERT(answer.retry_after.count() == 0 || answer.verdict == OtlpVerdict::retry ||
              answer.verdict == OtlpVerdict::refused);
  RHEO_ASSERT(answer.rejected <= INT64_MAX);
}

std::string field(unsigned number, std::string_view value) {
  std::string out;
  wire::append_field(out, number, value);
  return out;
}

/// google.rpc.Status with a RetryInfo of these octets.
std::string status_of(std::string_view retry_info) {
  return field(3, field(1, "type.googleapis.com/google.rpc.RetryInfo") + field(2, retry_info));
}

/// A delay that is well-formed is the one that is obeyed.
void check_delay(std::string_view text) {
  if (text.size() < 8) return;
  std::int32_t seconds = 0;
  std::uint32_t nanos = 0;
  std::memcpy(&seconds, text.data(), sizeof seconds);
  std::memcpy(&nanos, text.data() + 4, sizeof nanos);
  nanos %= 1'000'000'000;
  std::string duration(1, wire::key(1, wire::Type::varint));
  wire::append_varint(duration, static_cast<std::uint64_t>(static_cast<std::int64_t>(seconds)));
  duration.push_back(wire::key(2, wire::Type::varint));
  wire::append_varint(duration, nanos);
  const OtlpAnswer answer = grpc_answer(8, text, status_of(field(1, duration)));
  check(answer);
  RHEO_ASSERT(answer.verdict == OtlpVerdict::retry);
  const std::chrono::nanoseconds meant = std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanos);
  RHEO_ASSERT(answer.retry_after == (seconds < 0
                                         ? std::chrono::nanoseconds(0)
                                         : std::min<std::chrono::nanoseconds>(meant, kLongestRetryAfter)));
}

void read_answers(std::string_view text) {
  for (int code = -1; code <= 17; ++code) {
    check(grpc_answer(code, text, text));
    check(grpc_answer(code, text, status_of(text)));
    check(grpc_answer(code, text, status_of(field(1, text))));
  }
  check_delay(text);
  for (const int status : {200, 400, 413, 429, 503}) check(http_answer(status, text, text, 1'700'000'000));
  check(taken_answer(text));
  check(taken_answer(field(1, text)));
  for (const OtlpProtocol protocol : {OtlpProtocol::grpc, OtlpProtocol::http_protobuf}) {
    const auto endpoint = parse_otlp_endpoint(text, protocol);
    RHEO_ASSERT(!endpoint || (endpoint->port != 0 && !endpoint->host.empty()));
  }
}

void read_file(std::string_view bytes) {
  const UniqueFd fd(::memfd_create("spool", MFD_CLOEXEC));
  RHEO_ASSERT(::write(fd.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  std::uint64_t offset = 0;
  while (const auto entry = next_spool_entry(fd.get(), offset, bytes.size())) {
    RHEO_ASSERT(entry->offset >= offset && entry->end() > entry->offset);
    offset = entry->end();
    if (const auto request = read_spooled(fd.get(), *entry)) RHEO_ASSERT(request->size() == entry->head.size);
  }
}

/// As a head, and octets behind it, of which only the sums are right.
void read_spool(std::string_view text) {
  read_file(text);
  SpoolHead head;
  if (text.size() < sizeof head) return;
  std::memcpy(&head, text.data(), sizeof head);
  const std::string_view packed = text.substr(sizeof head);
  const auto sum = [](const void* from, std::size_t size) {
    return static_cast<std::uint32_t>(::crc32(0, static_cast<const Bytef*>(from), static_cast<uInt>(size)));
  };
  head.magic = SpoolHead::kMagic;
  head.packed_size = static_cast<std::uint32_t>(packed.size());
  head.size %= 1U << 20U;
  head.packed_sum = sum(packed.data(), packed.size());
  head.sum = sum(&head, offsetof(SpoolHead, sum));
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
  bytes += packed;
  read_file(bytes + bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A copy of exactly the size, so that the sanitizer sees a byte too far.
  const auto copy = std::make_unique<char[]>(size);
  if (size > 0) std::memcpy(copy.get(), data, size);
  read_answers({copy.get(), size});
  read_spool({copy.get(), size});
  return 0;
}
