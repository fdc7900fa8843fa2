// mortise-differential: plays generated histories to an etcd and to this server on each backend,
// and compares every answer, every watcher's events and HashKV. Exit 0: all equal.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tests/differential/runner.h"

namespace mortise::differential {
namespace {

struct Arguments {
  std::string etcd = "/usr/bin/etcd";
  std::vector<std::string> backends = {"rocksdb", "lmdb"};
  std::vector<uint64_t> seeds = {1};
  size_t ops = 4000;
  size_t mismatches_max = 1;
  int shrink_s = 60;
  std::string script;
  std::string weights = MORTISE_DIFFERENTIAL_WEIGHTS;
  bool over_http = false;
};

void print_script(const std::vector<Op>& ops) {
  for (const Op& op : ops) std::printf("%s\n", to_text(op).c_str());
}

bool run_seed(const Arguments& arguments, RunOptions options) {
  auto started = std::chrono::steady_clock::now();
  RunResult result = run(options);
  auto took = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (!result.error.empty()) {
    std::printf("seed %lu: cannot run: %s\n", options.seed, result.error.c_str());
    return false;
  }
  std::printf("seed %lu: %zu operations, %lu events, %lu raced watchers, %zu mismatches, %.1f s\n",
              options.seed, result.history.size(), result.events, result.raced_watchers,
              result.mismatches.size(), took);
  for (const Mismatch& mismatch : result.mismatches) {
    std::printf("MISMATCH seed %lu, operation %zu, %s: %s\n", options.seed, mismatch.op,
                mismatch.target.c_str(), mismatch.what.c_str());
  }
  std::fflush(stdout);
  if (!result.mismatches.empty() && arguments.shrink_s > 0) {
    auto small = shrink(options, result, std::chrono::seconds(arguments.shrink_s));
    std::printf("# %zu operations that fail, for --script:\n", small.size());
    print_script(small);
  }
  std::fflush(stdout);
  return result.mismatches.empty();
}

int main_function(const Arguments& arguments) {
  RunOptions options;
  options.oracle = testing::etcd_target(arguments.etcd);
  if (!testing::available(options.oracle)) {
    std::printf("%s is not there; the comparison needs an etcd\n", arguments.etcd.c_str());
    return 1;
  }
  for (const std::string& backend : arguments.backends) {
    options.targets.push_back(backend.starts_with("/") ? testing::Target{"etcd2", backend, ""}
                                                       : testing::mortise_target(backend));
  }
  options.over_http = arguments.over_http;
  options.ops = arguments.ops;
  options.mismatches_max = arguments.mismatches_max;
  auto weights = Weights::parse(testing::read_text(arguments.weights));
  if (!weights.ok()) {
    std::printf("%s: %s\n", arguments.weights.c_str(), weights.status().message().c_str());
    return 1;
  }
  options.weights = std::move(weights).value();
  if (!arguments.script.empty()) {
    auto script = parse_script(testing::read_text(arguments.script));
    if (!script.ok()) {
      std::printf("%s: %s\n", arguments.script.c_str(), script.status().message().c_str());
      return 1;
    }
    options.script = std::move(script).value();
  }
  bool equal = true;
  for (uint64_t seed : arguments.seeds) {
    options.seed = seed;
    equal = run_seed(arguments, options) && equal;
  }
  return equal ? 0 : 1;
}

}  // namespace
}  // namespace mortise::differential

int main(int argc, char** argv) {
  mortise::differential::Arguments arguments;
  CLI::App app("Compares this server with an etcd, operation by operation");
  app.add_option("--etcd", arguments.etcd, "The oracle's binary")->capture_default_str();
  app.add_option("--backends", arguments.backends,
                 "Comma separated; a path is taken for another etcd")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--seeds", arguments.seeds, "Comma separated")->delimiter(',');
  app.add_option("--ops", arguments.ops, "Operations for each seed")->capture_default_str();
  app.add_option("--mismatches", arguments.mismatches_max, "Stop after so many")
      ->capture_default_str();
  app.add_option("--shrink", arguments.shrink_s, "Seconds to look for a smaller history; 0: none")
      ->capture_default_str();
  app.add_option("--weights", arguments.weights, "How often each kind of operation is drawn")
      ->capture_default_str();
  app.add_option("--script", arguments.script, "Play the operations of this file");
  app.add_flag("--http", arguments.over_http, "Reach this server over its HTTP gateway");
  CLI11_PARSE(app, argc, argv);
  return mortise::differential::main_function(arguments);
}
