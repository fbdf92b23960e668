// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "daemon/base/clock.h"
#include "daemon/base/utf8.h"
#include "dbus/rheoctl/args.h"
#include "dbus/rheoctl/client.h"
#include "dbus/rheoctl/flow_sums.h"
#include "dbus/rheoctl/output.h"
#include "dbus/rheoctl/table.h"
#include "dbus/rheoctl/top.h"

namespace rheo::ctl {
namespace {

constexpr int kExitUsage = 2;

using Words = std::span<const std::string>;

int complain(const std::string& text, int status) {
  // Of several sentences each has a line of its own.
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::fprintf(stderr, "rheoctl: %s\n", without_controls(text.substr(at, end - at)).c_str());
    at = end + 1;
  }
  return status;
}

int too_many(Words words) {
  return complain(words.front() + ": not part of this command; see rheoctl --help", kExitUsage);
}

int print(const Args& args, const std::string& text) {
  return show(text, args.pager && !args.json) ? EXIT_SUCCESS : complain("standard output: write failed", 1);
}

int print_rows(const Args& args, const Table& table) {
  if (args.json) return print(args, print_json(table));
  return print(args, print_table(table, {.legend = args.legend, .attributes = wants_attributes()}));
}

int run_status(Client& client, const Args& args, Words words) {
  if (!words.empty()) return too_many(words);
  const Table table = client.status();
  return print(args, args.json ? print_json_object(table, 0) + "\n" : print_properties(table));
}

int run_interfaces(Client& client, const Args& args, Words words) {
  if (!words.empty() && (words[0] == "attach" || words[0] == "detach")) {
    if (words.size() == 1) return complain("interfaces " + words[0] + ": which one? See ip link", kExitUsage);
    if (words.size() > 2) return too_many(words.subspan(2));
    if (words[0] == "attach")
      client.attach_interface(words[1], args.persist);
    else
      client.detach_interface(words[1], args.persist);
    return EXIT_SUCCESS;
  }
  if (!words.empty() && words[0] == "list") words = words.subspan(1);
  return words.empty() ? print_rows(args, client.interfaces()) : too_many(words);
}

/// The name of the one exporter that the command is for.
std::optional<std::string> exporter_named(Words words) {
  if (words.size() == 2) return words[1];
  if (words.size() > 2)
    too_many(words.subspan(2));
  else
    complain("exporters " + words[0] + ": which one? See rheoctl exporters", kExitUsage);
  return std::nullopt;
}

int run_exporters(Client& client, const Args& args, Words words) {
  const std::string verb = words.empty() ? "list" : words[0];
  if (verb == "flush" || verb == "enable" || verb == "disable") {
    const auto name = exporter_named(words);
    if (!name) return kExitUsage;
    if (verb == "flush")
      client.flush_exporter(*name);
    else
      client.enable_exporter(*name, verb == "enable", args.persist);
    return EXIT_SUCCESS;
  }
  if (!words.empty() && words[0] == "list") words = words.subspan(1);
  return words.empty() ? print_rows(args, client.exporters()) : too_many(words);
}

std::string one_text(Words words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

int run_flows_show(Client& client, const Args& args, Words words) {
  if (words.empty()) return complain("flows show: which one? See rheoctl flows", kExitUsage);
  if (words.size() > 1) return too_many(words.subspan(1));
  const auto flow = show_flow(client, words[0]);
  if (!flow) return complain(flow.error().what, 1);
  return print(args, args.json ? print_json_object(*flow, 0) + "\n" : print_properties(*flow));
}

int run_flows_top(Client& client, const Args& args, Words words) {
  if (args.json) return complain("flows top: has no --json; see rheoctl flows list", kExitUsage);
  if (!args.by.empty() && !args.sort.empty())
    return complain("flows top --by: has no --sort; the fastest group is first", kExitUsage);
  const Status shown = !args.by.empty() ? run_top_by(client, one_text(words), args.by)
                                        : run_top(client, {.filter = one_text(words), .order = args.sort});
  return shown ? EXIT_SUCCESS : complain(shown.error().what, 1);
}

int run_flows(Client& client, const Args& args, Words words) {
  const std::string_view first = words.empty() ? std::string_view() : words[0];
  if (first == "show") return run_flows_show(client, args, words.subspan(1));
  if (first == "top") return run_flows_top(client, args, words.subspan(1));
  if (first == "list") words = words.subspan(1);
  const FlowsWanted wanted{.filter = one_text(words),
                           .limit = args.limit.value_or(FlowsWanted().limit),
                           .sort = args.sort.empty() ? FlowsWanted().sort : args.sort};
  if (args.by.empty()) return print_rows(args, client.flows(wanted));
  FlowSums sums(client, wanted, args.by, args.limit.has_value() || !args.sort.empty());
  if (const Status looked = sums.look(Client::kAnswer); !looked) return complain(looked.error().what, 1);
  if (sums.may_lack_flows()) complain("these sums are of " + sums.of_what(), EXIT_SUCCESS);
  return print_rows(args, sums.groups().table(args.by));
}

int run_stats(Client& client, const Args& args, Words words) {
  if (words.size() > 1) return too_many(words.subspan(1));
  const Table table = client.statistics(words.empty() ? "*" : words[0]);
  if (table.rows.empty()) return complain(words.empty() ? "no counters" : words[0] + ": no such counter", 1);
  return print_rows(args, table);
}

int run_losses(Client& client, const Args& args, Words words) {
  return words.empty() ? print_rows(args, client.losses()) : too_many(words);
}

int run_orphans(Client& client, const Args& args, Words words) {
  const bool clean = !words.empty() && words[0] == "clean";
  if (clean || (!words.empty() && words[0] == "list")) words = words.subspan(1);
  if (!words.empty()) return too_many(words);
  return print_rows(args, clean ? client.clean_orphans() : client.orphans());
}

int run_log_level(Client& client, const Args& args, Words words) {
  if (words.size() > 1) return too_many(words.subspan(1));
  if (words.empty()) {
    const std::string level = client.log_level();
    return print(args, (args.json ? json_text(level) : level) + "\n");
  }
  client.set_log_level(words[0]);
  return EXIT_SUCCESS;
}

int run_drain(Client& client, const Args& /*args*/, Words words) {
  if (!words.empty()) return too_many(words);
  client.drain();
  return EXIT_SUCCESS;
}

int run_reload(Client& client, const Args& /*args*/, Words words) {
  if (!words.empty()) return too_many(words);
  client.reload();
  return EXIT_SUCCESS;
}

int run_monitor(Client& client, const Args& args, Words words) {
  if (!words.empty()) return too_many(words);
  client.monitor([&](const Table& event) {
    const std::string text = args.json
                                 ? print_json_object(event, 0) + "\n"
                                 : print_table(event, {.legend = false, .attributes = wants_attributes()});
    if (!show(text, false)) std::exit(EXIT_FAILURE);
  });
  return EXIT_SUCCESS;
}

struct Command {
  const char* name;
  int (*run)(Client& client, const Args& args, Words words);
};
constexpr Command kCommands[] = {
    {"status", run_status},   {"interfaces", run_interfaces}, {"exporters", run_exporters},
    {"flows", run_flows},     {"stats", run_stats},           {"losses", run_losses},
    {"orphans", run_orphans}, {"log-level", run_log_level},   {"drain", run_drain},
    {"reload", run_reload},   {"monitor", run_monitor}};

int explain(const sdbus::Error& error) {
  const std::string& name = error.getName();
  if (name == "org.freedesktop.DBus.Error.ServiceUnknown" ||
      name == "org.freedesktop.DBus.Error.NameHasNoOwner")
    return complain("rheod does not run, or is not on the system bus; see systemctl status rheod", 1);
  if (name == "org.freedesktop.DBus.Error.FileNotFound" || name == "org.freedesktop.DBus.Error.NoServer")
    return complain("there is no system bus: " + error.getMessage(), 1);
  return complain(error.getMessage().empty() ? name : error.getMessage(), 1);
}

int run(int argc, char* argv[]) {
  const auto args = parse_args(argc, argv);
  if (!args) return complain(args.error().what, kExitUsage);
  if (args->help) return std::fputs(usage(), stdout) < 0 ? 1 : 0;
  if (args->version) return std::puts("rheoctl " RHEO_VERSION) < 0 ? 1 : 0;
  ::signal(SIGPIPE, SIG_IGN);  // whoever quits the pager has read enough

  const std::string name = args->words.empty() ? "status" : args->words[0];
  const Words words = args->words.empty() ? Words() : Words(args->words).subspan(1);
  for (const Command& command : kCommands) {
    if (name != command.name) continue;
    try {
      Client client;
      return command.run(client, *args, words);
    } catch (const sdbus::Error& error) {
      return explain(error);
    }
  }
  return complain(name + ": no such command; see rheoctl --help", kExitUsage);
}

}  // namespace
}  // namespace rheo::ctl

int main(int argc, char* argv[]) { return rheo::ctl::run(argc, argv); }
