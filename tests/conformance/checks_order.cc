// Order of keys, sizes of keys and values, and iteration.
#include <algorithm>

#include "tests/conformance/check.h"

namespace mortise::conformance {
namespace {

// A new store in a new directory with `content` in it, at position 1.
bool make_store(Context& c, const Model& content, Store& store) {
  if (!c.good(c.open(c.fresh_directory("store"), store), "store_open")) return false;
  std::vector<Op> ops;
  for (uint32_t k = 0; k < MORTISE_KEYSPACE_COUNT_MAX; ++k) {
    for (const auto& [key, value] : content.maps[k]) ops.push_back(put(k, key, value));
  }
  std::shuffle(ops.begin(), ops.end(), c.random());
  return c.good(store.commit(ops, 1), "commit");
}

// Every bound out of `bounds` with every other, both ways: the cursor and the model agree.
void compare_scans(Context& c, const Reader& reader, const Model& model, uint32_t keyspace,
                   const std::vector<std::string>& bounds, uint32_t flags) {
  for (const std::string& lower : bounds) {
    for (const std::string& upper : bounds) {
      Pairs found;
      const std::string what =
          "scan [" + show(lower) + ", " + show(upper) + ") flags " + std::to_string(flags);
      if (!c.good(reader.scan(keyspace, lower, upper, flags, found), what)) return;
      if (!c.equal(found, model.scan(keyspace, lower, upper, flags), what)) return;
    }
  }
}

std::vector<std::string> awkward_keys() {
  using std::string_literals::operator""s;
  return {"\0"s,        "\0\0"s,     "\0\xff"s,       "\x01"s,    "a"s,        "a\0"s,
          "a\0\0"s,     "a\0b"s,     "a\x01"s,        "aa"s,      "ab"s,       "a\xff"s,
          "a\xff\xff"s, "b"s,        "\x7f"s,         "\x80"s,    "\xfe\xff"s, "\xff"s,
          "\xff\0"s,    "\xff\xff"s, "\xff\xff\xff"s, "\xc3\xa4"s};
}

void order_of_bytes(Context& c) {
  Model model;
  for (const std::string& key : awkward_keys()) model.maps[3][key] = "value of " + key;
  Store store;
  Reader reader;
  if (!make_store(c, model, store) || !c.good(store.reader(reader), "reader_open")) return;
  std::vector<std::string> bounds = awkward_keys();
  bounds.emplace_back();
  compare_scans(c, reader, model, 3, bounds, 0);
  compare_scans(c, reader, model, 3, bounds, MORTISE_CURSOR_REVERSE);
  for (const auto& [key, wanted] : model.maps[3]) {
    std::string value;
    if (!c.good(reader.get(3, key, value), "get " + show(key))) return;
    REQUIRE(c, value == wanted, "get " + show(key) + " gives " + show(value));
  }
}

void iteration_bounds(Context& c) {
  Model model;
  for (int i = 0; i < 300; i += 3) {
    char key[16];
    std::snprintf(key, sizeof(key), "key%04d", i);
    model.maps[0][key] = std::string(static_cast<size_t>(i % 7), 'v');
  }
  Store store;
  Reader reader;
  if (!make_store(c, model, store) || !c.good(store.reader(reader), "reader_open")) return;
  const std::vector<std::string> bounds = {"",        "a",       "key",     "key0000",
                                           "key0001", "key0003", "key0150", "key0151",
                                           "key0297", "key0298", "key1",    "z"};
  for (const uint32_t flags :
       {0u, uint32_t{MORTISE_CURSOR_REVERSE}, uint32_t{MORTISE_CURSOR_KEYS_ONLY},
        uint32_t{MORTISE_CURSOR_REVERSE | MORTISE_CURSOR_KEYS_ONLY},
        uint32_t{MORTISE_CURSOR_NO_CACHE}, 0x80000000u}) {
    compare_scans(c, reader, model, 0, bounds, flags);
  }
}

void long_keys(Context& c) {
  Model model;
  for (const size_t size :
       {size_t{400}, size_t{511}, size_t{512}, size_t{1024}, size_t{65536}, size_t{1048576}}) {
    const std::string prefix(size, 'p');
    for (const char* tail : {"", "a", "b", "ba", "\xff"}) model.maps[1][prefix + tail] = tail;
    std::string middle = prefix;
    middle[size / 2] = 'o';
    model.maps[1][middle] = "middle";
    middle[size / 2] = 'q';
    model.maps[1][middle] = "middle";
  }
  Store store;
  if (!make_store(c, model, store) || !c.holds(store, model, "after the commit")) return;
  Reader reader;
  if (!c.good(store.reader(reader), "reader_open")) return;
  const std::string big(1048576, 'p');
  compare_scans(c, reader, model, 1,
                {"", "p", std::string(1024, 'p'), std::string(65536, 'p') + "b", big, big + "b"},
                0);
  compare_scans(c, reader, model, 1, {"", std::string(512, 'p'), std::string(1025, 'p'), big + "a"},
                MORTISE_CURSOR_REVERSE);
  for (const auto& [key, wanted] : model.maps[1]) {
    std::string value;
    if (!c.good(reader.get(1, key, value), "get " + show(key))) return;
    REQUIRE(c, value == wanted, "get " + show(key));
    const Outcome absent = reader.get(1, key + "\x01", value);
    if (!c.answers(absent, MORTISE_E_NOT_FOUND, "get of a longer key")) return;
  }
  reader.close();
  const std::vector<Op> ops = {del(1, big + "a"), del_range(1, std::string(1024, 'p') + "a", big)};
  if (!c.good(store.commit(ops, 2), "commit")) return;
  model.apply(ops);
  c.holds(store, model, "after deletes of long keys");
}

void value_sizes(Context& c) {
  Model model;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{511}, size_t{4096}, size_t{65536},
                            size_t{1500000}, size_t{8} << 20}) {
    model.maps[2]["v" + std::to_string(size)] = random_bytes(c.random(), size);
  }
  Store store;
  if (!make_store(c, model, store) || !c.holds(store, model, "after the commit")) return;
  Reader reader;
  std::string value = "not empty";
  if (!c.good(store.reader(reader), "reader_open")) return;
  if (!c.good(reader.get(2, "v0", value), "get of an empty value")) return;
  REQUIRE(c, value.empty(), "an empty value reads as " + show(value));
  if (!c.good(reader.get(2, "v8388608", value), "get of 8 MiB")) return;
  REQUIRE(c, value == model.maps[2]["v8388608"], "8 MiB do not read as they were written");
}

void keyspaces(Context& c) {
  Model model;
  for (uint32_t k = 0; k < MORTISE_KEYSPACE_COUNT_MAX; ++k) {
    if (k != 7) model.maps[k]["same"] = "of " + std::to_string(k);
    if (k != 7) model.maps[k]["own" + std::to_string(k)] = "";
  }
  Store store;
  if (!make_store(c, model, store) || !c.holds(store, model, "sixteen keyspaces")) return;
  const std::vector<Op> ops = {del_range(8, "a", "")};
  if (!c.good(store.commit(ops, 2), "commit")) return;
  model.apply(ops);
  c.holds(store, model, "after all of keyspace 8 was deleted");
}

void cursor_reuse(Context& c) {
  Model model;
  for (char ch = 'a'; ch <= 'z'; ++ch) model.maps[0][std::string(1, ch)] = std::string(3, ch);
  Store store;
  Reader reader;
  Cursor cursor;
  if (!make_store(c, model, store) || !c.good(store.reader(reader), "reader_open")) return;
  for (const uint32_t flags : {0u, uint32_t{MORTISE_CURSOR_REVERSE}}) {
    if (!c.good(reader.cursor(0, flags, cursor), "cursor_open")) return;
    const std::pair<const char*, const char*> ranges[] = {
        {"", ""}, {"m", "q"}, {"x", "c"}, {"c", "c"}, {"", "b"}, {"z", ""}, {"zz", ""}, {"", "a"}};
    for (int round = 0; round < 40; ++round) {
      const auto& [lower, upper] = ranges[c.below(std::size(ranges))];
      const Pairs wanted = model.scan(0, lower, upper, flags);
      const size_t steps = c.below(wanted.size() + 1);
      if (!c.good(cursor.seek(lower, upper), "cursor_seek")) return;
      std::string key, value;
      for (size_t i = 0; i < steps; ++i) {
        if (!c.good(cursor.next(key, value), "cursor_next")) return;
        REQUIRE(c, key == wanted[i].first && value == wanted[i].second, "pair " + show(key));
      }
      if (steps < wanted.size()) continue;
      for (int i = 0; i < 3; ++i) {
        if (!c.answers(cursor.next(key, value), MORTISE_E_NOT_FOUND, "at the end")) return;
      }
    }
  }
}

}  // namespace

const std::vector<Check>& order_checks() {
  static const std::vector<Check> kChecks = {
      {"order_of_bytes", order_of_bytes}, {"iteration_bounds", iteration_bounds},
      {"long_keys", long_keys},           {"value_sizes", value_sizes},
      {"keyspaces", keyspaces},           {"cursor_reuse", cursor_reuse},
  };
  return kChecks;
}

}  // namespace mortise::conformance
