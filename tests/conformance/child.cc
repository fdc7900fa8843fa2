#include "tests/conformance/child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <thread>

#include "tests/conformance/check.h"

extern char** environ;

namespace mortise::conformance {

Child::~Child() {
  if (pid_ > 0) {
    kill_hard();
    wait();
  }
  if (output_ >= 0) ::close(output_);
}

bool Child::start(const std::vector<std::string>& command,
                  const std::vector<std::string>& arguments) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  std::vector<std::string> words = command;
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  const int failed = ::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  output_ = ends[0];
  if (failed != 0) pid_ = -1;
  return failed == 0;
}

bool Child::read_line(std::string& line) {
  for (;;) {
    if (const size_t end = buffered_.find('\n'); end != std::string::npos) {
      line = buffered_.substr(0, end);
      buffered_.erase(0, end + 1);
      return true;
    }
    char chunk[512];
    const ssize_t size = ::read(output_, chunk, sizeof(chunk));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    buffered_.append(chunk, static_cast<size_t>(size));
  }
}

void Child::kill_hard() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

int Child::wait() {
  if (pid_ <= 0) return -1;
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::vector<Op> history(uint64_t seed, uint64_t index) {
  std::mt19937_64 random(seed * 0x9E3779B97F4A7C15u + index);
  std::vector<Op> ops;
  const size_t count = random() % 12;
  for (size_t i = 0; i < count; ++i) {
    const auto keyspace = static_cast<uint32_t>(random() % 3);
    std::string key = "k" + std::to_string(random() % 500);
    switch (random() % 8) {
      case 0: ops.push_back(del(keyspace, std::move(key))); break;
      case 1: ops.push_back(del_range(keyspace, key, key + "5")); break;
      default: ops.push_back(put(keyspace, std::move(key), random_bytes(random, random() % 2000)));
    }
  }
  return ops;
}

namespace {

// Commits the history from where the store is, syncs beside it, and reports each durable position.
// Ends when it is killed, or when nobody reads any more.
int write_for_ever(Store& store, uint64_t seed) {
  uint64_t index = 0, term = 0;
  if (!store.applied(index, term).ok()) return 3;
  std::printf("open %llu\n", static_cast<unsigned long long>(index));
  std::fflush(stdout);
  std::atomic<bool> done{false};
  std::thread syncer([&] {
    while (!done) {
      uint64_t durable = 0;
      if (!store.sync(durable).ok()) break;
      std::printf("synced %llu\n", static_cast<unsigned long long>(durable));
      if (std::fflush(stdout) != 0) break;
    }
    done = true;
  });
  while (!done) {
    ++index;
    const bool sync = index % 64 == 0;
    if (!store.commit(history(seed, index), index, sync, 1 + index / 100).ok()) done = true;
    if (sync && !done) std::printf("synced %llu\n", static_cast<unsigned long long>(index));
  }
  syncer.join();
  return 4;
}

}  // namespace

int child_main(const mortise_backend_v1* table, const mortise_host* host, const std::string& role,
               const std::string& directory, const std::string& config, uint64_t seed) {
  ::signal(SIGPIPE, SIG_IGN);
  Store store;
  const Outcome outcome = Store::open(table, host, directory, config, store);
  if (role == "open" || !outcome.ok()) {
    std::printf("%d %s\n", outcome.status, outcome.message.c_str());
    return 0;
  }
  return write_for_ever(store, seed);
}

}  // namespace mortise::conformance
