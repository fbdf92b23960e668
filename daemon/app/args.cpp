// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/args.h"

#include <getopt.h>

#include <string_view>

namespace rheo {
namespace {

constexpr option kOptions[] = {{"config", required_argument, nullptr, 'c'},
                               {"check", no_argument, nullptr, 'k'},
                               {"replay", required_argument, nullptr, 'r'},
                               {"ipfix", required_argument, nullptr, 'x'},
                               {"interface", required_argument, nullptr, 'i'},
                               {"detach", no_argument, nullptr, 'd'},
                               {"help", no_argument, nullptr, 'h'},
                               {"version", no_argument, nullptr, 'V'},
                               {nullptr, 0, nullptr, 0}};

/// What getopt_long refused: a word of two dashes, or one of the letters behind a single one.
std::string refused(const char* word) {
  return std::string_view(word).starts_with("--") ? word : std::string("-") + static_cast<char>(optopt);
}

}  // namespace

Result<Args> parse_args(int argc, char* argv[]) {
  Args args;
  opterr = 0;
  optind = 0;  // from the beginning, whoever called getopt before
  for (int word = 1;; word = optind) {
    const int found = ::getopt_long(argc, argv, "+:c:r:i:hV", kOptions, nullptr);
    if (found == -1) break;
    switch (found) {
      case 'c':
        args.config_path = optarg;
        break;
      case 'k':
        args.check_only = true;
        break;
      case 'r':
        args.replay_path = optarg;
        break;
      case 'x':
        args.ipfix_endpoint = optarg;
        break;
      case 'd':
        args.detach = true;
        break;
      case 'i':
        args.interfaces.emplace_back(optarg);
        break;
      case 'h':
        args.help = true;
        break;
      case 'V':
        args.version = true;
        break;
      case ':':
        return failure(refused(argv[word]) + ": a value is missing; see rheod --help");
      default:
        return failure(refused(argv[word]) + ": no such option; see rheod --help");
    }
  }
  if (optind < argc)
    return failure(std::string(argv[optind]) + ": rheod takes options only; see rheod --help");
  if (args.detach && (args.check_only || args.replay_path || !args.interfaces.empty()))
    return failure("--detach: together with --config only; see rheod --help");
  if (args.ipfix_endpoint && !args.replay_path)
    return failure("--ipfix: only together with --replay; see rheod --help");
  return args;
}

const char* usage() {
  return "rheod: meters the network flows of this host's interfaces and exports them\n"
         "\n"
         "usage: rheod [options]\n"
         "  -c, --config FILE     settings (default: /etc/rheo/rheo.toml, which need not exist);\n"
         "                        FILE.d/*.toml are read after it\n"
         "      --check           print every mistake in the settings; exit status 78 if there is one\n"
         "  -r, --replay FILE     meter a pcap or pcapng file instead of interfaces\n"
         "      --ipfix ENDPOINT  send what is replayed there, as udp://HOST:PORT, instead of to the\n"
         "                        configured exporters\n"
         "  -i, --interface NAME  meter this interface (a shell pattern) instead of the configured ones;\n"
         "                        may be repeated\n"
         "      --detach          remove what a rheod that is gone left in the kernel\n"
         "  -h, --help            this text\n"
         "  -V, --version         the version\n"
         "\n"
         "Without an exporter in the settings, a terminal shows the busiest flows, and anything else gets\n"
         "JSON lines on standard output.\n"
         "Signals: SIGTERM and SIGINT stop, SIGHUP reloads, SIGUSR1 prints the counters.\n"
         "Manual: rheod(8), rheo.toml(5), rheo-flow(5), rheo-ipfix(5), rheo-otlp(5)\n";
}

}  // namespace rheo
