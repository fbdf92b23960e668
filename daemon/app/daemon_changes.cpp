// SPDX-License-Identifier: Apache-2.0
// What changes a Daemon while it runs: settings that are read again, exporters that are switched.
#include <fmt/ranges.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "daemon/app/daemon.h"
#include "daemon/app/read_settings.h"
#include "daemon/app/settings.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/config/drop_in.h"
#include "daemon/config/load_config.h"

namespace rheo {
namespace {

constexpr std::size_t kLiveFlows = 200;

/// Whoever configures nothing wants to see something: a terminal has the live table, the journal nothing.
bool wants_default_output(const Config& config) {
  return config.exporters.empty() && ::isatty(STDOUT_FILENO) == 0 && !log::is_journal(STDOUT_FILENO);
}

template <class Section>
bool* find_switch(std::map<std::string, Section>& sections, std::string_view format, std::string_view name) {
  if (!name.starts_with(format)) return nullptr;
  const auto found = sections.find(std::string(name.substr(format.size())));
  return found == sections.end() ? nullptr : &found->second.enabled;
}

/// The setting of "json.default"; null where the settings have no such exporter.
bool* find_switch(ExportConfig& exporters, std::string_view name) {
  bool* found = find_switch(exporters.json, "json.", name);
  if (found == nullptr) found = find_switch(exporters.ipfix, "ipfix.", name);
  if (found == nullptr) found = find_switch(exporters.otlp, "otlp.", name);
  return found;
}

}  // namespace

bool Daemon::wants_live_table() const { return config_.exporters.empty() && ::isatty(STDOUT_FILENO) != 0; }

std::vector<ExporterSpec> Daemon::exporters() const {
  Config config = config_;
  if (wants_default_output(config)) config.exporters.json["stdout"] = {.path = "-"};
  std::vector<ExporterSpec> specs = exporter_specs(config);
  for (ExporterSpec& spec : specs) {
    if (const auto found = switched_.find(spec.name); found != switched_.end()) spec.enable(found->second);
  }
  return specs;
}

CollectorRules Daemon::collector_rules() const {
  return {.options = {.drain_interval = config_.datapath.drain_interval,
                      .live_flows = wants_live_table() ? kLiveFlows : 0},
          .timeouts = table_options(config_, "").timeouts};
}

Status Daemon::reload() {
  service_.say_reloading();
  Status reloaded = read_again();
  service_.say_reloaded(static_cast<std::uint64_t>(config_.datapath.drain_interval.count()));
  return reloaded;
}

Status Daemon::read_again() {
  log::info("reopening the files, reading the settings again");
  lanes_->reopen();
  ReadSettings wanted = read_settings(args_);
  if (!wanted.complaints.empty())
    return failure(fmt::format("{}", fmt::join(wanted.complaints, "\n")), std::errc::bad_message);
  for (const std::string& note : wanted.notes) log::warning("{}", note);
  if (const auto keys = keys_for_restart(config_, wanted.config); !keys.empty())
    return failure(
        fmt::format("{}: changed, and takes a restart; all settings stay as they are", fmt::join(keys, ", ")),
        std::errc::operation_not_supported);
  auto chooser = InterfaceChooser::make(wanted.config.interfaces);
  if (!chooser) return forward(std::move(chooser));
  apply(std::move(wanted.config), *std::move(chooser));
  return Done{};
}

/// Nothing of this can fail.
void Daemon::apply(Config wanted, InterfaceChooser chooser) {
  Config before = std::exchange(config_, std::move(wanted));
  if (config_.daemon.log_level != before.daemon.log_level)
    log::set_threshold(threshold_of(config_.daemon.log_level));
  if (config_.interfaces != before.interfaces)
    interfaces_->follow(std::move(chooser), config_.interfaces.netns);
  if (config_.flow != before.flow || config_.datapath != before.datapath ||
      wants_live_table() != live_.has_value())
    collector_->change(collector_rules());
  class_directory_->follow(class_settings(config_));
  if (!wants_live_table())
    live_.reset();
  else if (!live_)
    live_.emplace();
  std::erase_if(switched_, [&](const auto& entry) {
    const bool* const now = find_switch(config_.exporters, entry.first);
    const bool* const then = find_switch(before.exporters, entry.first);
    return now == nullptr || then == nullptr || *now != *then;
  });
  follow_exporters();
}

void Daemon::follow_exporters() {
  lanes_->follow(exporters(),
                 monotonic_ns() + static_cast<std::uint64_t>(config_.daemon.shutdown_timeout.count()));
  ::sd_event_source_set_time_relative(settling_, 0);
  ::sd_event_source_set_enabled(settling_, SD_EVENT_ONESHOT);
}

Status Daemon::enable_exporter(const std::string& name, bool enabled, bool persist) {
  const auto known = exporters();
  if (std::ranges::find(known, name, &ExporterSpec::name) == known.end())
    return failure("no exporter has this name; ListExporters has the names",
                   std::errc::no_such_file_or_directory);
  if (!persist) {
    switched_[name] = enabled;
  } else {
    bool* const setting = find_switch(config_.exporters, name);
    if (setting == nullptr)
      return failure(name + " is not in the settings: it cannot be switched for longer");
    const std::string path = args_.config_path.value_or(kDefaultConfigPath);
    Status written =
        write_drop_in(path, {.name = std::string(kExporterDropIn) + name,
                             .settings = fmt::format("[export.{}]\nenabled = {}\n", name, enabled)});
    if (!written) return written;
    *setting = enabled;
    switched_.erase(name);
  }
  log::write(log::Priority::notice, log::kExporterSwitched,
             fmt::format("{}: {} over the bus{}", name, enabled ? "enabled" : "disabled",
                         persist ? ", also from the next start on" : ""),
             {{"RHEO_EXPORTER", name}});
  follow_exporters();
  return Done{};
}

}  // namespace rheo
