#include <unordered_map>

#include "host/loader/checked_parts.h"

namespace mortise::loader {
namespace {

struct CheckedWatch;

// One match() call as its sink sees it. Lives in the index, so that a late call is seen for what it
// is.
struct Match {
  CheckedWatch* index = nullptr;
  mortise_match_fn sink = nullptr;
  void* context = nullptr;
  size_t count = 0;
  bool running = false;
  std::unordered_map<uint64_t, uint32_t> last;  // The newest event handed out for each watcher.
};

struct CheckedWatch {
  const mortise_watch_v1* table;
  mortise_watch* real;
  Exclusive turn;
  std::unordered_set<uint64_t> watchers;
  Match match;
};

Handles<CheckedWatch>& handles() {
  static auto* all = new Handles<CheckedWatch>();
  return *all;
}

CheckedWatch& index_of(mortise_watch* p) {
  return handles().get(p, "host: a call on a watch index that does not exist");
}

constexpr char kTurn[] = "host: two [watch] calls at once, or one out of a sink";

mortise_status add(mortise_watch* p, uint64_t watcher, mortise_bytes key, mortise_bytes range_end,
                   mortise_error* error) {
  CheckedWatch& w = index_of(p);
  const Exclusive::Scope turn(w.turn, kTurn);
  MORTISE_CHECK(!w.watchers.contains(watcher),
                "host: watcher " + std::to_string(watcher) + " is in the index already");
  Lent key_copy, end_copy;
  const mortise_bytes k = key_copy.lend(key);
  const mortise_bytes e = end_copy.lend(range_end);
  const mortise_status status = w.table->add(w.real, watcher, k, e, error);
  check_status(status, false, "add");
  if (status == MORTISE_OK) w.watchers.insert(watcher);
  return status;
}

void remove(mortise_watch* p, uint64_t watcher) {
  CheckedWatch& w = index_of(p);
  const Exclusive::Scope turn(w.turn, kTurn);
  w.table->remove(w.real, watcher);
  w.watchers.erase(watcher);
}

void sink(void* context, uint64_t watcher, uint32_t event) {
  Match& m = *static_cast<Match*>(context);
  MORTISE_CHECK(m.running, "plugin: a match is reported after match() has returned");
  MORTISE_CHECK(event < m.count, "plugin: a match of an event that was not given");
  MORTISE_CHECK(m.index->watchers.contains(watcher),
                "plugin: a match for watcher " + std::to_string(watcher) + ", not in the index");
  const auto [it, first] = m.last.try_emplace(watcher, event);
  MORTISE_CHECK(first || it->second < event, "plugin: the events of a watcher do not ascend");
  it->second = event;
  m.sink(m.context, watcher, event);
}

void match(mortise_watch* p, const mortise_bytes* keys, size_t count, mortise_match_fn fn,
           void* context) {
  CheckedWatch& w = index_of(p);
  const Exclusive::Scope turn(w.turn, kTurn);
  w.match = Match{&w, fn, context, count, true, {}};
  w.table->match(w.real, keys, count, &sink, &w.match);
  w.match.running = false;
}

void destroy(mortise_watch* p) {
  auto w = handles().take(p, "host: destroy() of a watch index that does not exist");
  MORTISE_CHECK(!w->turn.taken(), "host: destroy() while another call runs");
  w->table->destroy(w->real);
}

struct Kind {
  using Table = mortise_watch_v1;
  static Table make(int slot, const Table& original);
};

template <int kSlot>
mortise_status create(const mortise_host* host, mortise_bytes config, mortise_watch** out,
                      mortise_error* error) {
  const mortise_watch_v1& table = Slots<Kind>::original(kSlot);
  mortise_watch* real = nullptr;
  const mortise_status status = table.create(host, config, &real, error);
  check_status(status, false, "create");
  MORTISE_CHECK((status == MORTISE_OK) == (real != nullptr),
                "plugin: create() and its handle do not agree");
  *out = nullptr;
  if (status != MORTISE_OK) return status;
  auto made = std::make_unique<CheckedWatch>();
  made->table = &table;
  made->real = real;
  handles().add(made.get());
  *out = reinterpret_cast<mortise_watch*>(made.release());
  return status;
}

Kind::Table Kind::make(int slot, const Table&) {
  static constexpr decltype(Table::create) kCreate[kCheckedTablesMax] = {
      &create<0>, &create<1>, &create<2>, &create<3>,
      &create<4>, &create<5>, &create<6>, &create<7>};
  Table t{};
  t.struct_size = sizeof(t);
  t.create = kCreate[slot];
  t.add = &add;
  t.remove = &remove;
  t.match = &match;
  t.destroy = &destroy;
  return t;
}

}  // namespace

const mortise_watch_v1* checked_watch(const mortise_watch_v1* table) {
  return Slots<Kind>::wrap(table);
}

}  // namespace mortise::loader
