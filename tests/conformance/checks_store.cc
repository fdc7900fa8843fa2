// Housekeeping: options, foreign files, sizes, reclaim, checkpoint, replace.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/conformance/check.h"

namespace mortise::conformance {
namespace {

bool open_new(Context& c, Store& store) {
  return c.good(c.open(c.fresh_directory("store"), store), "store_open");
}

void bad_options(Context& c) {
  const auto try_open = [&c](const std::string& config, const std::string& named) {
    Store store;
    const Outcome outcome =
        Store::open(c.table(), c.options().host, c.fresh_directory("options"), config, store);
    if (!c.answers(outcome, MORTISE_E_INVALID, "configuration " + config)) return;
    REQUIRE(c, outcome.message.find(named) != std::string::npos,
            "configuration " + config + ": the message does not name it: " + outcome.message);
  };
  try_open(R"({"no_such_option": 1})", "no_such_option");
  try_open(R"({"another_unknown_one": {"a": [1, 2]}})", "another_unknown_one");
  try_open("[1]", "");
  try_open("{", "");
  Store store;
  for (const char* config : {"", "{}", " { } "}) {
    const Outcome outcome =
        Store::open(c.table(), c.options().host, c.fresh_directory("none"), config, store);
    if (!c.good(outcome, std::string("configuration \"") + config + "\"")) return;
    store.close();
  }
}

void foreign_files(Context& c) {
  const std::string directory = c.fresh_directory("foreign");
  const std::string file = directory + "/letters-from-home.txt";
  std::ofstream(file) << "Dear all";
  Store store;
  const Outcome outcome = c.open(directory, store);
  if (!c.answers(outcome, MORTISE_E_INVALID, "a directory of someone else's files")) return;
  REQUIRE(c, outcome.message.find("foreign") != std::string::npos,
          "the message names no path: " + outcome.message);
  std::string text;
  std::getline(std::ifstream(file), text);
  REQUIRE(c, text == "Dear all", "the foreign file was changed");
  const Outcome absent = c.open(c.path_in("no-such-directory"), store);
  REQUIRE(c, !absent.ok() && !absent.message.empty(), "a directory that is not there is opened");
}

void size_and_reclaim(Context& c) {
  Store store;
  mortise_store_size empty{}, full{}, after{};
  if (!open_new(c, store)) return;
  uint64_t durable = 0;
  if (!c.good(store.size(empty), "size")) return;
  const size_t megabytes = c.options().quick ? 8 : 32;
  uint64_t index = 0;
  for (size_t i = 0; i < megabytes; ++i) {
    std::vector<Op> ops;
    for (int j = 0; j < 64; ++j) {
      ops.push_back(put(0, "k" + std::to_string(i * 64 + static_cast<size_t>(j)),
                        random_bytes(c.random(), 16384)));
    }
    if (!c.good(store.commit(ops, ++index), "commit")) return;
  }
  if (!c.good(store.sync(durable), "sync") || !c.good(store.size(full), "size")) return;
  REQUIRE(c, full.in_use_bytes <= full.allocated_bytes, "more in use than allocated");
  REQUIRE(c, full.allocated_bytes >= empty.allocated_bytes + (megabytes << 19),
          "allocated " + std::to_string(full.allocated_bytes) + " after " +
              std::to_string(megabytes) + " MiB were written");
  if (!c.good(store.commit({del_range(0, "k", "")}, ++index), "commit")) return;
  if (!c.good(store.sync(durable), "sync") || !c.good(store.reclaim(), "reclaim")) return;
  if (!c.good(store.size(after), "size")) return;
  REQUIRE(c, after.in_use_bytes <= after.allocated_bytes, "more in use than allocated");
  REQUIRE(c,
          after.allocated_bytes <= full.allocated_bytes / 2 ||
              after.in_use_bytes <= full.in_use_bytes / 2,
          "after everything was deleted and reclaimed: allocated " +
              std::to_string(after.allocated_bytes) + ", in use " +
              std::to_string(after.in_use_bytes) + "; before: " +
              std::to_string(full.allocated_bytes) + ", " + std::to_string(full.in_use_bytes));
}

void reclaim_beside_readers(Context& c) {
  Store store;
  if (!open_new(c, store)) return;
  Model model, old;
  uint64_t index = 0;
  Reader reader;
  for (; index < 150;) {
    ++index;
    const std::vector<Op> ops = history(c.options().seed + 5, index);
    if (!c.good(store.commit(ops, index), "commit")) return;
    model.apply(ops);
    if (index != 100) continue;
    if (!c.good(store.reader(reader), "reader_open")) return;
    old = model;
  }
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (uint64_t more = 0; (!done || more < 50) && !c.failed(); ++more) {
      ++index;
      const std::vector<Op> ops = history(c.options().seed + 5, index);
      if (!c.good(store.commit(ops, index), "commit beside reclaim")) return;
      model.apply(ops);
    }
  });
  for (int i = 0; i < 3; ++i) c.good(store.reclaim(), "reclaim beside readers and a writer");
  done = true;
  writer.join();
  Model found;
  if (c.failed() || !c.good(reader.read_all(found), "scan of a view that is older")) return;
  if (!c.equal(found, old, "a view that was open during reclaim()")) return;
  reader.close();
  if (!c.good(store.reclaim(), "reclaim")) return;
  c.holds(store, model, "after reclaim()");
}

void sync_beside_commits(Context& c) {
  const std::string directory = c.fresh_directory("store");
  const uint64_t seed = c.options().seed + 6;
  std::atomic<uint64_t> committed{0};
  uint64_t durable = 0;
  Store store;
  if (!c.good(c.open(directory, store), "store_open")) return;
  std::thread syncer([&] {
    for (int i = 0; i < 30 && !c.failed(); ++i) {
      const uint64_t floor = committed;
      uint64_t index = 0;
      if (!c.good(store.sync(index), "sync beside commits")) return;
      REQUIRE(
          c, index >= floor,
          "sync() answers " + std::to_string(index) + ", committed was " + std::to_string(floor));
      REQUIRE(c, index >= durable, "sync() goes back");
      durable = index;
    }
  });
  for (uint64_t i = 1; i <= 400 && !c.failed(); ++i) {
    if (!c.good(store.commit(history(seed, i), i), "commit beside sync")) break;
    committed = i;
  }
  syncer.join();
  store.close();
  uint64_t index = 0, term = 0;
  if (c.failed() || !c.good(c.open(directory, store), "store_open again")) return;
  if (!c.good(store.applied(index, term), "applied")) return;
  REQUIRE(c, index >= durable, "less than what was synced is there");
  Model model;
  for (uint64_t i = 1; i <= index; ++i) model.apply(history(seed, i));
  c.holds(store, model, "after reopen at " + std::to_string(index));
}

void checkpoint(Context& c) {
  if (!MORTISE_HAS(c.table(), mortise_backend_v1, checkpoint)) return c.skip("not offered");
  Store store;
  if (!open_new(c, store)) return;
  const uint64_t seed = c.options().seed + 7;
  std::atomic<uint64_t> committed{0};
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (uint64_t i = 1; (i <= 100 || !done) && !c.failed(); ++i) {
      if (!c.good(store.commit(history(seed, i), i), "commit beside checkpoint")) return;
      committed = i;
    }
  });
  while (committed < 50 && !c.failed()) std::this_thread::yield();
  const uint64_t floor = committed;
  const std::string copy = c.path_in("copy");
  c.good(store.checkpoint(copy), "checkpoint");
  done = true;
  writer.join();
  Store opened;
  uint64_t index = 0, term = 0;
  if (c.failed() || !c.good(c.open(copy, opened), "store_open of the copy")) return;
  if (!c.good(opened.applied(index, term), "applied")) return;
  REQUIRE(
      c, index >= floor && index <= committed,
      "the copy is at " + std::to_string(index) + ", the store was at " + std::to_string(floor));
  Model model;
  for (uint64_t i = 1; i <= index; ++i) model.apply(history(seed, i));
  if (!c.holds(opened, model, "the copy")) return;
  if (!c.good(opened.commit({put(0, "only", "in the copy")}, index + 1), "commit")) return;
  for (uint64_t i = index + 1; i <= committed; ++i) model.apply(history(seed, i));
  c.holds(store, model, "the store after its copy was written to");
}

void replace(Context& c) {
  if (!MORTISE_HAS(c.table(), mortise_backend_v1, replace)) return c.skip("not offered");
  const std::string directory = c.fresh_directory("store");
  Store store;
  if (!c.good(c.open(directory, store), "store_open")) return;
  Model before, after;
  for (uint64_t i = 1; i <= 60; ++i) {
    const std::vector<Op> ops = history(c.options().seed + 8, i);
    if (!c.good(store.commit(ops, i, false, 4), "commit")) return;
    before.apply(ops);
    after.apply(history(c.options().seed + 9, i));
  }
  after.maps[15]["last"] = random_bytes(c.random(), 100000);
  Reader reader;
  if (!c.good(store.reader(reader), "reader_open")) return;
  const Outcome broken = store.replace(after, 7, 5, MORTISE_E_IO);
  REQUIRE(c, !broken.ok(), "replace() of a source that fails succeeds");
  if (!c.holds(store, before, "after a source that failed")) return;
  if (!c.position(store, 60, 4, "after a source that failed")) return;
  if (!c.good(store.replace(after, 7, 5), "replace")) return;
  if (!c.position(store, 7, 5, "after replace()") || !c.holds(store, after, "after replace()"))
    return;
  Model found;
  if (!c.good(reader.read_all(found), "scan of an older view")) return;
  if (!c.equal(found, before, "a view from before replace()")) return;
  reader.close();
  store.close();
  if (!c.good(c.open(directory, store), "store_open again")) return;
  if (!c.position(store, 7, 5, "after reopen") || !c.holds(store, after, "after reopen")) return;
  const std::vector<Op> ops = {put(0, "more", "x"), del_range(1, "k2", "k3")};
  if (!c.good(store.commit(ops, 8, true, 5), "commit after replace()")) return;
  after.apply(ops);
  if (!c.holds(store, after, "after a commit on top")) return;
  if (!c.good(store.replace(Model(), 9, 5), "replace() by nothing")) return;
  c.holds(store, Model(), "after replace() by nothing");
}

}  // namespace

const std::vector<Check>& store_checks() {
  static const std::vector<Check> kChecks = {
      {"bad_options", bad_options},
      {"foreign_files", foreign_files},
      {"size_and_reclaim", size_and_reclaim},
      {"reclaim_beside_readers", reclaim_beside_readers},
      {"sync_beside_commits", sync_beside_commits},
      {"checkpoint", checkpoint},
      {"replace", replace},
  };
  return kChecks;
}

}  // namespace mortise::conformance
