// What a store keeps over a close and over a kill.
#include <chrono>
#include <thread>

#include "tests/conformance/check.h"
#include "tests/conformance/child.h"

namespace mortise::conformance {
namespace {

void reopen(Context& c) {
  const std::string directory = c.fresh_directory("store");
  Model model;
  uint64_t index = 0;
  for (int round = 0; round < 6; ++round) {
    Store store;
    if (!c.good(c.open(directory, store), "store_open")) return;
    if (!c.position(store, index, index == 0 ? 0 : 1, "after reopen")) return;
    if (!c.holds(store, model, "after reopen")) return;
    for (int i = 0; i < 30; ++i) {
      ++index;
      const std::vector<Op> ops = history(c.options().seed, index);
      if (!c.good(store.commit(ops, index, round == 2 && i == 29), "commit")) return;
      model.apply(ops);
    }
    uint64_t durable = index;
    if (round != 2 && !c.good(store.sync(durable), "sync")) return;
    REQUIRE(c, durable == index,
            "sync() answers " + std::to_string(durable) + " after commit " + std::to_string(index));
  }
}

// What was not synced may be lost at a close, but only from the end.
void close_without_sync(Context& c) {
  const std::string directory = c.fresh_directory("store");
  const uint64_t seed = c.options().seed + 1;
  constexpr uint64_t kSynced = 20;
  {
    Store store;
    if (!c.good(c.open(directory, store), "store_open")) return;
    for (uint64_t i = 1; i <= 50; ++i) {
      if (!c.good(store.commit(history(seed, i), i), "commit")) return;
      uint64_t durable = 0;
      if (i == kSynced && !c.good(store.sync(durable), "sync")) return;
    }
  }
  Store store;
  uint64_t index = 0, term = 0;
  if (!c.good(c.open(directory, store), "store_open again")) return;
  if (!c.good(store.applied(index, term), "applied")) return;
  REQUIRE(c, index >= kSynced && index <= 50,
          "position " + std::to_string(index) + " after reopen");
  Model model;
  for (uint64_t i = 1; i <= index; ++i) model.apply(history(seed, i));
  c.holds(store, model, "after a close without sync, at " + std::to_string(index));
}

// Runs the writer until it has reported `reports` positions, kills it, and returns the last one
// reported.
bool run_and_kill(Context& c, const std::string& directory, uint64_t seed, int reports,
                  uint64_t& synced) {
  Child child;
  std::vector<std::string> arguments = {"write", directory, std::to_string(seed)};
  if (!child.start(c.options().child_command, arguments)) {
    c.fail("the writing process does not start");
    return false;
  }
  std::string line;
  int seen = 0;
  const auto take = [&] {
    unsigned long long position = 0;
    if (std::sscanf(line.c_str(), "synced %llu", &position) == 1) {
      synced = std::max<uint64_t>(synced, position);
      ++seen;
    } else if (line.rfind("open ", 0) != 0) {
      c.fail("the writing process says: " + line);
    }
  };
  while (seen < reports && !c.failed() && child.read_line(line)) take();
  // A little later, so that the kill falls on any moment between two syncs.
  std::this_thread::sleep_for(std::chrono::microseconds(c.below(20000)));
  child.kill_hard();
  child.wait();
  while (!c.failed() && child.read_line(line)) take();
  if (!c.failed() && seen < reports) c.fail("the writing process ended by itself");
  return !c.failed();
}

void kill_while_writing(Context& c) {
  if (c.options().child_command.empty()) return c.skip("no way to start a second process");
  const std::string directory = c.fresh_directory("store");
  const uint64_t seed = c.options().seed + 2;
  const int rounds = c.options().quick ? 4 : 15;
  uint64_t synced = 0, modelled = 0;
  Model model;
  for (int round = 0; round < rounds; ++round) {
    const int reports = 1 + static_cast<int>(c.below(12));
    if (!run_and_kill(c, directory, seed, reports, synced)) return;
    Store store;
    const std::string what = "after kill " + std::to_string(round + 1);
    if (!c.good(c.open(directory, store), what + ": store_open")) return;
    uint64_t index = 0, term = 0;
    if (!c.good(store.applied(index, term), what + ": applied")) return;
    REQUIRE(
        c, index >= synced,
        what + ": position " + std::to_string(index) + ", synced was " + std::to_string(synced));
    REQUIRE(c, term == 1 + index / 100, what + ": term " + std::to_string(term));
    while (modelled < index) model.apply(history(seed, ++modelled));
    REQUIRE(c, modelled == index, what + ": the position went back");
    if (!c.holds(store, model, what + ", at " + std::to_string(index))) return;
    // What is there after the restart is the base of the next round, so it must stay.
    if (!c.good(store.sync(synced), what + ": sync")) return;
  }
}

void in_use(Context& c) {
  const std::string directory = c.fresh_directory("store");
  Store store, second;
  if (!c.good(c.open(directory, store), "store_open")) return;
  if (!c.good(store.commit({put(0, "k", "v")}, 1, true), "commit")) return;
  const Outcome again = c.open(directory, second);
  if (!c.answers(again, MORTISE_E_IN_USE, "a second store_open in one process")) return;
  if (!c.options().child_command.empty()) {
    Child child;
    std::string line;
    REQUIRE(c, child.start(c.options().child_command, {"open", directory, "1"}), "no child");
    REQUIRE(c, child.read_line(line), "the second process says nothing");
    REQUIRE(c, line.rfind(std::to_string(MORTISE_E_IN_USE) + " ", 0) == 0,
            "a second process: wanted status 4, found " + line);
    REQUIRE(c, line.find(directory) != std::string::npos, "the message names no path: " + line);
    child.wait();
  }
  Model model;
  model.maps[0]["k"] = "v";
  if (!c.holds(store, model, "after the refused opens")) return;
  store.close();
  if (c.good(c.open(directory, store), "store_open after close")) {
    c.holds(store, model, "after close and open");
  }
}

}  // namespace

const std::vector<Check>& durability_checks() {
  static const std::vector<Check> kChecks = {
      {"reopen", reopen},
      {"close_without_sync", close_without_sync},
      {"kill_while_writing", kill_while_writing},
      {"store_in_use", in_use},
  };
  return kChecks;
}

}  // namespace mortise::conformance
