#include "tests/conformance/suite.h"

#include <chrono>
#include <cstdio>
#include <filesystem>

#include "tests/conformance/check.h"

namespace mortise::conformance {
namespace {

void run_check(const Check& check, const mortise_backend_v1* table, const Options& options,
               Totals& totals) {
  if (!options.filter.empty() &&
      std::string(check.name).find(options.filter) == std::string::npos) {
    return;
  }
  if (options.begin) options.begin(check.name);
  const auto start = std::chrono::steady_clock::now();
  const std::string directory = options.directory + "/" + check.name;
  Context context(table, options, directory);
  check.run(context);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  char tail[32];
  std::snprintf(tail, sizeof(tail), " (%.2f s)", took.count());
  if (context.failed()) {
    ++totals.failed;
    options.print("FAIL " + std::string(check.name) + ": " + context.failure());
    return;
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  if (!context.skipped().empty()) {
    ++totals.skipped;
    options.print("skip " + std::string(check.name) + ": " + context.skipped());
    return;
  }
  ++totals.passed;
  options.print("ok   " + std::string(check.name) + tail);
}

}  // namespace

Totals run_backend_suite(const mortise_backend_v1* table, const Options& options) {
  Totals totals;
  for (const auto* list : {&order_checks(), &commit_checks(), &reader_checks(), &store_checks(),
                           &durability_checks(), &random_checks()}) {
    for (const Check& check : *list) run_check(check, table, options, totals);
  }
  return totals;
}

}  // namespace mortise::conformance
