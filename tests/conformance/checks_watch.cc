// The watch index against a matcher that looks at every watcher.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <random>
#include <set>

#include "tests/conformance/check.h"

namespace mortise::conformance {
namespace {

struct Range {
  std::string key, end;
  bool wants(const std::string& k) const {
    if (end.empty()) return k == key;
    if (end.size() == 1 && end[0] == '\0') return k >= key;
    return k >= key && k < end;
  }
};

mortise_bytes bytes(const std::string& v) {
  return {reinterpret_cast<const uint8_t*>(v.data()), v.size()};
}

using Matches = std::map<uint64_t, std::vector<uint32_t>>;

class WatchRun {
 public:
  WatchRun(const mortise_watch_v1* table, uint64_t seed) : table_(table), random_(seed) {}

  // Empty if everything agrees.
  std::string run(const mortise_host* host, const std::string& config, int steps) {
    mortise_error error{};
    error.struct_size = sizeof(error);
    if (table_->create(host, bytes(config), &index_, &error) != MORTISE_OK) {
      return std::string("create: ") + error.message;
    }
    std::string problem;
    for (int i = 0; i < steps && problem.empty(); ++i) {
      problem = step();
      if (!problem.empty()) problem += " (step " + std::to_string(i) + ")";
    }
    table_->destroy(index_);
    return problem;
  }

 private:
  std::string key() {
    static const char kAlphabet[] = {'a', 'b', '/', '\0', '\xff'};
    std::string k;
    const size_t size = 1 + random_() % 5;
    for (size_t i = 0; i < size; ++i) k += kAlphabet[random_() % 5];
    return k;
  }

  std::string add() {
    Range range{key(), ""};
    switch (random_() % 6) {
      case 0: range.end = std::string(1, '\0'); break;
      case 1:
      case 2: range.end = key(); break;
      case 3: range.end = range.key + '\xff'; break;
      default: break;
    }
    const bool all = range.end.size() == 1 && range.end[0] == '\0';
    const bool empty = !range.end.empty() && !all && range.end <= range.key;
    const uint64_t watcher = ++next_;
    mortise_error error{};
    error.struct_size = sizeof(error);
    const mortise_status status =
        table_->add(index_, watcher, bytes(range.key), bytes(range.end), &error);
    if (status != (empty ? MORTISE_E_INVALID : MORTISE_OK)) {
      return "add [" + show(range.key) + ", " + show(range.end) + "): " + status_name(status);
    }
    if (!empty) watchers_[watcher] = range;
    return "";
  }

  void remove() {
    if (watchers_.empty() || random_() % 10 == 0) {
      table_->remove(index_, next_ + 1000);
      return;
    }
    auto it = watchers_.begin();
    std::advance(it, static_cast<long>(random_() % watchers_.size()));
    table_->remove(index_, it->first);
    watchers_.erase(it);
  }

  std::string match() {
    std::vector<std::string> keys;
    for (size_t i = random_() % 20; i > 0; --i) keys.push_back(key());
    std::vector<mortise_bytes> spans;
    for (const std::string& k : keys) spans.push_back(bytes(k));
    Matches found, wanted;
    const auto sink = [](void* context, uint64_t watcher, uint32_t event) {
      (*static_cast<Matches*>(context))[watcher].push_back(event);
    };
    table_->match(index_, spans.data(), spans.size(), +sink, &found);
    for (const auto& [watcher, range] : watchers_) {
      for (uint32_t e = 0; e < keys.size(); ++e) {
        if (range.wants(keys[e])) wanted[watcher].push_back(e);
      }
    }
    if (found == wanted) return "";
    return "match of " + std::to_string(keys.size()) + " keys against " +
           std::to_string(watchers_.size()) + " watchers: " + std::to_string(found.size()) +
           " watchers found, " + std::to_string(wanted.size()) + " wanted, or other events";
  }

  std::string step() {
    const uint64_t dice = random_() % 10;
    if (dice < 4) return add();
    if (dice < 6) {
      remove();
      if (random_() % 400 == 0) {
        while (!watchers_.empty()) remove();
      }
      return "";
    }
    return match();
  }

  const mortise_watch_v1* table_;
  std::mt19937_64 random_;
  mortise_watch* index_ = nullptr;
  std::map<uint64_t, Range> watchers_;
  uint64_t next_ = 0;
};

}  // namespace

Totals run_watch_suite(const mortise_watch_v1* table, const Options& options) {
  Totals totals;
  const int seeds = options.quick ? 2 : 6;
  for (int i = 0; i < seeds; ++i) {
    const uint64_t seed = options.seed + static_cast<uint64_t>(i);
    const std::string name = "watch_random_" + std::to_string(seed);
    const std::string problem = WatchRun(table, seed).run(options.host, options.config, 8000);
    ++(problem.empty() ? totals.passed : totals.failed);
    options.print(problem.empty() ? "ok   " + name : "FAIL " + name + ": " + problem);
  }
  return totals;
}

}  // namespace mortise::conformance
