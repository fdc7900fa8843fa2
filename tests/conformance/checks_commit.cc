// What one commit does, and the position that it records.
#include "tests/conformance/check.h"

namespace mortise::conformance {
namespace {

bool open_new(Context& c, Store& store) {
  return c.good(c.open(c.fresh_directory("store"), store), "store_open");
}

// Commits each list in turn and compares the store with the model after each.
void run_commits(Context& c, const std::vector<std::vector<Op>>& commits) {
  Store store;
  if (!open_new(c, store)) return;
  Model model;
  uint64_t index = 0;
  for (const auto& ops : commits) {
    ++index;
    if (!c.good(store.commit(ops, index), "commit " + std::to_string(index))) return;
    model.apply(ops);
    if (!c.holds(store, model, "after commit " + std::to_string(index))) return;
    if (!c.position(store, index, 1, "after commit " + std::to_string(index))) return;
  }
}

void op_order(Context& c) {
  run_commits(c, {
                     {put(0, "k", "1"), put(0, "k", "2")},
                     {del(0, "k"), put(0, "k", "3")},
                     {put(0, "k", "4"), del(0, "k")},
                     {del(0, "k"), del(0, "absent")},
                     {put(0, "x", "1"), put(1, "x", "2"), del(0, "x")},
                     {put(0, "a", ""), put(0, "b", ""), put(0, "a", "again"), del(0, "b")},
                 });
}

void delete_range(Context& c) {
  const std::vector<Op> fill = {put(0, "a", "1"), put(0, "b", "2"), put(0, "c", "3"),
                                put(0, "d", "4"), put(1, "b", "other")};
  run_commits(c, {
                     fill,
                     {del_range(0, "b", "d")},
                     fill,
                     {del_range(0, "b", "")},
                     fill,
                     {del_range(0, std::string(1, '\0'), "")},
                     fill,
                     {del_range(0, "c", "c"), del_range(0, "d", "b")},
                     {del_range(0, "a", "c"), put(0, "b", "after the range")},
                     {put(0, "bb", "before the range"), del_range(0, "b", "c"), put(0, "ba", "")},
                     {put(0, "m", "1"), del_range(0, "a", ""), put(0, "n", "2"),
                      del_range(0, "n", "o"), put(0, "n", "3")},
                     {del_range(0, "zz", "zzz")},
                 });
}

void applied_position(Context& c) {
  Store store;
  const std::string directory = c.fresh_directory("store");
  if (!c.good(c.open(directory, store), "store_open")) return;
  if (!c.position(store, 0, 0, "a new store")) return;
  const std::vector<std::pair<uint64_t, uint64_t>> positions = {
      {1, 1}, {1, 1}, {5, 1}, {5, 2}, {1000, 7}, {uint64_t{1} << 40, uint64_t{1} << 33}};
  for (const auto& [index, term] : positions) {
    if (!c.good(store.commit({}, index, false, term), "a commit without operations")) return;
    if (!c.position(store, index, term, "a commit without operations")) return;
  }
  uint64_t durable = 0;
  if (!c.good(store.sync(durable), "sync")) return;
  REQUIRE(c, durable == positions.back().first, "sync() answers " + std::to_string(durable));
  store.close();
  if (!c.good(c.open(directory, store), "store_open again")) return;
  c.position(store, positions.back().first, positions.back().second, "after reopen");
}

void refused_commits(Context& c) {
  Store store;
  if (!open_new(c, store)) return;
  Model model;
  const std::vector<Op> first = {put(0, "k", "v")};
  if (!c.good(store.commit(first, 10), "commit")) return;
  model.apply(first);
  const std::vector<std::pair<std::string, Op>> bad = {
      {"an unknown kind", {99, 0, "a", "b"}},
      {"a keyspace past the last", put(MORTISE_KEYSPACE_COUNT_MAX, "a", "b")},
      {"an empty key", put(0, "", "b")},
      {"a key over the limit", put(0, std::string(MORTISE_KEY_BYTES_MAX + 1, 'k'), "")},
  };
  for (const auto& [what, op] : bad) {
    const Outcome outcome = store.commit({put(0, "other", "x"), op, del(0, "k")}, 11);
    if (!c.answers(outcome, MORTISE_E_INVALID, what)) return;
    if (!c.holds(store, model, "after " + what)) return;
    if (!c.position(store, 10, 1, "after " + what)) return;
  }
  const std::vector<Op> last = {put(0, "k", "w")};
  if (!c.good(store.commit(last, 11), "a good commit after refused ones")) return;
  model.apply(last);
  c.holds(store, model, "at the end");
}

void large_commit(Context& c) {
  Store store;
  if (!open_new(c, store)) return;
  std::vector<Op> ops;
  Model model;
  const int count = c.options().quick ? 5000 : 20000;
  for (int i = 0; i < count; ++i) {
    ops.push_back(put(static_cast<uint32_t>(c.below(4)), random_bytes(c.random(), 1 + c.below(40)),
                      random_bytes(c.random(), c.below(300))));
  }
  if (!c.good(store.commit(ops, 1), "commit")) return;
  model.apply(ops);
  c.holds(store, model, "after one commit of many operations");
}

}  // namespace

const std::vector<Check>& commit_checks() {
  static const std::vector<Check> kChecks = {
      {"op_order", op_order},
      {"delete_range", delete_range},
      {"applied_position", applied_position},
      {"refused_commits", refused_commits},
      {"large_commit", large_commit},
  };
  return kChecks;
}

}  // namespace mortise::conformance
