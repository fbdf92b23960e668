// SPDX-License-Identifier: Apache-2.0
// Options of small flow tables for tests, with the default timeouts of rheo.toml(5). One thread.
#pragma once

#include <string>

#include "daemon/flow/flow_table.h"
#include "tests/tools/rows.h"

namespace rheo::testing {

inline constexpr FlowTimeouts kDefaultTimeouts = {.max_record_interval_ns = 60 * kSecond,
                                                  .generic_ns = 30 * kSecond,
                                                  .icmp_ns = 10 * kSecond,
                                                  .tcp_ns = 20 * kSecond,
                                                  .tcp_fin_ns = 5 * kSecond,
                                                  .tcp_rst_ns = 5 * kSecond,
                                                  .udp_ns = 60 * kSecond};

/// A table whose flows are cut every 10 s.
inline FlowTableOptions table_cut_often(TableFileOptions file) {
  FlowTableOptions options = {.file = std::move(file), .timeouts = kDefaultTimeouts};
  options.timeouts.max_record_interval_ns = 10 * kSecond;
  return options;
}

}  // namespace rheo::testing
