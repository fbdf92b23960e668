// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "export/json/line_sink.h"
#include "export/marked_file.h"

namespace rheo {
namespace {

class FileSink final : public LineSink {
 public:
  explicit FileSink(std::string path) : file_(std::move(path)) {}

  Status resume(const FileMark& mark) override { return file_.resume(mark); }
  Status open(bool again) override { return file_.open(again); }
  Status write(const Lines& lines) override { return file_.append(std::as_bytes(std::span(lines.text))); }
  FileMark mark() const override { return file_.mark(); }

 private:
  MarkedFile file_;
};

}  // namespace

std::unique_ptr<LineSink> make_file_sink(std::string path) {
  return std::make_unique<FileSink>(std::move(path));
}

}  // namespace rheo
