// SPDX-License-Identifier: Apache-2.0
#include "export/json/json_exporter.h"

#include <sys/stat.h>

#include "export/json/encode_json.h"
#include "export/json/line_sink.h"

namespace rheo {
namespace {

std::unique_ptr<LineSink> make_sink(const JsonExporterOptions& options) {
  if (options.path == "journal") return make_journal_sink(options.journal_socket, options.write_timeout);
  struct stat status{};
  const bool special =
      ::stat(options.path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
  if (options.path == "-" || special) return make_stream_sink(options.path, options.write_timeout);
  return make_file_sink(options.path);
}

}  // namespace

JsonExporter::JsonExporter(const JsonExporterOptions& options)
    : links_(options.links),
      community_id_seed_(options.community_id_seed),
      classes_(options.classes),
      owners_(options.owners, json_owner_format()),
      sink_(make_sink(options)) {}

JsonExporter::~JsonExporter() = default;

Status JsonExporter::resume(const FileMark& mark) { return sink_->resume(mark); }
Status JsonExporter::open() { return sink_->open(reopen_.exchange(false)); }
FileMark JsonExporter::mark() const { return sink_->mark(); }

Status JsonExporter::write(const FlowBatch& batch) {
  const auto links = links_.get();
  const auto classes = classes_ == nullptr ? nullptr : classes_->get();
  text_.clear();
  ends_.clear();
  for (const FlowRecord& record : batch.records) {
    append_json(text_, record,
                {.links = *links,
                 .community_id_seed = community_id_seed_,
                 .classes = classes.get(),
                 .owners = &owners_});
    ends_.push_back(text_.size());
  }
  return sink_->write({.text = text_, .ends = ends_, .first_position = batch.first_position});
}

}  // namespace rheo
