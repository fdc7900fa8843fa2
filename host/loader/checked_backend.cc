#include "host/loader/checked_parts.h"

namespace mortise::loader {
namespace {

struct CheckedStore {
  const mortise_backend_v1* table;
  mortise_backend* real;
  std::atomic<int> running{0};
  std::atomic<int> readers{0};
  std::atomic<bool> failed{false};  // A commit or a replace has failed; no more may follow.
  std::atomic<uint64_t> last_index{0};
  Exclusive apply;
  Exclusive sync;
  Exclusive reclaim;
};

struct CheckedReader {
  CheckedStore* store;
  mortise_reader* real;
  int cursors = 0;
  Exclusive turn;  // One thread at a time for the reader and its cursors.
  Lent value;
};

struct CheckedCursor {
  CheckedReader* reader;
  mortise_cursor* real;
  uint32_t flags;
  bool positioned = false;
  bool ended = false;
  Lent key;
  Lent value;
};

template <typename Object>
Handles<Object>& handles() {
  static auto* all = new Handles<Object>();
  return *all;
}

CheckedStore& store(mortise_backend* p) {
  return handles<CheckedStore>().get(p, "host: a call on a store that is not open");
}
CheckedReader& reader(mortise_reader* p) {
  return handles<CheckedReader>().get(p, "host: a call on a reader that is not open");
}
CheckedCursor& cursor(mortise_cursor* p) {
  return handles<CheckedCursor>().get(p, "host: a call on a cursor that is not open");
}

void check_keyspace(uint32_t keyspace) {
  MORTISE_CHECK(keyspace < MORTISE_KEYSPACE_COUNT_MAX,
                "host: keyspace " + std::to_string(keyspace) + " is past the largest");
}

void check_key(mortise_bytes key) {
  MORTISE_CHECK(key.size != 0 && key.size <= MORTISE_KEY_BYTES_MAX && key.data != nullptr,
                "host: a key of " + std::to_string(key.size) + " bytes");
}

void check_error(const mortise_error* error) {
  MORTISE_CHECK(error == nullptr || error->struct_size >= sizeof(mortise_error),
                "host: a mortise_error without its size");
}

void store_close(mortise_backend* p) {
  auto s = handles<CheckedStore>().take(p, "host: store_close() of a store that is not open");
  MORTISE_CHECK(s->readers == 0, "host: store_close() with open readers");
  MORTISE_CHECK(s->running == 0, "host: store_close() while another call runs");
  s->table->store_close(s->real);
}

mortise_status commit(mortise_backend* p, const mortise_commit_request* request,
                      mortise_error* error) {
  CheckedStore& s = store(p);
  const Running running(s.running);
  const Exclusive::Scope turn(s.apply, "host: two [apply] calls at once on one store");
  check_error(error);
  MORTISE_CHECK(!s.failed, "host: commit() after a commit that failed");
  MORTISE_CHECK(request->struct_size >= sizeof(*request),
                "host: a commit request without its size");
  MORTISE_CHECK(request->applied_index >= s.last_index, "host: the applied index goes back from " +
                                                            std::to_string(s.last_index) + " to " +
                                                            std::to_string(request->applied_index));
  const mortise_status status = s.table->commit(s.real, request, error);
  check_status(status, false, "commit");
  if (status == MORTISE_OK) s.last_index = request->applied_index;
  if (status != MORTISE_OK && status != MORTISE_E_INVALID) s.failed = true;
  return status;
}

mortise_status sync(mortise_backend* p, uint64_t* index, mortise_error* error) {
  CheckedStore& s = store(p);
  const Running running(s.running);
  const Exclusive::Scope turn(s.sync, "host: two sync() calls at once on one store");
  check_error(error);
  const uint64_t before = s.last_index;
  const mortise_status status = s.table->sync(s.real, index, error);
  check_status(status, false, "sync");
  MORTISE_CHECK(
      status != MORTISE_OK || s.apply.taken() || *index >= before || s.last_index < before,
      "plugin: sync() answers " + std::to_string(*index) + ", commits before it reached " +
          std::to_string(before));
  return status;
}

mortise_status applied(mortise_backend* p, uint64_t* index, uint64_t* term, mortise_error* error) {
  CheckedStore& s = store(p);
  const Running running(s.running);
  check_error(error);
  const mortise_status status = s.table->applied(s.real, index, term, error);
  check_status(status, false, "applied");
  return status;
}

mortise_status reader_open(mortise_backend* p, mortise_reader** out, mortise_error* error) {
  CheckedStore& s = store(p);
  const Running running(s.running);
  check_error(error);
  mortise_reader* real = nullptr;
  const mortise_status status = s.table->reader_open(s.real, &real, error);
  check_status(status, false, "reader_open");
  MORTISE_CHECK((status == MORTISE_OK) == (real != nullptr),
                "plugin: reader_open() and its handle do not agree");
  *out = nullptr;
  if (status != MORTISE_OK) return status;
  ++s.readers;
  auto made = std::make_unique<CheckedReader>();
  made->store = &s;
  made->real = real;
  handles<CheckedReader>().add(made.get());
  *out = reinterpret_cast<mortise_reader*>(made.release());
  return status;
}

void reader_close(mortise_reader* p) {
  auto r = handles<CheckedReader>().take(p, "host: reader_close() of a reader that is not open");
  CheckedStore& s = *r->store;
  const Running running(s.running);
  {
    const Exclusive::Scope turn(r->turn, "host: two calls at once on one reader");
    MORTISE_CHECK(r->cursors == 0, "host: reader_close() with open cursors");
    s.table->reader_close(r->real);
  }
  --s.readers;
}

mortise_status get(mortise_reader* p, uint32_t keyspace, mortise_bytes key, mortise_bytes* value,
                   mortise_error* error) {
  CheckedReader& r = reader(p);
  const Running running(r.store->running);
  const Exclusive::Scope turn(r.turn, "host: two calls at once on one reader");
  check_error(error);
  check_keyspace(keyspace);
  check_key(key);
  mortise_bytes found{};
  const mortise_status status = r.store->table->get(r.real, keyspace, key, &found, error);
  check_status(status, true, "get");
  r.value.end();  // Only now: the key may have been the span that it gave.
  if (status == MORTISE_OK) *value = r.value.lend(found);
  return status;
}

mortise_status cursor_open(mortise_reader* p, uint32_t keyspace, uint32_t flags,
                           mortise_cursor** out, mortise_error* error) {
  CheckedReader& r = reader(p);
  const Running running(r.store->running);
  const Exclusive::Scope turn(r.turn, "host: two calls at once on one reader");
  check_error(error);
  check_keyspace(keyspace);
  mortise_cursor* real = nullptr;
  const mortise_status status = r.store->table->cursor_open(r.real, keyspace, flags, &real, error);
  check_status(status, false, "cursor_open");
  MORTISE_CHECK((status == MORTISE_OK) == (real != nullptr),
                "plugin: cursor_open() and its handle do not agree");
  *out = nullptr;
  if (status != MORTISE_OK) return status;
  ++r.cursors;
  auto made = std::make_unique<CheckedCursor>();
  made->reader = &r;
  made->real = real;
  made->flags = flags;
  handles<CheckedCursor>().add(made.get());
  *out = reinterpret_cast<mortise_cursor*>(made.release());
  return status;
}

mortise_status cursor_seek(mortise_cursor* p, mortise_bytes lower, mortise_bytes upper,
                           mortise_error* error) {
  CheckedCursor& c = cursor(p);
  CheckedReader& r = *c.reader;
  const Running running(r.store->running);
  const Exclusive::Scope turn(r.turn, "host: two calls at once on one reader");
  check_error(error);
  // The bounds may be spans that this cursor gave: they end only when the call is over. The plugin
  // gets copies that end with the call, so that one which keeps the pointers is found out.
  Lent lower_copy, upper_copy;
  const mortise_bytes low = lower_copy.lend(lower);
  const mortise_bytes high = upper_copy.lend(upper);
  const mortise_status status = r.store->table->cursor_seek(c.real, low, high, error);
  check_status(status, false, "cursor_seek");
  c.key.end();
  c.value.end();
  c.positioned = status == MORTISE_OK;
  c.ended = false;
  return status;
}

mortise_status cursor_next(mortise_cursor* p, mortise_bytes* key, mortise_bytes* value,
                           mortise_error* error) {
  CheckedCursor& c = cursor(p);
  CheckedReader& r = *c.reader;
  const Running running(r.store->running);
  const Exclusive::Scope turn(r.turn, "host: two calls at once on one reader");
  check_error(error);
  MORTISE_CHECK(c.positioned, "host: cursor_next() before cursor_seek()");
  c.key.end();
  c.value.end();
  mortise_bytes k{}, v{};
  const mortise_status status = r.store->table->cursor_next(c.real, &k, &v, error);
  check_status(status, true, "cursor_next");
  MORTISE_CHECK(!c.ended || status != MORTISE_OK, "plugin: cursor_next() goes on after its end");
  c.ended = status == MORTISE_E_NOT_FOUND;
  if (status != MORTISE_OK) return status;
  MORTISE_CHECK(k.size != 0, "plugin: cursor_next() gives an empty key");
  MORTISE_CHECK((c.flags & MORTISE_CURSOR_KEYS_ONLY) == 0 || v.size == 0,
                "plugin: cursor_next() gives a value with MORTISE_CURSOR_KEYS_ONLY");
  *key = c.key.lend(k);
  *value = c.value.lend(v);
  return status;
}

void cursor_close(mortise_cursor* p) {
  auto c = handles<CheckedCursor>().take(p, "host: cursor_close() of a cursor that is not open");
  CheckedReader& r = *c->reader;
  const Running running(r.store->running);
  const Exclusive::Scope turn(r.turn, "host: two calls at once on one reader");
  r.store->table->cursor_close(c->real);
  --r.cursors;
}

mortise_status size(mortise_backend* p, mortise_store_size* out, mortise_error* error) {
  CheckedStore& s = store(p);
  const Running running(s.running);
  check_error(error);
  MORTISE_CHECK(out->struct_size >= sizeof(*out), "host: a mortise_store_size without its size");
  const mortise_status status = s.table->size(s.real, out, error);
  check_status(status, false, "size");
  MORTISE_CHECK(status != MORTISE_OK || out->in_use_bytes <= out->allocated_bytes,
                "plugin: size() gives more bytes in use than allocated");
  return status;
}

mortise_status reclaim(mortise_backend* p, mortise_error* error) {
  CheckedStore& s = store(p);
  const Running running(s.running);
  const Exclusive::Scope turn(s.reclaim, "host: two reclaim() calls at once on one store");
  check_error(error);
  const mortise_status status = s.table->reclaim(s.real, error);
  check_status(status, false, "reclaim");
  return status;
}

mortise_status checkpoint(mortise_backend* p, const char* path, mortise_error* error) {
  CheckedStore& s = store(p);
  const Running running(s.running);
  check_error(error);
  const mortise_status status = s.table->checkpoint(s.real, path, error);
  check_status(status, false, "checkpoint");
  return status;
}

struct Source {
  mortise_source_fn fn;
  void* context;
  Lent key;
  Lent value;
};

mortise_status next_of_source(void* context, uint32_t* keyspace, mortise_bytes* key,
                              mortise_bytes* value) {
  auto& source = *static_cast<Source*>(context);
  source.key.end();
  source.value.end();
  mortise_bytes k{}, v{};
  const mortise_status status = source.fn(source.context, keyspace, &k, &v);
  if (status != MORTISE_OK) return status;
  check_keyspace(*keyspace);
  check_key(k);
  *key = source.key.lend(k);
  *value = source.value.lend(v);
  return status;
}

mortise_status replace(mortise_backend* p, uint64_t index, uint64_t term, mortise_source_fn fn,
                       void* context, mortise_error* error) {
  CheckedStore& s = store(p);
  const Running running(s.running);
  const Exclusive::Scope turn(s.apply, "host: two [apply] calls at once on one store");
  check_error(error);
  MORTISE_CHECK(!s.failed, "host: replace() after a commit that failed");
  Source source{fn, context, {}, {}};
  const mortise_status status =
      s.table->replace(s.real, index, term, &next_of_source, &source, error);
  check_status(status, true, "replace");
  if (status == MORTISE_OK) s.last_index = index;
  return status;
}

struct Kind {
  using Table = mortise_backend_v1;
  static Table make(int slot, const Table& original);
};

template <int kSlot>
mortise_status store_open(const mortise_host* host, const char* path, mortise_bytes config,
                          mortise_backend** out, mortise_error* error) {
  MORTISE_CHECK(host != nullptr && path != nullptr && out != nullptr,
                "host: store_open() without host, path or out");
  check_error(error);
  const mortise_backend_v1& table = Slots<Kind>::original(kSlot);
  mortise_backend* real = nullptr;
  const mortise_status status = table.store_open(host, path, config, &real, error);
  check_status(status, false, "store_open");
  MORTISE_CHECK((status == MORTISE_OK) == (real != nullptr),
                "plugin: store_open() and its handle do not agree");
  *out = nullptr;
  if (status != MORTISE_OK) return status;
  auto made = std::make_unique<CheckedStore>();
  made->table = &table;
  made->real = real;
  uint64_t index = 0, term = 0;
  if (table.applied(real, &index, &term, nullptr) == MORTISE_OK) made->last_index = index;
  handles<CheckedStore>().add(made.get());
  *out = reinterpret_cast<mortise_backend*>(made.release());
  return status;
}

Kind::Table Kind::make(int slot, const Table& original) {
  static constexpr decltype(Table::store_open) kOpen[kCheckedTablesMax] = {
      &store_open<0>, &store_open<1>, &store_open<2>, &store_open<3>,
      &store_open<4>, &store_open<5>, &store_open<6>, &store_open<7>};
  Table t{};
  t.struct_size = sizeof(t);
  t.store_open = kOpen[slot];
  t.store_close = &store_close;
  t.commit = &commit;
  t.sync = &sync;
  t.applied = &applied;
  t.reader_open = &reader_open;
  t.reader_close = &reader_close;
  t.get = &get;
  t.cursor_open = &cursor_open;
  t.cursor_seek = &cursor_seek;
  t.cursor_next = &cursor_next;
  t.cursor_close = &cursor_close;
  t.size = &size;
  t.reclaim = &reclaim;
  if (MORTISE_HAS(&original, mortise_backend_v1, checkpoint)) t.checkpoint = &checkpoint;
  if (MORTISE_HAS(&original, mortise_backend_v1, replace)) t.replace = &replace;
  return t;
}

}  // namespace

const mortise_backend_v1* checked_backend(const mortise_backend_v1* table) {
  return Slots<Kind>::wrap(table);
}

}  // namespace mortise::loader
