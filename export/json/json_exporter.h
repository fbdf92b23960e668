// SPDX-License-Identifier: Apache-2.0
// JsonExporter: flow records as JSON lines (rheo-flow(5)) in a file, on standard output or in the journal.
// On its lane's thread, but for request_reopen().
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/snapshot.h"
#include "daemon/model/address_classes.h"
#include "daemon/model/link.h"
#include "export/exporter.h"
#include "export/owner_text.h"

namespace rheo {

class LineSink;

struct JsonExporterOptions {
  std::string path;                  // a file, a FIFO, a device, "-" for standard output, or "journal"
  const Snapshot<LinkTable>& links;  // names of interfaces; outlives the exporter
  std::uint16_t community_id_seed = 0;
  const Snapshot<AddressClasses>* classes = nullptr;  // null: none are told; outlives the exporter
  Owners* owners = nullptr;  // of sockets; null: nobody knows them. Outlives the exporter
  // How long a write waits for a reader (a full pipe, a busy journal) before it fails.
  std::chrono::milliseconds write_timeout = std::chrono::seconds(5);
  std::string journal_socket = "/run/systemd/journal/socket";
};

class JsonExporter final : public Exporter {
 public:
  /// Opens nothing yet: that is open()'s.
  explicit JsonExporter(const JsonExporterOptions& options);
  ~JsonExporter() override;

  /// A file that is still the marked one is cut back to the mark: what lies behind was not acknowledged and
  /// comes again. A shorter file, or another one under its name, is left alone.
  Status resume(const FileMark& mark) override;
  Status open() override;

  /// All lines or none in a regular file. A pipe keeps the lines it got: the next write of the same
  /// positions goes on where this one stopped, so no line is torn or sent twice.
  Status write(const FlowBatch& batch) override;
  FileMark mark() const override;
  void request_reopen() override { reopen_ = true; }

 private:
  const Snapshot<LinkTable>& links_;
  const std::uint16_t community_id_seed_;
  const Snapshot<AddressClasses>* const classes_;
  OwnerTexts owners_;
  const std::unique_ptr<LineSink> sink_;
  // A batch's lines and where each ends; they keep their memory.
  std::string text_;
  std::vector<std::size_t> ends_;
  std::atomic<bool> reopen_ = false;
};

}  // namespace rheo
