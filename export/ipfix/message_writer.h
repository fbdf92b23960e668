// SPDX-License-Identifier: Apache-2.0
// MessageWriter: libfixbuf in manual mode, and the only place that knows it. It frames messages, sets,
// templates and records in a buffer of its own; nothing is ever sent, withdrawn or added twice by it. One
// lane's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "export/ipfix/templates.h"

namespace rheo {

class MessageWriter {
 public:
  struct Options {
    std::uint32_t observation_domain = 0;
    std::uint32_t pen = 0;
    std::size_t max_message_size = 0;
  };

  explicit MessageWriter(const Options& options);
  ~MessageWriter();
  MessageWriter(const MessageWriter&) = delete;
  MessageWriter& operator=(const MessageWriter&) = delete;

  /// Makes a template known, without writing it. The first `scope_fields` make it one of options; 0: of
  /// records.
  Status add_template(std::uint16_t id, std::span<const TemplateField> fields,
                      std::uint16_t scope_fields = 0);

  /// Writes the template into the message; not together with records. Fails when it does not fit any more.
  Status append_template(std::uint16_t id);

  /// What the following records are. Begins a new set when it is another than before.
  Status use_template(std::uint16_t id);

  /// Writes one record: its fields of fixed length in network order, then those of variable length, which its
  /// template must have last. Fails when it does not fit any more.
  Status append(std::span<const std::byte> fixed, std::span<const std::string_view> variable = {});

  /// Ends the message and returns it, valid until the next call; empty when nothing was written. Its sequence
  /// number becomes `sequence`: libfixbuf's own counts messages as sent that were not.
  Result<std::span<std::byte>> finish(std::uint32_t sequence);

 private:
  class Library;
  void begin_message();
  std::span<const std::byte> with_variable(std::span<const std::byte> fixed,
                                           std::span<const std::string_view> variable);

  std::unique_ptr<Library> library_;
};

}  // namespace rheo
