// Child processes of tests: started with their output in a file, signalled, waited for with a
// bound, and never left behind. Used by the end-to-end and differential tests.
//
// A Process is used by one thread. The child dies with the thread that started it (it gets
// SIGKILL), so a test that is ended by its time limit leaves no server; start children from the
// main thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/base/status.h"

namespace mortise::testing {

// How a process ended: by exit with a code, or by a signal (then code is -1).
struct Exit {
  int code = -1;
  int signal = 0;
};

struct Command {
  std::vector<std::string> argv;
  // "NAME=value"; added to the own environment, from which all ETCD_, ETCDCTL_ variables are taken
  // out.
  std::vector<std::string> env;
  std::string directory;
  // Standard input; empty: nothing to read.
  std::string input_path;
  // Standard output and error are appended here.
  std::string output_path;
  // User to become, for tests of permissions run by root. Empty: the own.
  std::string user;
};

class Process {
 public:
  static Result<std::unique_ptr<Process>> start(const Command& command);
  // Kills the child if it runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number);
  // Nothing: it still runs after that time.
  std::optional<Exit> wait(std::chrono::milliseconds bound);
  bool running() { return !wait(std::chrono::milliseconds(0)).has_value(); }

 private:
  explicit Process(pid_t pid) : pid_(pid) {}
  pid_t pid_;
  std::optional<Exit> exit_;
};

struct Output {
  Exit exit;
  bool timed_out = false;
  std::string text;  // Standard output and error, in the order written.
};

// Runs to the end, at most `bound`, then kills.
Output run_command(Command command, std::chrono::milliseconds bound = std::chrono::seconds(60));

// A directory of its own, removed with what is in it.
class TempDir {
 public:
  // In memory (/dev/shm) where there is such a place and `in_memory` asks for it: for tests whose
  // subject is not the disk.
  explicit TempDir(bool in_memory = false);
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string read_text(const std::string& path);
void write_text(const std::string& path, const std::string& text);

// A TCP port of 127.0.0.1 on which nobody listens, below the range that the system gives to
// clients. No test program gets it again while this one is there.
int free_port();

}  // namespace mortise::testing
