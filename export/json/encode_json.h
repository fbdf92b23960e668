// SPDX-License-Identifier: Apache-2.0
// A flow record as one line of JSON, the fields and words of rheo-flow(5). Pure, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "daemon/model/address_classes.h"
#include "daemon/model/flow_record.h"
#include "daemon/model/link.h"
#include "export/owner_text.h"

namespace rheo {

/// What a record's text depends on beside the record.
struct EncodeContext {
  const LinkTable& links;
  std::uint16_t community_id_seed = 0;
  const AddressClasses* classes = nullptr;  // null: none are told
  OwnerTexts* owners = nullptr;             // of json_owner_format(); null: none are known
};

/// No record's line is longer, but for what it says of owners.
inline constexpr std::size_t kMaxJsonLine = 10'240;

OwnerFormat json_owner_format();

/// Appends one flat object and a newline. What is absent in the record is absent in the line: there is no
/// null. Allocates only where `out` has to grow.
void append_json(std::string& out, const FlowRecord& record, const EncodeContext& context);

}  // namespace rheo
