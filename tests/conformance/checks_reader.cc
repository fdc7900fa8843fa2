// Readers: stable views, many at once, and the atomicity of what they see while others write.
#include <atomic>
#include <thread>

#include "tests/conformance/check.h"

namespace mortise::conformance {
namespace {

constexpr int kCells = 60;

std::string cell(int i) {
  char key[16];
  std::snprintf(key, sizeof(key), "cell%03d", i);
  return key;
}

// Sets every cell, in two keyspaces, to the text of `number`; commit `number` does just this.
std::vector<Op> set_all(uint64_t number) {
  std::vector<Op> ops;
  for (int i = 0; i < kCells; ++i) {
    const std::string value = std::to_string(number);
    if (number % 3 == 0) ops.push_back(del(0, cell(i)));
    ops.push_back(put(0, cell(i), value));
    ops.push_back(put(1, cell(i), value));
  }
  return ops;
}

// The number that all cells of the view hold, or 0 with a failure if they differ.
uint64_t read_number(Context& c, const Reader& reader, uint32_t flags) {
  std::string first;
  for (uint32_t keyspace = 0; keyspace < 2; ++keyspace) {
    Pairs pairs;
    if (!c.good(reader.scan(keyspace, "", "", flags, pairs), "scan beside a writer")) return 0;
    if (pairs.size() != kCells) {
      c.fail("a view beside a writer has " + std::to_string(pairs.size()) + " of " +
             std::to_string(kCells) + " pairs");
      return 0;
    }
    if (first.empty()) first = pairs[0].second;
    for (const auto& [key, value] : pairs) {
      if (value == first) continue;
      c.fail("one view holds commit " + first + " and commit " + value);
      return 0;
    }
  }
  return std::stoull(first);
}

void read_beside_writer(Context& c, Store& store, const std::atomic<uint64_t>& committed,
                        const std::atomic<bool>& done, uint32_t flags) {
  uint64_t last = 0;
  while (!done && !c.failed()) {
    const uint64_t floor = committed;
    Reader reader;
    if (!c.good(store.reader(reader), "reader_open beside a writer")) return;
    const uint64_t number = read_number(c, reader, flags);
    if (number == 0) return;
    REQUIRE(c, number >= floor,
            "a reader opened after commit " + std::to_string(floor) + " sees commit " +
                std::to_string(number));
    REQUIRE(c, number >= last, "a later reader sees an older state");
    last = number;
    if (number % 8 == 0) std::this_thread::yield();
    REQUIRE(c, read_number(c, reader, flags) == number, "a view changed while it was open");
    std::string value;
    if (!c.good(reader.get(1, cell(7), value), "get beside a writer")) return;
    REQUIRE(c, value == std::to_string(number), "get and scan of one view differ");
  }
}

void stable_beside_writer(Context& c) {
  Store store;
  if (!c.good(c.open(c.fresh_directory("store"), store), "store_open")) return;
  if (!c.good(store.commit(set_all(1), 1), "commit")) return;
  const uint64_t count = c.options().quick ? 300 : 1500;
  std::atomic<uint64_t> committed{1};
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    const uint32_t flags = i == 1 ? uint32_t{MORTISE_CURSOR_REVERSE} : 0u;
    threads.emplace_back([&, flags] { read_beside_writer(c, store, committed, done, flags); });
  }
  threads.emplace_back([&] {
    while (!done && !c.failed()) {
      const uint64_t floor = committed;
      uint64_t durable = 0;
      if (!c.good(store.sync(durable), "sync beside a writer")) return;
      REQUIRE(c, durable >= floor, "sync() answers less than what was committed before it");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  for (uint64_t i = 2; i <= count && !c.failed(); ++i) {
    if (!c.good(store.commit(set_all(i), i), "commit beside readers")) break;
    committed = i;
  }
  done = true;
  for (std::thread& t : threads) t.join();
}

void old_views(Context& c) {
  Store store;
  if (!c.good(c.open(c.fresh_directory("store"), store), "store_open")) return;
  Model model;
  std::vector<std::pair<Reader, Model>> views;
  for (uint64_t index = 1; index <= 40; ++index) {
    const std::vector<Op> ops = history(c.options().seed, index);
    if (!c.good(store.commit(ops, index), "commit")) return;
    model.apply(ops);
    Reader reader;
    if (!c.good(store.reader(reader), "reader_open")) return;
    views.emplace_back(std::move(reader), model);
    uint64_t durable = 0;
    if (index % 10 == 0 && !c.good(store.sync(durable), "sync")) return;
  }
  const std::vector<Op> all = {del_range(0, "a", ""), del_range(1, "a", ""), del_range(2, "a", "")};
  if (!c.good(store.commit(all, 41), "commit")) return;
  for (const auto& [reader, wanted] : views) {
    Model found;
    if (!c.good(reader.read_all(found), "scan of an old view")) return;
    if (!c.equal(found, wanted, "an old view")) return;
  }
}

void many_at_once(Context& c) {
  Store store;
  if (!c.good(c.open(c.fresh_directory("store"), store), "store_open")) return;
  Model model;
  std::vector<Op> ops;
  for (int i = 0; i < 50; ++i) ops.push_back(put(0, cell(i), std::to_string(i)));
  if (!c.good(store.commit(ops, 1), "commit")) return;
  model.apply(ops);
  constexpr int kReaders = 300;
  constexpr int kCursors = 3;
  std::vector<Reader> readers(kReaders);
  std::vector<Cursor> cursors(kReaders * kCursors);
  for (int i = 0; i < kReaders; ++i) {
    if (!c.good(store.reader(readers[i]), "reader " + std::to_string(i))) return;
    for (int j = 0; j < kCursors; ++j) {
      const uint32_t flags = j == 1 ? uint32_t{MORTISE_CURSOR_REVERSE} : 0u;
      Cursor& cursor = cursors[i * kCursors + j];
      if (!c.good(readers[i].cursor(0, flags, cursor), "cursor_open")) return;
      if (!c.good(cursor.seek("", ""), "cursor_seek")) return;
    }
  }
  const Pairs forward = model.scan(0, "", "", 0);
  const Pairs backward = model.scan(0, "", "", MORTISE_CURSOR_REVERSE);
  std::string key, value;
  for (size_t step = 0; step < forward.size(); ++step) {
    for (size_t i = 0; i < cursors.size(); ++i) {
      if (!c.good(cursors[i].next(key, value), "cursor_next")) return;
      const auto& wanted = (i % kCursors == 1 ? backward : forward)[step];
      REQUIRE(c, key == wanted.first && value == wanted.second, "cursors disturb each other");
    }
  }
  cursors.clear();
  readers.clear();
}

// A reader and its cursors may move between threads.
void reader_moves(Context& c) {
  Store store;
  if (!c.good(c.open(c.fresh_directory("store"), store), "store_open")) return;
  std::vector<Op> ops;
  for (int i = 0; i < 40; ++i) ops.push_back(put(0, cell(i), std::to_string(i)));
  if (!c.good(store.commit(ops, 1), "commit")) return;
  for (int round = 0; round < 20; ++round) {
    Reader reader;
    Cursor cursor;
    std::thread([&] {
      if (!c.good(store.reader(reader), "reader_open")) return;
      if (!c.good(reader.cursor(0, 0, cursor), "cursor_open")) return;
      c.good(cursor.seek("", ""), "cursor_seek");
    }).join();
    std::thread([&] {
      std::string key, value;
      for (int i = 0; i < 40 && !c.failed(); ++i) {
        if (!c.good(cursor.next(key, value), "cursor_next")) return;
        REQUIRE(c, key == cell(i), "a cursor on another thread gives " + show(key));
      }
    }).join();
    std::thread([&] {
      cursor.close();
      reader.close();
    }).join();
    if (c.failed()) return;
  }
}

// What a reader or a cursor has handed out stays until its own next call, whatever others on the
// same thread do meanwhile, and whatever is committed.
void spans_stay(Context& c) {
  Store store;
  if (!c.good(c.open(c.fresh_directory("store"), store), "store_open")) return;
  if (!c.good(store.commit(set_all(1), 1, true), "commit")) return;
  Reader first, second;
  Cursor one, two;
  if (!c.good(store.reader(first), "reader_open")) return;
  if (!c.good(first.cursor(0, 0, one), "cursor_open") || !c.good(one.seek("", ""), "cursor_seek"))
    return;
  std::string_view value, key, pair_value;
  if (!c.good(first.get_span(0, cell(3), value), "get")) return;
  if (!c.good(one.next_spans(key, pair_value), "cursor_next")) return;
  if (!c.good(store.commit(set_all(2), 2, true), "commit")) return;
  if (!c.good(store.reader(second), "reader_open")) return;
  if (!c.good(second.cursor(1, 0, two), "cursor_open") || !c.good(two.seek("", ""), "cursor_seek"))
    return;
  std::string other, other_value;
  for (int i = 0; i < kCells; ++i) {
    if (!c.good(second.get(i % 2, cell(i), other), "get")) return;
    REQUIRE(c, other == "2", "a reader opened after commit 2 sees " + show(other));
    if (!c.good(two.next(other, other_value), "cursor_next")) return;
  }
  two.close();
  second.close();
  REQUIRE(c, value == "1", "a value changed with another reader's calls: " + show(value));
  REQUIRE(c, key == cell(0) && pair_value == "1",
          "a pair changed with another cursor's calls: " + show(key) + " " + show(pair_value));
}

}  // namespace

const std::vector<Check>& reader_checks() {
  static const std::vector<Check> kChecks = {
      {"stable_beside_writer", stable_beside_writer},
      {"old_views", old_views},
      {"many_readers", many_at_once},
      {"reader_moves_threads", reader_moves},
      {"spans_stay", spans_stay},
  };
  return kChecks;
}

}  // namespace mortise::conformance
