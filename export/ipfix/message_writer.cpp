// SPDX-License-Identifier: Apache-2.0
#include "export/ipfix/message_writer.h"

#include <fixbuf/public.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <mutex>
#include <vector>

#include "daemon/base/assert.h"

namespace rheo {
namespace {

/// GLib's default writes to standard error, where only the daemon's log belongs. What libfixbuf has to say
/// also comes back as an error; words before it aborts the process are all that would be lost.
void drop_log_message(const gchar*, GLogLevelFlags level, const gchar* message, gpointer) {
  if ((level & (G_LOG_FLAG_FATAL | G_LOG_LEVEL_ERROR)) != 0)
    std::fprintf(stderr, "rheo: glib: %s\n", message);
}

void silence_glib() {
  static std::once_flag once;
  std::call_once(once, [] { g_log_set_default_handler(drop_log_message, nullptr); });
}

/// A GError that frees itself; `out()` is for the call that may set it.
class LibraryError {
 public:
  LibraryError() = default;
  ~LibraryError() { g_clear_error(&error_); }
  LibraryError(const LibraryError&) = delete;
  LibraryError& operator=(const LibraryError&) = delete;

  GError** out() {
    g_clear_error(&error_);
    return &error_;
  }
  bool message_is_full() const { return g_error_matches(error_, FB_ERROR_DOMAIN, FB_ERROR_EOM) != 0; }
  std::unexpected<Error> failure_in(std::string_view doing) const {
    const char* words = error_ == nullptr ? "no reason given" : error_->message;
    return failure(fmt::format("{}: libfixbuf: {}", doing, words),
                   message_is_full() ? std::errc::no_buffer_space : std::errc::invalid_argument);
  }

 private:
  GError* error_ = nullptr;
};

/// Registers the whole table, over the library's own list: one table decides. Without FB_IE_F_ENDIAN the
/// library copies values as they are, and they come in network order.
fbInfoModel_t* make_model(std::uint32_t pen) {
  fbInfoModel_t* model = fbInfoModelAlloc();
  for (const IpfixElement& element : ipfix_elements()) {
    fbInfoElement_t entry{};
    const std::string name(element.name);  // the model keeps a copy
    entry.ref.name = name.c_str();
    entry.ent = element.own ? pen : 0;
    entry.num = element.number;
    entry.len = element.source.length;
    entry.type = static_cast<std::uint8_t>(element.type);
    fbInfoModelAddElement(model, &entry);
    if (element.reverse == IpfixReverse::never) continue;
    const std::string reverse_name = reverse_element_name(element.name);
    entry.ref.name = reverse_name.c_str();
    entry.ent = element.own ? pen : kReversePen;
    entry.num = element.own ? static_cast<std::uint16_t>(element.number | kReverseBit) : element.number;
    fbInfoModelAddElement(model, &entry);
  }
  return model;
}

/// The fields as the library wants them; names live as long as the table or `names`.
std::vector<fbInfoElementSpec_t> specs_of(std::span<const TemplateField> fields,
                                          std::vector<std::string>& names) {
  names.clear();
  for (const TemplateField& field : fields)
    names.push_back(field.reverse ? reverse_element_name(field.element->name)
                                  : std::string(field.element->name));
  std::vector<fbInfoElementSpec_t> specs;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::uint16_t length = fields[i].element->source.length;
    fbInfoElementSpec_t spec{};
    spec.name = names[i].data();
    spec.len_override = length == kVariableLength ? 0 : length;
    specs.push_back(spec);
  }
  specs.emplace_back();
  return specs;
}

}  // namespace

/// The library's objects, freed in its order.
class MessageWriter::Library {
 public:
  explicit Library(const Options& options)
      : message_(options.max_message_size),
        model_(make_model(options.pen)),
        session_(fbSessionAlloc(model_)) {
    fbSessionSetDomain(session_, options.observation_domain);
  }
  ~Library() {
    if (buffer_ == nullptr)
      fbSessionFree(session_);
    else
      fBufFree(buffer_);  // and exporter and session
    fbInfoModelFree(model_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  fbSession_t* session() { return session_; }
  fbInfoModel_t* model() { return model_; }

  /// Made late: with a buffer, the library would write every template at the moment it is added.
  fBuf_t* buffer() {
    if (buffer_ == nullptr) {
      auto* octets = reinterpret_cast<std::uint8_t*>(message_.data());
      exporter_ = fbExporterAllocBuffer(octets, static_cast<std::uint16_t>(message_.size()));
      buffer_ = fBufAllocForExport(session_, exporter_);
      fBufSetAutomaticMode(buffer_, FALSE);
    }
    return buffer_;
  }
  bool has_buffer() const { return buffer_ != nullptr; }

  /// The message that was emitted last.
  std::span<std::byte> message() { return std::span(message_).first(fbExporterGetMsgLen(exporter_)); }

  std::vector<std::byte> record;  // one with fields of variable length
  bool begun = false;             // the message has something in it
  LibraryError error;

 private:
  std::vector<std::byte> message_;
  fbInfoModel_t* model_;
  fbSession_t* session_;
  fBuf_t* buffer_ = nullptr;
  fbExporter_t* exporter_ = nullptr;
};

MessageWriter::MessageWriter(const Options& options) {
  RHEO_ASSERT(options.max_message_size <= 65'535);
  silence_glib();
  library_ = std::make_unique<Library>(options);
}

MessageWriter::~MessageWriter() = default;

Status MessageWriter::add_template(std::uint16_t id, std::span<const TemplateField> fields,
                                   std::uint16_t scope_fields) {
  Library& library = *library_;
  RHEO_ASSERT(!library.has_buffer());
  std::vector<std::string> names;
  std::vector<fbInfoElementSpec_t> specs = specs_of(fields, names);
  // Twice: records are laid out in memory as they are in the message.
  for (const bool is_internal : {true, false}) {
    fbTemplate_t* made = fbTemplateAlloc(library.model());
    if (fbTemplateAppendSpecArray(made, specs.data(), 0, library.error.out()) == 0) {
      fbTemplateFreeUnused(made);
      return library.error.failure_in(fmt::format("template {}", id));
    }
    if (scope_fields != 0) fbTemplateSetOptionsScope(made, scope_fields);
    const gboolean internal = is_internal ? TRUE : FALSE;
    if (fbSessionAddTemplate(library.session(), internal, id, made, library.error.out()) == 0) {
      fbTemplateFreeUnused(made);
      return library.error.failure_in(fmt::format("template {}", id));
    }
  }
  return Done{};
}

Status MessageWriter::append_template(std::uint16_t id) {
  Library& library = *library_;
  begin_message();
  // After records the library asks once for a new message, also when this one is empty.
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (fbSessionExportTemplate(library.session(), id, library.error.out()) != 0) {
      library.begun = true;
      return Done{};
    }
    if (library.begun) break;
  }
  return library.error.failure_in(fmt::format("template {}", id));
}

Status MessageWriter::use_template(std::uint16_t id) {
  Library& library = *library_;
  if (fBufSetInternalTemplate(library.buffer(), id, library.error.out()) == 0 ||
      fBufSetExportTemplate(library.buffer(), id, library.error.out()) == 0)
    return library.error.failure_in(fmt::format("records of template {}", id));
  return Done{};
}

Status MessageWriter::append(std::span<const std::byte> fixed, std::span<const std::string_view> variable) {
  Library& library = *library_;
  begin_message();
  if (!variable.empty()) fixed = with_variable(fixed, variable);
  auto* octets = reinterpret_cast<std::uint8_t*>(const_cast<std::byte*>(fixed.data()));  // read only
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (fBufAppend(library.buffer(), octets, fixed.size(), library.error.out()) != 0) {
      library.begun = true;
      return Done{};
    }
    if (library.begun) break;
  }
  return library.error.failure_in("record");
}

/// In memory, a field of variable length is a pointer and a length; good until the next call.
std::span<const std::byte> MessageWriter::with_variable(std::span<const std::byte> fixed,
                                                        std::span<const std::string_view> variable) {
  std::vector<std::byte>& record = library_->record;
  record.assign(fixed.begin(), fixed.end());
  for (const std::string_view text : variable) {
    fbVarfield_t field{};
    field.len = text.size();
    field.buf = reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));  // read only
    const auto* octets = reinterpret_cast<const std::byte*>(&field);
    record.insert(record.end(), octets, octets + sizeof field);
  }
  return record;
}

Result<std::span<std::byte>> MessageWriter::finish(std::uint32_t sequence) {
  Library& library = *library_;
  if (!library.begun) return std::span<std::byte>();
  library.begun = false;
  if (fBufEmit(library.buffer(), library.error.out()) == 0) return library.error.failure_in("message");
  const std::span<std::byte> message = library.message();
  constexpr std::size_t sequence_at = 8;
  const std::uint32_t wire = __builtin_bswap32(sequence);
  std::memcpy(message.data() + sequence_at, &wire, sizeof wire);
  return message;
}

/// The time of export is that of a message's first octet.
void MessageWriter::begin_message() {
  if (!library_->begun) fBufSetExportTime(library_->buffer(), static_cast<std::uint32_t>(std::time(nullptr)));
}

}  // namespace rheo
