// mortised: reads its configuration, serves until a signal comes, and ends as that signal would
// have it.
#include <absl/synchronization/mutex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>

#include "host/config/config.h"
#include "host/config/process.h"
#include "host/server/server.h"

namespace mortise::server {
namespace {

constexpr rlim_t kDescriptorsMin = 150;

Fields fields_of(const std::vector<config::LogField>& fields) {
  Fields out;
  for (const config::LogField& field : fields) {
    std::visit([&](const auto& value) { out.emplace_back(field.name, value); }, field.value);
  }
  return out;
}

config::ParseOutcome parse_process(int argc, char** argv) {
  std::vector<std::string> arguments = config::process_arguments(argc, argv);
  config::ParseInput input;
  input.arguments = arguments;
  input.environment = config::process_environment();
  input.read_file = config::read_file;
  input.default_host = config::default_host;
  return config::parse(input);
}

// Signals are taken by sigwait() in this thread; the mask goes to all threads made later.
sigset_t block_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, kRemovedSignal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return set;
}

// The parent sees a process that ended by the signal. As process 1 that would do nothing.
int end_by_signal(int number, const sigset_t& set) {
  if (getpid() == 1) return 0;
  signal(number, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  raise(number);
  return 0;
}

std::string executable_dir() {
  std::error_code error;
  auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "." : path.parent_path().string();
}

int run(const config::Config& config, Log* log) {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur <= kDescriptorsMin) {
    log->fatal("file descriptor limit of etcd process is too low; please set higher",
               {{"limit", static_cast<uint64_t>(files.rlim_cur)}});
  }
  sigset_t signals = block_signals();
  int number = 0;
  {
    Server server(config, executable_dir(), log);
    if (Status status = server.start(); !status.ok()) {
      log->fatal("the member cannot start", {{"error", status.message()}});
    }
    do {
      sigwait(&signals, &number);
    } while (number == kRemovedSignal && !server.is_removed());
    if (number != kRemovedSignal) {
      log->info("received signal; shutting down",
                {{"signal", number == SIGTERM ? "terminated" : "interrupt"}});
    }
    server.stop();
  }
  return number == kRemovedSignal ? 0 : end_by_signal(number, signals);
}

int main_function(int argc, char** argv) {
  // gRPC's mutexes would search for deadlock cycles at each lock, which costs some percent of a
  // call.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  config::ParseOutcome outcome = parse_process(argc, argv);
  LogOptions options;
  options.level = outcome.config.log_level;
  options.format = outcome.config.log_format;
  options.outputs = outcome.config.log_outputs;
  auto log = Log::open(options);
  if (!log.ok()) {
    std::fprintf(stderr, "%s\n", log.status().message().c_str());
    return 1;
  }
  for (const std::string& name : outcome.unset_variables) unsetenv(name.c_str());
  for (const config::LogLine& line : outcome.logs) {
    (*log)->write(level_named(line.level), line.msg, fields_of(line.fields));
  }
  std::fputs(outcome.stdout_text.c_str(), stdout);
  std::fputs(outcome.stderr_text.c_str(), stderr);
  std::fflush(stdout);
  switch (outcome.action) {
    case config::Action::kPrintVersion:
      std::fputs(config::version_text("").c_str(), stdout);
      return 0;
    case config::Action::kRun: return run(outcome.config, log->get());
    default: return outcome.exit_code;
  }
}

}  // namespace
}  // namespace mortise::server

int main(int argc, char** argv) { return mortise::server::main_function(argc, argv); }
