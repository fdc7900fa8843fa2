// What the checks of the suites share: the context of one check, and how it fails.
#pragma once

#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "tests/conformance/client.h"
#include "tests/conformance/suite.h"

namespace mortise::conformance {

// One check at work. fail() may be called on any thread; the first text counts.
class Context {
 public:
  Context(const mortise_backend_v1* table, const Options& options, std::string directory)
      : table_(table), options_(options), directory_(std::move(directory)), random_(options.seed) {}

  const mortise_backend_v1* table() const { return table_; }
  const Options& options() const { return options_; }
  std::mt19937_64& random() { return random_; }
  uint64_t below(uint64_t bound) { return random_() % bound; }
  // A new, empty directory.
  std::string fresh_directory(const std::string& name);
  std::string path_in(const std::string& name) const { return directory_ + "/" + name; }
  Outcome open(const std::string& directory, Store& out) {
    return Store::open(table_, options_.host, directory, options_.config, out);
  }

  void fail(std::string text);
  void fail_condition(std::string_view text, const char* condition);
  void skip(std::string why) { skipped_ = std::move(why); }
  bool failed() const;
  std::string failure() const;
  const std::string& skipped() const { return skipped_; }

  // True if the outcome is OK; else the check has failed.
  bool good(const Outcome& outcome, const std::string& what);
  // True if the outcome has this status, and a message unless it is E_NOT_FOUND.
  bool answers(const Outcome& outcome, mortise_status wanted, const std::string& what);
  // True if the store's newest state is `wanted`.
  bool holds(Store& store, const Model& wanted, const std::string& what);
  bool equal(const Model& found, const Model& wanted, const std::string& what);
  bool equal(const Pairs& found, const Pairs& wanted, const std::string& what);
  // True if the store's position is this one.
  bool position(Store& store, uint64_t index, uint64_t term, const std::string& what);

 private:
  const mortise_backend_v1* table_;
  const Options& options_;
  std::string directory_;
  std::mt19937_64 random_;
  mutable std::mutex mutex_;
  std::string failure_;
  std::string skipped_;
};

struct Check {
  const char* name;
  void (*run)(Context&);
};

// Printable and short.
std::string show(std::string_view bytes);
std::string status_name(mortise_status status);
std::string random_bytes(std::mt19937_64& random, size_t size);

// Each file's share of the suite.
const std::vector<Check>& order_checks();
const std::vector<Check>& commit_checks();
const std::vector<Check>& reader_checks();
const std::vector<Check>& durability_checks();
const std::vector<Check>& store_checks();
const std::vector<Check>& random_checks();

// The deterministic history of the kill check: what commit number `index` does.
std::vector<Op> history(uint64_t seed, uint64_t index);

}  // namespace mortise::conformance

#define REQUIRE(context, condition, text)           \
  do {                                              \
    if (!(condition)) {                             \
      (context).fail_condition((text), #condition); \
      return;                                       \
    }                                               \
  } while (0)
