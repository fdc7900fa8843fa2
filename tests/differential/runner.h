// Plays one history to the oracle and to our servers, compares, and makes a history that fails
// small.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/differential/op.h"
#include "tests/differential/player.h"
#include "tests/differential/weights.h"
#include "tests/lib/node.h"

namespace mortise::differential {

struct Mismatch {
  size_t op = 0;
  std::string target;
  std::string what;  // Operation and both answers, several lines.
};

struct RunResult {
  std::vector<Op> history;
  std::vector<Mismatch> mismatches;
  std::string error;  // The run could not be carried out.
  uint64_t events = 0;
  uint64_t raced_watchers = 0;  // Compared up to a compaction only.
};

struct RunOptions {
  testing::Target oracle;
  std::vector<testing::Target> targets;
  bool over_http = false;  // The targets' gateway instead of gRPC; the oracle's is not asked.
  uint64_t seed = 0;
  size_t ops = 0;
  Weights weights;
  // Where not empty these are played instead of generated ones.
  std::vector<Op> script;
  size_t mismatches_max = 1;
};

RunResult run(const RunOptions& options);

// A history as short as can be found in that time that fails for the target of
// result.mismatches[0].
std::vector<Op> shrink(const RunOptions& options, const RunResult& result,
                       std::chrono::seconds budget);

}  // namespace mortise::differential
