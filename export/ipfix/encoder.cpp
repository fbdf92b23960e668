// SPDX-License-Identifier: Apache-2.0
#include "export/ipfix/encoder.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "daemon/base/assert.h"
#include "export/ipfix/message_writer.h"
#include "export/ipfix/options.h"
#include "export/ipfix/templates.h"

namespace rheo {
namespace {

constexpr std::size_t kMessageHeader = 16;
constexpr std::size_t kSetHeader = 4;
constexpr std::size_t kSmallestMessage = 512;  // RFC 7011 10.3.3: what every path carries
constexpr std::size_t kLargestMessage = 65'535;

/// What to do for one field of a record.
struct Step {
  void (*put)(std::byte* at, const FlowView& view) = nullptr;
  std::uint16_t length = 0;
  bool reverse = false;
};

/// A template and how to fill its records.
struct RecordLayout {
  std::vector<TemplateField> fields;
  std::vector<Step> steps;
  std::size_t size = 0;
};

using RecordLayouts = std::array<RecordLayout, kRecordKindCount>;

RecordLayout make_layout(std::span<const IpfixElement* const> elements, RecordKind kind, IpfixBiflow biflow) {
  RecordLayout layout;
  layout.fields = fields_of(elements, kind, biflow);
  for (const TemplateField& field : layout.fields)
    layout.steps.push_back({field.element->source.put, field.element->source.length, field.reverse});
  layout.size = record_size(layout.fields);
  return layout;
}

std::uint16_t template_id(std::size_t kind_index) {
  return static_cast<std::uint16_t>(kFirstRecordTemplate + kind_index);
}

std::uint16_t options_id(std::size_t options_kind) {
  return static_cast<std::uint16_t>(kFirstOptionsTemplate + options_kind);
}

Status check_settings(const IpfixEncoderOptions& options) {
  if (options.max_message_size < kSmallestMessage || options.max_message_size > kLargestMessage)
    return failure(fmt::format("max_message_size {}: a message has {} to {} octets", options.max_message_size,
                               kSmallestMessage, kLargestMessage));
  if (options.pen == 0 || options.pen == kReversePen)
    return failure(fmt::format("pen {}: not the number of a private enterprise", options.pen));
  if (options.sample_one_in == 0) return failure("sample_one_in 0: at least one packet in 1 is counted");
  return Done{};
}

/// Every message must hold at least one template, or one record with its split other half.
Status check_layouts(const RecordLayouts& layouts, const IpfixEncoderOptions& options) {
  const std::size_t halves = options.biflow == IpfixBiflow::split ? 2 : 1;
  for (const RecordLayout& layout : layouts) {
    if (layout.fields.empty()) return failure("remove: no element is left for some of the records");
    const std::size_t needed =
        kMessageHeader + kSetHeader + std::max(template_size(layout.fields), layout.size * halves);
    if (needed > options.max_message_size)
      return failure(fmt::format("max_message_size {}: these elements need messages of {} octets",
                                 options.max_message_size, needed));
  }
  return Done{};
}

/// How many data records one flow record becomes: a direction without packets has none of its own.
std::size_t data_records_of(const FlowRecord& record, IpfixBiflow biflow) {
  const bool both = record.forward.delta.packets != 0 && record.reverse.delta.packets != 0;
  return biflow == IpfixBiflow::split && both ? 2 : 1;
}

/// Those that are of owners are in no profile.
bool has_owners(std::span<const IpfixElement* const> elements) {
  return std::ranges::any_of(elements,
                             [](const IpfixElement* element) { return element->set == IpfixSet::added; });
}

class Encoder final : public IpfixEncoder {
 public:
  Encoder(const IpfixEncoderOptions& options, std::vector<const IpfixElement*> elements,
          RecordLayouts layouts)
      : options_(options),
        elements_(std::move(elements)),
        tells_owners_(options.owners != nullptr && has_owners(elements_)),
        layouts_(std::move(layouts)),
        writer_({.observation_domain = options.observation_domain,
                 .pen = options.pen,
                 .max_message_size = options.max_message_size}) {}

  Status add_templates();

  void begin_session() override {
    sequence_ = 0;
    templates_due_ = true;
  }
  void refresh_templates() override { templates_due_ = true; }
  void refresh_options() override { options_due_ = true; }
  Status encode(std::span<const FlowRecord> records, const IpfixStatistics& statistics, const IpfixSink& sink,
                std::size_t& taken) override;

 private:
  Status encode_due(const IpfixStatistics& statistics, const IpfixSink& sink);
  Status send_options_templates(const IpfixSink& sink);
  Status send_record_templates(const IpfixSink& sink);
  Status send_options(std::span<const IpfixOptionsKind> kinds, const OptionsInput& input,
                      const IpfixSink& sink);
  Status send_options_records(IpfixOptionsKind kind, std::span<const OptionsRecord> records,
                              const IpfixSink& sink);
  std::size_t plan_message(std::span<const FlowRecord> records);
  Result<std::uint32_t> write_message(std::span<const FlowRecord> records);
  Status write_record(const FlowRecord& record, const RecordLayout& layout, bool turned);
  Status send(std::uint32_t data_records, const IpfixSink& sink);
  Status abandon(Status&& failed);

  const IpfixEncoderOptions options_;
  const std::vector<const IpfixElement*> elements_;
  const bool tells_owners_;
  const RecordLayouts layouts_;
  MessageWriter writer_;
  std::vector<std::byte> scratch_ = std::vector<std::byte>(kLargestMessage);
  std::array<std::vector<std::uint32_t>, kRecordKindCount> groups_;  // places of the next message's records
  std::uint32_t sequence_ = 0;  // of the next message: data records taken by the sink in this session
  bool templates_due_ = true;   // and options with them
  bool options_due_ = false;
  std::shared_ptr<const LinkTable> links_seen_;
  std::shared_ptr<const AddressClasses> classes_;  // as of the last encode()
  std::vector<OptionsRecord> interfaces_told_;
};

Status Encoder::add_templates() {
  for (std::size_t i = 0; i < layouts_.size(); ++i)
    if (Status added = writer_.add_template(template_id(i), layouts_[i].fields); !added) return added;
  for (std::size_t i = 0; i < kOptionsKindCount; ++i) {
    const OptionsTemplate& options = options_templates()[i];
    Status added = writer_.add_template(options_id(i), fields_named(options.fields), options.scope_fields);
    if (!added) return added;
  }
  return Done{};
}

Status Encoder::encode(std::span<const FlowRecord> records, const IpfixStatistics& statistics,
                       const IpfixSink& sink, std::size_t& taken) {
  taken = 0;
  if (options_.classes != nullptr) classes_ = options_.classes->get();
  if (Status due = encode_due(statistics, sink); !due) return abandon(std::move(due));
  while (taken < records.size()) {
    const std::span<const FlowRecord> rest = records.subspan(taken);
    const std::size_t count = plan_message(rest);
    const Result<std::uint32_t> written = write_message(rest);
    if (!written) return abandon(std::unexpected(written.error()));
    if (Status sent = send(*written, sink); !sent) return sent;
    taken += count;
  }
  return Done{};
}

/// Templates and all options where they are due, else the interfaces where they have changed.
Status Encoder::encode_due(const IpfixStatistics& statistics, const IpfixSink& sink) {
  using enum IpfixOptionsKind;
  constexpr std::array types = {element_types};
  constexpr std::array others = {exporting_process, metering_losses, sampling,
                                 sampling_legacy,   interfaces,      interfaces_by_scope};
  static_assert(types.size() + others.size() == kOptionsKindCount);
  constexpr std::array only_interfaces = {interfaces, interfaces_by_scope};

  std::shared_ptr<const LinkTable> links = options_.links.get();
  if (!templates_due_ && !options_due_ && links == links_seen_) return Done{};
  const OptionsInput input{
      .settings = options_, .elements = elements_, .statistics = statistics, .links = *links};
  std::vector<OptionsRecord> told = options_records(interfaces, input);
  if (templates_due_) {
    // Collectors such as ipfixDump use types only for templates that come after them.
    if (Status sent = send_options_templates(sink); !sent) return sent;
    if (Status sent = send_options(types, input, sink); !sent) return sent;
    if (Status sent = send_record_templates(sink); !sent) return sent;
    if (Status sent = send_options(others, input, sink); !sent) return sent;
  } else if (options_due_) {
    if (Status sent = send_options(others, input, sink); !sent) return sent;
  } else if (told != interfaces_told_) {
    if (Status sent = send_options(only_interfaces, input, sink); !sent) return sent;
  }
  templates_due_ = options_due_ = false;
  links_seen_ = std::move(links);
  interfaces_told_ = std::move(told);
  return Done{};
}

/// One a message: nfdump and nfacctd read no second one.
Status Encoder::send_options_templates(const IpfixSink& sink) {
  for (std::size_t i = 0; i < kOptionsKindCount; ++i) {
    if (Status written = writer_.append_template(options_id(i)); !written) return written;
    if (Status sent = send(0, sink); !sent) return sent;
  }
  return Done{};
}

Status Encoder::send_record_templates(const IpfixSink& sink) {
  std::size_t used = kMessageHeader + kSetHeader;
  for (std::size_t i = 0; i < layouts_.size(); ++i) {
    const std::size_t size = template_size(layouts_[i].fields);
    if (used + size > options_.max_message_size) {
      if (Status sent = send(0, sink); !sent) return sent;
      used = kMessageHeader + kSetHeader;
    }
    if (Status written = writer_.append_template(template_id(i)); !written) return written;
    used += size;
  }
  return send(0, sink);
}

Status Encoder::send_options(std::span<const IpfixOptionsKind> kinds, const OptionsInput& input,
                             const IpfixSink& sink) {
  for (const IpfixOptionsKind kind : kinds)
    if (Status sent = send_options_records(kind, options_records(kind, input), sink); !sent) return sent;
  return Done{};
}

Status Encoder::send_options_records(IpfixOptionsKind kind, std::span<const OptionsRecord> records,
                                     const IpfixSink& sink) {
  if (Status used = writer_.use_template(options_id(static_cast<std::size_t>(kind))); !used) return used;
  std::size_t used = kMessageHeader + kSetHeader;
  std::uint32_t count = 0;
  for (const OptionsRecord& record : records) {
    if (used + record.size() > options_.max_message_size) {
      if (Status sent = send(std::exchange(count, 0), sink); !sent) return sent;
      used = kMessageHeader + kSetHeader;
    }
    const std::vector<std::string_view> variable(record.variable.begin(), record.variable.end());
    if (Status written = writer_.append(record.fixed, variable); !written) return written;
    used += record.size();
    ++count;
  }
  return send(count, sink);
}

/// Sorts the first records, as many as one message holds, into groups_; how many they are.
std::size_t Encoder::plan_message(std::span<const FlowRecord> records) {
  for (std::vector<std::uint32_t>& group : groups_) group.clear();
  std::size_t used = kMessageHeader;
  std::uint32_t count = 0;
  for (const FlowRecord& record : records) {
    const std::size_t kind = index_of(kind_of(record));
    const std::size_t set = groups_[kind].empty() ? kSetHeader : 0;
    const std::size_t needed = set + layouts_[kind].size * data_records_of(record, options_.biflow);
    if (used + needed > options_.max_message_size) break;
    used += needed;
    groups_[kind].push_back(count++);
  }
  RHEO_ASSERT(count > 0);
  return count;
}

/// Writes the groups, a set each; how many data records that were.
Result<std::uint32_t> Encoder::write_message(std::span<const FlowRecord> records) {
  std::uint32_t count = 0;
  for (std::size_t kind = 0; kind < groups_.size(); ++kind) {
    if (groups_[kind].empty()) continue;
    if (Status used = writer_.use_template(template_id(kind)); !used) return forward(std::move(used));
    for (const std::uint32_t place : groups_[kind]) {
      const FlowRecord& record = records[place];
      const bool split = options_.biflow == IpfixBiflow::split;
      const bool only_reverse =
          split && record.forward.delta.packets == 0 && record.reverse.delta.packets != 0;
      if (Status done = write_record(record, layouts_[kind], only_reverse); !done)
        return forward(std::move(done));
      ++count;
      if (data_records_of(record, options_.biflow) == 1) continue;
      if (Status done = write_record(record, layouts_[kind], true); !done) return forward(std::move(done));
      ++count;
    }
  }
  return count;
}

Status Encoder::write_record(const FlowRecord& record, const RecordLayout& layout, bool turned) {
  const auto owner_of = [this](std::uint32_t number) {
    return tells_owners_ ? options_.owners->find(number) : nullptr;
  };
  const std::shared_ptr<const Owner> source = owner_of(record.source_owner);
  const std::shared_ptr<const Owner> destination = owner_of(record.destination_owner);
  const FlowView to_destination{.record = record,
                                .counted = record.forward,
                                .opposite = record.reverse,
                                .turned = turned,
                                .community_id_seed = options_.community_id_seed,
                                .classes = classes_.get(),
                                .source_owner = source.get(),
                                .destination_owner = destination.get()};
  const FlowView to_source{.record = record,
                           .counted = record.reverse,
                           .opposite = record.forward,
                           .turned = turned,
                           .community_id_seed = options_.community_id_seed,
                           .classes = classes_.get(),
                           .source_owner = source.get(),
                           .destination_owner = destination.get()};
  std::byte* at = scratch_.data();
  for (const Step& step : layout.steps) {
    step.put(at, step.reverse != turned ? to_source : to_destination);
    at += step.length;
  }
  return writer_.append({scratch_.data(), layout.size});
}

/// Ends the message and hands it over, where there is one.
Status Encoder::send(std::uint32_t data_records, const IpfixSink& sink) {
  const Result<std::span<std::byte>> message = writer_.finish(sequence_);
  if (!message) return std::unexpected(message.error());
  if (message->empty()) return Done{};
  Status sent = sink(*message, data_records);
  if (sent) sequence_ += data_records;
  return sent;
}

/// Drops what was begun of a message.
Status Encoder::abandon(Status&& failed) {
  [[maybe_unused]] const auto dropped = writer_.finish(sequence_);
  return std::move(failed);
}

}  // namespace

Result<std::unique_ptr<IpfixEncoder>> IpfixEncoder::create(const IpfixEncoderOptions& options) {
  if (Status fine = check_settings(options); !fine) return forward(std::move(fine));
  Result<std::vector<const IpfixElement*>> elements =
      choose_elements(options.profile, options.add, options.remove);
  if (!elements) return forward(std::move(elements));
  RecordLayouts layouts;
  for (std::size_t i = 0; i < layouts.size(); ++i)
    layouts[i] = make_layout(*elements, kind_at(i), options.biflow);
  if (Status fine = check_layouts(layouts, options); !fine) return forward(std::move(fine));
  auto encoder = std::make_unique<Encoder>(options, *std::move(elements), std::move(layouts));
  if (Status added = encoder->add_templates(); !added) return forward(std::move(added));
  return encoder;
}

}  // namespace rheo
