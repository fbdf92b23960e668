// SPDX-License-Identifier: Apache-2.0
// SpanEncoder: flow records as one ExportTraceServiceRequest (opentelemetry.proto.collector.trace.v1),
// straight to the wire format: one pass, no allocation for a span once the memory is as large as the largest
// batch. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "daemon/model/address_classes.h"
#include "daemon/model/flow_record.h"
#include "daemon/model/link.h"
#include "daemon/model/listeners.h"
#include "daemon/model/owner.h"
#include "export/owner_text.h"

namespace rheo {

struct SpanEncoderOptions {
  std::string version;          // of rheo, in the scope
  std::uint64_t host_key = 0;   // host_key() of the host.id
  std::uint64_t bucket_ns = 0;  // of trace_id(); not 0
  std::uint16_t community_id_seed = 0;
  Owners* owners = nullptr;  // of sockets; null: nobody knows them. Outlives the encoder
};

/// What the spans of one request depend on beside the records.
struct SpanContext {
  const LinkTable& links;
  const Listeners& host;                    // its addresses: which end of a flow is here
  std::string_view resource = {};           // encode_resource()
  std::size_t limit = SIZE_MAX;             // octets of a request; one span is encoded whatever it takes
  const AddressClasses* classes = nullptr;  // null: none are told
};

class SpanEncoder {
 public:
  explicit SpanEncoder(const SpanEncoderOptions& options);
  ~SpanEncoder();

  /// The request, of as many records from the first on as the limit allows; valid until the next call.
  std::span<const std::byte> encode(std::span<const FlowRecord> records, const SpanContext& context);

  /// How many records are in that request.
  std::size_t encoded() const { return encoded_; }

 private:
  class Interface;

  void make_room(std::size_t used);
  char* put_span(char* at, const FlowRecord& record, const SpanContext& context);
  std::span<const std::byte> put_prelude(std::size_t begin, std::size_t end, std::string_view resource);

  const SpanEncoderOptions options_;
  const std::string scope_;
  std::unique_ptr<char[]> memory_;
  std::size_t size_ = 0;  // of memory_
  std::size_t encoded_ = 0;
  std::unique_ptr<Interface> interface_;
  OwnerTexts owners_;
};

}  // namespace rheo
