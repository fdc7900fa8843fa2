#include "tests/lib/process.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

extern char** environ;

namespace mortise::testing {
namespace {

namespace fs = std::filesystem;
constexpr std::chrono::milliseconds kPoll{2};

std::vector<std::string> child_environment(const std::vector<std::string>& added) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view text = *entry;
    if (!text.starts_with("ETCD_") && !text.starts_with("ETCDCTL_")) out.emplace_back(text);
  }
  out.insert(out.end(), added.begin(), added.end());
  return out;
}

std::vector<char*> pointers(std::vector<std::string>* texts) {
  std::vector<char*> out;
  for (std::string& text : *texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

Result<std::unique_ptr<Process>> Process::start(const Command& command) {
  // setpriv becomes the command, so the process id is the command's.
  std::vector<std::string> argv = {"setpriv", "--pdeathsig", "KILL"};
  if (!command.user.empty()) {
    argv.insert(argv.end(), {"--reuid", command.user, "--regid", command.user, "--clear-groups"});
  }
  argv.push_back("--");
  argv.insert(argv.end(), command.argv.begin(), command.argv.end());
  std::vector<std::string> env = child_environment(command.env);
  std::string output = command.output_path.empty() ? "/dev/null" : command.output_path;

  std::string input = command.input_path.empty() ? "/dev/null" : command.input_path;

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, input.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  if (!command.directory.empty()) {
    posix_spawn_file_actions_addchdir_np(&actions, command.directory.c_str());
  }
  pid_t pid = -1;
  int failed = ::posix_spawnp(&pid, "setpriv", &actions, nullptr, pointers(&argv).data(),
                              pointers(&env).data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return errno_status(failed, "cannot start " + command.argv[0]);
  return std::unique_ptr<Process>(new Process(pid));
}

Process::~Process() {
  signal(SIGKILL);
  while (!wait(std::chrono::seconds(10))) signal(SIGKILL);
}

void Process::signal(int number) {
  if (!exit_) ::kill(pid_, number);
}

std::optional<Exit> Process::wait(std::chrono::milliseconds bound) {
  auto deadline = std::chrono::steady_clock::now() + bound;
  while (!exit_) {
    int state = 0;
    pid_t got = ::waitpid(pid_, &state, WNOHANG);
    MORTISE_CHECK(got >= 0 || errno == EINTR, "waitpid of an own child");
    if (got == pid_) {
      exit_ = WIFEXITED(state) ? Exit{WEXITSTATUS(state), 0} : Exit{-1, WTERMSIG(state)};
      break;
    }
    if (std::chrono::steady_clock::now() >= deadline) break;
    std::this_thread::sleep_for(kPoll);
  }
  return exit_;
}

Output run_command(Command command, std::chrono::milliseconds bound) {
  TempDir dir;
  if (command.output_path.empty()) command.output_path = dir.path() + "/output";
  Output out;
  auto process = Process::start(command);
  if (!process.ok()) {
    out.text = process.status().message();
    return out;
  }
  auto exit = (*process)->wait(bound);
  out.timed_out = !exit.has_value();
  if (exit) out.exit = *exit;
  *process = nullptr;
  out.text = read_text(command.output_path);
  return out;
}

TempDir::TempDir(bool in_memory) {
  bool shared = in_memory && ::access("/dev/shm", W_OK) == 0;
  std::string base = shared ? "/dev/shm" : fs::temp_directory_path().string();
  std::string pattern = base + "/mortise-test-XXXXXX";
  MORTISE_CHECK(::mkdtemp(pattern.data()) != nullptr, "a temporary directory");
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code error;
  fs::remove_all(path_, error);
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  MORTISE_CHECK(file.good(), "a test's file is written");
}

namespace {

// True if no test program, this one included, was given the port and is still there: a socket of
// that name, which ends with the process, says so to the others.
bool reserve_port(int port) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "mortise-test-port-" + std::to_string(port);
  name.copy(address.sun_path + 1, name.size());  // The first byte 0: in no directory.
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0) return true;
  ::close(fd);
  return false;
}

bool can_bind(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  const bool bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return bound;
}

}  // namespace

int free_port() {
  static std::mt19937 random{std::random_device{}()};
  for (;;) {
    const int port = std::uniform_int_distribution<int>(12000, 31999)(random);
    if (reserve_port(port) && can_bind(port)) return port;
  }
}

}  // namespace mortise::testing
