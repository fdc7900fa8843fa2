// mortise-sim: runs simulated clusters from seeds, one after the other, and says what broke.
// Exit 0: nothing did. 1: something did; the last line is the command that repeats it.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "tests/sim/simulation.h"

namespace mortise::sim {
namespace {

struct Arguments {
  uint64_t seed = 1;
  uint64_t seeds = 1;
  uint64_t seconds = 30;
  uint64_t wall_seconds = 0;
  uint32_t members = 0;
  bool trace = false;
  bool quiet = false;
  bool expect_failure = false;
  std::string bug = "none";
};

// For the handler of a broken check in the code under test.
char repeat_command[256];
bool failure_expected = false;

void report_broken_check(int) {
  (void)!write(STDOUT_FILENO, repeat_command, std::strlen(repeat_command));
  if (failure_expected) _exit(0);
}

void remember(const Options& options) {
  std::snprintf(repeat_command, sizeof repeat_command,
                "repeat: mortise-sim --seed %llu --seconds %llu --members %u --bug %s --trace\n",
                static_cast<unsigned long long>(options.seed),
                static_cast<unsigned long long>(options.duration / kSecond), options.members,
                name_of(options.bug));
}

void print(uint64_t seed, const Report& r) {
  std::string faults;
  for (const auto& [name, count] : r.faults) {
    faults += ", " + std::to_string(count) + " " + name;
  }
  std::printf(
      "seed %llu: %.1f s simulated, %llu events, %llu entries, revision %lld, %llu writes, %llu "
      "reads, %llu unknown, %llu dropped, %llu watched, %llu membership changes, recovery %.1f s, "
      "trace %016llx%s\n",
      static_cast<unsigned long long>(seed), static_cast<double>(r.simulated) / kSecond,
      static_cast<unsigned long long>(r.events), static_cast<unsigned long long>(r.entries),
      static_cast<long long>(r.revision), static_cast<unsigned long long>(r.answered_writes),
      static_cast<unsigned long long>(r.answered_reads), static_cast<unsigned long long>(r.unknown),
      static_cast<unsigned long long>(r.dropped), static_cast<unsigned long long>(r.watched_events),
      static_cast<unsigned long long>(r.membership_changes),
      static_cast<double>(r.recovery) / kSecond, static_cast<unsigned long long>(r.trace_hash),
      faults.c_str());
}

int run(const Arguments& arguments, Bug bug) {
  std::error_code ignored;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  setenv("MORTISE_BUILD_DIR", self.parent_path().parent_path().c_str(), /*replace=*/0);
  failure_expected = arguments.expect_failure;
  std::signal(SIGABRT, report_broken_check);
  const auto began = std::chrono::steady_clock::now();
  double simulated_hours = 0;
  uint64_t count = 0;
  for (; count < arguments.seeds; ++count) {
    const auto passed = std::chrono::steady_clock::now() - began;
    if (arguments.wall_seconds != 0 && passed > std::chrono::seconds(arguments.wall_seconds)) break;
    Options options;
    options.seed = arguments.seed + count;
    options.duration = arguments.seconds * kSecond;
    options.members = arguments.members;
    options.trace = arguments.trace;
    options.bug = bug;
    remember(options);
    const Report report = Simulation(options).run();
    simulated_hours += static_cast<double>(report.simulated) / kSecond / 3600;
    if (!arguments.quiet) print(options.seed, report);
    if (report.failure.empty()) {
      std::fflush(stdout);
      continue;
    }
    std::printf("seed %llu failed at %.6f s: %s\n%s", static_cast<unsigned long long>(options.seed),
                static_cast<double>(report.simulated) / kSecond, report.failure.c_str(),
                repeat_command);
    return arguments.expect_failure ? 0 : 1;
  }
  std::printf("%llu seeds from %llu, %.2f hours simulated, nothing broke\n",
              static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(arguments.seed), simulated_hours);
  return arguments.expect_failure ? 1 : 0;
}

}  // namespace
}  // namespace mortise::sim

int main(int argc, char** argv) {
  CLI::App app("Runs simulated clusters from seeds and checks them");
  mortise::sim::Arguments arguments;
  app.add_option("--seed", arguments.seed, "The first seed")->capture_default_str();
  app.add_option("--seeds", arguments.seeds, "How many seeds, counting up")->capture_default_str();
  app.add_option("--seconds", arguments.seconds, "Simulated time with faults, for each seed")
      ->capture_default_str();
  app.add_option("--wall-seconds", arguments.wall_seconds,
                 "Begin no further seed after so much real time; 0: no limit");
  app.add_option("--members", arguments.members, "Founders; 0: the seed says")
      ->check(CLI::IsMember({0, 1, 3, 5}));
  app.add_option("--bug", arguments.bug, "Plants a bug that should be found; docs/testing.md");
  app.add_flag("--expect-failure", arguments.expect_failure,
               "Exit with 0 if something broke and with 1 if nothing did");
  app.add_flag("--trace", arguments.trace, "Print what happens");
  app.add_flag("--quiet", arguments.quiet, "Print no line for each seed");
  CLI11_PARSE(app, argc, argv);
  const auto bug = mortise::sim::bug_named(arguments.bug);
  if (!bug) {
    std::fprintf(stderr, "mortise-sim: there is no bug \"%s\" to plant\n", arguments.bug.c_str());
    return 2;
  }
  return mortise::sim::run(arguments, *bug);
}
