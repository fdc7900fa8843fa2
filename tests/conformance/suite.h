// The conformance suites: what mortise-plugin-check runs on a plugin, and what the project's tests
// run on the project's own. A suite sees a plugin only through its C table.
//
// One thread calls; checks make threads of their own. Directories are made below Options::directory
// and removed when their check has passed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mortise/abi/auth.h"
#include "mortise/abi/backend.h"
#include "mortise/abi/watch.h"

namespace mortise::conformance {

struct Options {
  const mortise_host* host = nullptr;
  std::string config = "{}";
  std::string directory;  // Exists. One folder for each check is made in it.
  uint64_t seed = 1;
  bool quick = false;  // Fewer rounds.
  std::string filter;  // Only checks whose name contains it.
  // A command that runs child_main() on the same plugin; empty: checks that need a child are
  // skipped.
  std::vector<std::string> child_command;
  // The backend that random operations are compared with; null: a std::map.
  const mortise_backend_v1* oracle = nullptr;
  std::function<void(const std::string& line)> print;
  std::function<void(const char* check)> begin;  // Before each check of a backend; may be empty.
};

struct Totals {
  int passed = 0;
  int failed = 0;
  int skipped = 0;
};

Totals run_backend_suite(const mortise_backend_v1* table, const Options& options);
Totals run_watch_suite(const mortise_watch_v1* table, const Options& options);
Totals run_auth_suite(const mortise_auth_v1* table, const Options& options);

// The other side of the checks that need a second process. `role` is "write" (commits and syncs for
// ever, reports on stdout) or "open" (opens the store and prints the status). Returns the exit
// code.
int child_main(const mortise_backend_v1* table, const mortise_host* host, const std::string& role,
               const std::string& directory, const std::string& config, uint64_t seed);

}  // namespace mortise::conformance
