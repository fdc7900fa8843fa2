// mortised: reads its configuration, serves until a signal comes, and ends as that signal would
// have it.
#include <fcntl.h>
#include <google/protobuf/stubs/logging.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>

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

// Descriptors 0 to 2 that whoever started the process has closed would be given to the next file
// that is opened, and lines of the log would go into it.
void open_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) (void)::open("/dev/null", O_RDWR);
  }
}

// As many files as the system allows; the limit for who asks for less is one for select().
rlim_t raise_file_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return RLIM_INFINITY;
  const rlim_t before = std::exchange(files.rlim_cur, files.rlim_max);
  return ::setrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : before;
}

// Signals are taken by sigwait() in this thread; the mask goes to all threads made later. Those
// that would end a C program and mean nothing to a server are ignored, as in Go's run time.
sigset_t block_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, kRemovedSignal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  for (int number : {SIGPIPE, SIGUSR2, SIGALRM, SIGVTALRM, SIGIO, SIGPWR, SIGXCPU, SIGXFSZ}) {
    signal(number, SIG_IGN);
  }
  return set;
}

// The parent sees a process that ended by the signal. As process 1 that would do nothing. Nothing
// is destroyed: other threads may still run.
[[noreturn]] void end_by_signal(int number) {
  if (::getpid() == 1) ::_exit(0);
  signal(number, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, number);
  raise(number);
  pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  ::_exit(0);
}

std::string executable_dir() {
  std::error_code error;
  auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "." : path.parent_path().string();
}

void lock_memory(Log* log) {
  if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0) return;
  log->fatal("cannot lock memory (--memory-mlock); allow it with CAP_IPC_LOCK or LimitMEMLOCK",
             {{"error", std::strerror(errno)}});
}

int run(const config::Config& config, Log* log) {
  const rlim_t files = raise_file_limit();
  if (files <= kDescriptorsMin) {
    log->fatal("file descriptor limit of etcd process is too low; please set higher",
               {{"limit", static_cast<uint64_t>(files)},
                {"recommended-limit", uint64_t{kDescriptorsMin}}});
  }
  if (config.memory_mlock) lock_memory(log);
  const sigset_t signals = block_signals();
  Server server(config, executable_dir(), log);
  // A start may take long: other members are asked, and a log is read. A signal ends it at once.
  std::atomic<bool> started{false};
  std::thread starter([&] {
    if (Status status = server.start(); !status.ok()) {
      log->fatal("the member cannot start", {{"error", status.message()}});
    }
    started = true;
  });
  int number = 0;
  do {
    sigwait(&signals, &number);
  } while (number == kRemovedSignal && !server.is_removed());
  if (number != kRemovedSignal) {
    log->info("received signal; shutting down",
              {{"signal", number == SIGTERM ? "terminated" : "interrupt"}});
    if (!started) end_by_signal(number);
  }
  starter.join();
  server.stop();
  if (number != kRemovedSignal) end_by_signal(number);
  return 0;
}

LogOptions log_options(const config::Config& config) {
  LogOptions options;
  options.level = config.log_level;
  options.format = config.log_format;
  options.outputs = config.log_outputs;
  if (!config.log_rotation) return options;
  RotationOptions& rotation = options.rotation.emplace();
  rotation.bytes_max = config.log_rotation->max_megabytes << 20;
  rotation.days_max = config.log_rotation->max_days;
  rotation.backups_max = config.log_rotation->max_backups;
  rotation.local_time = config.log_rotation->local_time;
  rotation.compress = config.log_rotation->compress;
  return options;
}

// The log that the user wants, or, with the reason, one that says why it cannot be had.
std::unique_ptr<Log> open_log(const config::ParseOutcome& outcome, Status* failed) {
  auto log = Log::open(log_options(outcome.config));
  if (log.ok()) return std::move(*log);
  *failed = log.status();
  auto standard = Log::open({});
  return standard.ok() ? std::move(*standard) : nullptr;
}

int main_function(int argc, char** argv) {
  open_standard_descriptors();
  // Lines of its own about what a client got wrong would stand between those of the log.
  google::protobuf::SetLogHandler(nullptr);
  config::ParseOutcome outcome = parse_process(argc, argv);
  Status failed;
  const std::unique_ptr<Log> log = open_log(outcome, &failed);
  if (log == nullptr) return 1;
  for (const std::string& name : outcome.unset_variables) unsetenv(name.c_str());
  for (const config::LogLine& line : outcome.logs) {
    log->write(level_named(line.level), line.msg, fields_of(line.fields));
  }
  if (!failed.ok()) {
    log->warn("failed to verify flags", {{"error", failed.message()}});
    return 1;
  }
  std::fputs(outcome.stdout_text.c_str(), stdout);
  std::fputs(outcome.stderr_text.c_str(), stderr);
  std::fflush(stdout);
  switch (outcome.action) {
    case config::Action::kPrintVersion:
      std::fputs(config::version_text("").c_str(), stdout);
      return 0;
    case config::Action::kRun: return run(outcome.config, log.get());
    default: return outcome.exit_code;
  }
}

}  // namespace
}  // namespace mortise::server

int main(int argc, char** argv) { return mortise::server::main_function(argc, argv); }
