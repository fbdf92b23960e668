// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/read_settings.h"

#include <utility>

#include "daemon/app/lanes.h"
#include "daemon/config/load_config.h"

namespace rheo {

ReadSettings read_settings(const Args& args) {
  ParsedConfig parsed = args.config_path ? load_config(*args.config_path, WhenMissing::complain)
                                         : load_config(kDefaultConfigPath, WhenMissing::use_defaults);
  ReadSettings read;
  for (const Complaint& complaint : parsed.complaints) read.complaints.push_back(complaint_text(complaint));
  if (!read.complaints.empty()) return read;
  if (args.ipfix_endpoint)
    parsed.config.exporters = {
        .json = {}, .ipfix = {{"replay", {.endpoint = *args.ipfix_endpoint}}}, .otlp = {}};
  read.complaints = exporter_complaints(parsed.config);
  if (!args.interfaces.empty()) {
    parsed.config.interfaces.include = args.interfaces;
    parsed.config.interfaces.exclude = {};
  }
  read.config = std::move(parsed.config);
  return read;
}

std::vector<std::string> sections_for_restart(const Config& running, const Config& wanted) {
  DaemonConfig daemon = wanted.daemon;
  daemon.log_level = running.daemon.log_level;
  const std::pair<const char*, bool> sections[] = {{"[daemon]", daemon == running.daemon},
                                                   {"[interfaces]", wanted.interfaces == running.interfaces},
                                                   {"[datapath]", wanted.datapath == running.datapath},
                                                   {"[tunnels]", wanted.tunnels == running.tunnels},
                                                   {"[flow]", wanted.flow == running.flow},
                                                   {"[resource]", wanted.resource == running.resource},
                                                   {"[export]", wanted.exporters == running.exporters}};
  std::vector<std::string> different;
  for (const auto& [name, same] : sections) {
    if (!same) different.emplace_back(name);
  }
  return different;
}

}  // namespace rheo
