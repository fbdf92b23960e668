// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/core.h>
#include <sysexits.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "daemon/app/args.h"
#include "daemon/app/daemon.h"
#include "daemon/app/detach_run.h"
#include "daemon/app/read_settings.h"
#include "daemon/app/replay_run.h"
#include "daemon/app/settings.h"
#include "daemon/base/log.h"

namespace rheo {
namespace {

int complain(const Error& error) {
  log::write(log::Priority::error, log::kStartFailed, error.what, {log::errno_field(error)});
  return EXIT_FAILURE;
}

/// The settings, or nothing after every mistake in them was printed.
std::optional<Config> read_config(const Args& args) {
  ReadSettings read = read_settings(args);
  for (const std::string& complaint : read.complaints)
    log::write(log::Priority::error, log::kConfigMistake, complaint);
  if (!read.complaints.empty()) return std::nullopt;
  for (const std::string& note : read.notes) log::warning("{}", note);
  return std::move(read.config);
}

/// Before any thread exists, so that only the main loop sees them.
void block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);  // a reader that went away is an error of the write
}

/// Whoever starts us without them: else the first file that is opened becomes standard output.
void open_standard_streams() {
  int fd = ::open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO) fd = ::open("/dev/null", O_RDWR);
  if (fd >= 0) ::close(fd);
}

/// Of files that may be wrong without rheod's staying out: it goes on without them.
int check(const Config& config) {
  for (const std::string& complaint : load_classes(class_settings(config), {}).complaints)
    log::warning("{}", complaint);
  return EXIT_SUCCESS;
}

int run_daemon(const Config& config, const Args& args) {
  block_signals();
  auto daemon = Daemon::start(config, args);
  if (!daemon) return complain(daemon.error());
  if (const Status ended = (*daemon)->run(); !ended) return complain(ended.error());
  return EXIT_SUCCESS;
}

int detach(const Config& config) {
  if (const Status detached = run_detach(config); !detached) return complain(detached.error());
  return EXIT_SUCCESS;
}

int replay(const std::string& path, Config config) {
  ::signal(SIGPIPE, SIG_IGN);
  if (config.exporters.empty()) config.exporters.json["stdout"] = {.path = "-"};
  if (const Status replayed = run_replay(path, config); !replayed) return complain(replayed.error());
  return EXIT_SUCCESS;
}

int run(int argc, char* argv[]) {
  open_standard_streams();
  const auto args = parse_args(argc, argv);
  if (!args) return complain(args.error());
  if (args->help) return std::fputs(usage(), stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
  if (args->version) return std::puts("rheod " RHEO_VERSION) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;

  const auto config = read_config(*args);
  if (!config) return EX_CONFIG;
  if (args->check_only) return check(*config);
  log::set_threshold(threshold_of(config->daemon.log_level));
  if (args->detach) return detach(*config);
  return args->replay_path ? replay(*args->replay_path, *config) : run_daemon(*config, *args);
}

}  // namespace
}  // namespace rheo

int main(int argc, char* argv[]) { return rheo::run(argc, argv); }
