// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/config.h"

namespace rheo {

ClassConfig default_internal_class() {
  ClassConfig config;
  for (const char* const text :
       {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"}) {
    if (const auto prefix = parse_ip_prefix(text)) config.prefixes.push_back(*prefix);
  }
  return config;
}

}  // namespace rheo
