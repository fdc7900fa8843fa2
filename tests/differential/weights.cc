#include "tests/differential/weights.h"

#include <algorithm>
#include <iterator>
#include <sstream>

namespace mortise::differential {
namespace {

// In the order of Choice.
constexpr const char* kNames[] = {"put",    "range",   "range_stream", "delete_range",
                                  "txn",    "compact", "hash_kv",      "lease",
                                  "expiry", "restart", "kill"};
constexpr uint64_t kWeightMax = 1'000'000;

}  // namespace

Result<Weights> Weights::parse(const std::string& text) {
  Weights weights;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string name;
    uint64_t weight = 0;
    const bool read = static_cast<bool>(words >> name >> weight);
    const auto* at = std::find(std::begin(kNames), std::end(kNames), name);
    if (!read || weight > kWeightMax || at == std::end(kNames)) {
      return invalid("not a kind of operation and its weight: " + line);
    }
    weights.entries_.push_back({static_cast<Choice>(at - std::begin(kNames)), weight});
    weights.sum_ += weight;
  }
  if (weights.sum_ == 0) return invalid("no kind of operation has a weight");
  return weights;
}

Choice Weights::choose(uint64_t draw) const {
  for (const Entry& entry : entries_) {
    if (draw < entry.weight) return entry.choice;
    draw -= entry.weight;
  }
  return entries_.back().choice;
}

}  // namespace mortise::differential
