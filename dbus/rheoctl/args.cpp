// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/args.h"

#include <getopt.h>

#include <charconv>
#include <string_view>

#include "dbus/rheoctl/flow_groups.h"

namespace rheo::ctl {
namespace {

constexpr option kOptions[] = {
    {"json", no_argument, nullptr, 'j'},       {"limit", required_argument, nullptr, 'n'},
    {"sort", required_argument, nullptr, 's'}, {"by", required_argument, nullptr, 'b'},
    {"no-legend", no_argument, nullptr, 'l'},  {"no-pager", no_argument, nullptr, 'p'},
    {"persist", no_argument, nullptr, 'P'},    {"help", no_argument, nullptr, 'h'},
    {"version", no_argument, nullptr, 'V'},    {nullptr, 0, nullptr, 0}};

bool parse_limit(std::string_view text, std::uint32_t& limit) {
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), limit);
  return fault == std::errc() && end == text.data() + text.size();
}

}  // namespace

Result<Args> parse_args(int argc, char* argv[]) {
  Args args;
  opterr = 0;
  optind = 0;  // from the beginning, whoever called getopt before
  for (;;) {
    const int found = ::getopt_long(argc, argv, ":jn:s:hV", kOptions, nullptr);
    if (found == -1) break;
    switch (found) {
      case 'j':
        args.json = true;
        break;
      case 'n':
        if (!parse_limit(optarg, args.limit.emplace()))
          return failure(std::string("--limit ") + optarg + ": not a number; see rheoctl --help");
        break;
      case 's':
        args.sort = optarg;
        break;
      case 'b':
        args.by = optarg;
        if (!is_grouping(args.by)) return failure("--by " + args.by + ": not one of " + groupings());
        break;
      case 'l':
        args.legend = false;
        break;
      case 'p':
        args.pager = false;
        break;
      case 'P':
        args.persist = true;
        break;
      case 'h':
        args.help = true;
        break;
      case 'V':
        args.version = true;
        break;
      case ':':
        return failure(std::string(argv[optind - 1]) + ": a value is missing; see rheoctl --help");
      default:
        return failure(std::string(argv[optind - 1]) + ": no such option; see rheoctl --help");
    }
  }
  args.words.assign(argv + optind, argv + argc);
  return args;
}

const char* usage() {
  return "rheoctl: looks at and steers rheod, the network flow exporter of this host\n"
         "\n"
         "usage: rheoctl [options] COMMAND\n"
         "  status                       the daemon in a few lines (without a command, too)\n"
         "  interfaces [list]            what is metered, or refused by the kernel\n"
         "  interfaces attach NAME       meter it, whatever the settings say\n"
         "  interfaces detach NAME       do not\n"
         "  exporters [list]             where records go, and what became of them\n"
         "  exporters enable NAME        begin to send there (again)\n"
         "  exporters disable NAME       send what is finished, then nothing more\n"
         "  exporters flush NAME         send now what waits for this exporter\n"
         "  flows [list] [FILTER]        flows in the table, such as: flows tcp and dst port 443\n"
         "  flows top [FILTER]           the same, live on the whole terminal; ? tells the keys\n"
         "  flows show ID                all that is known of one flow\n"
         "  stats [PATTERN]              counters, all or those that a shell pattern matches\n"
         "  losses                       what is in no record, by reason\n"
         "  orphans [list]               what rheo left in the kernel and does not use\n"
         "  orphans clean                remove it\n"
         "  log-level [LEVEL]            show or set: error, warning, notice, info, debug\n"
         "  drain                        fetch now what the kernel has counted\n"
         "  reload                       read the settings again\n"
         "  monitor                      print events as they happen\n"
         "\n"
         "  -j, --json                   for scripts\n"
         "  -n, --limit N                of flows, 1 to 1000 (default: 1000)\n"
         "  -s, --sort KEY               of flows: bytes (default), packets, start or end;\n"
         "                               of flows top also rate (default) or packet-rate\n"
         "      --by KEY                 sums of flows that have the same unit, process, user,\n"
         "                               container, class, peer, port or interface\n"
         "      --persist                of changes: also from the next start on\n"
         "      --no-legend              no line of titles\n"
         "      --no-pager               on a terminal, too\n"
         "  -h, --help                   this text\n"
         "  -V, --version                the version\n"
         "\n"
         "Manual: rheoctl(1), rheod(8), org.rheo.Rheo1(5)\n";
}

}  // namespace rheo::ctl
