// SPDX-License-Identifier: Apache-2.0
// The host's resolvers: the name servers of resolv.conf(5), and those behind systemd-resolved. Main thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/enrich/file_stamp.h"
#include "daemon/model/flow_record.h"

namespace rheo {

/// The addresses on lines "nameserver ADDRESS" of a resolv.conf(5), at most 64; other lines, and what is no
/// address, mean nothing. Pure.
std::vector<Address> parse_resolv_conf(std::string_view text);

struct ResolverFiles {
  std::string host = "/etc/resolv.conf";
  std::string behind_stub = "/run/systemd/resolve/resolv.conf";  // read where `host` names 127.0.0.53 or .54
};

class Resolvers {
 public:
  explicit Resolvers(ResolverFiles files = {}) : files_(std::move(files)) {}

  /// Reads the files again where they have changed. One that cannot be read names nobody.
  const std::vector<Address>& look();

 private:
  const ResolverFiles files_;
  FileStamp host_;
  FileStamp behind_stub_;
  bool read_ = false;
  std::vector<Address> addresses_;
};

}  // namespace rheo
