#include <set>

#include "host/loader/checked_parts.h"

namespace mortise::loader {
namespace {

enum class State { kCreated, kStarted, kDraining };

struct CheckedTransport {
  const mortise_transport_v1* table;
  mortise_transport* real;
  Exclusive control;
  std::atomic<State> state{State::kCreated};
  std::atomic<int> running{0};
};

Handles<CheckedTransport>& handles() {
  static auto* all = new Handles<CheckedTransport>();
  return *all;
}

CheckedTransport& transport_of(mortise_transport* p) {
  return handles().get(p, "host: a call on a transport that does not exist");
}

constexpr char kTurn[] = "host: two [control] calls at once on one transport";

int32_t claims(mortise_transport* p, const mortise_opening* opening) {
  CheckedTransport& t = transport_of(p);
  const Running running(t.running);
  MORTISE_CHECK(opening->first_bytes.size <= MORTISE_OPENING_BYTES_MAX,
                "host: more first bytes than MORTISE_OPENING_BYTES_MAX");
  const int32_t claim = t.table->claims(t.real, opening);
  MORTISE_CHECK(claim >= 0, "plugin: claims() is negative");
  return claim;
}

mortise_status start(mortise_transport* p, mortise_error* error) {
  CheckedTransport& t = transport_of(p);
  const Running running(t.running);
  const Exclusive::Scope turn(t.control, kTurn);
  MORTISE_CHECK(t.state == State::kCreated, "host: start() of a transport that was started");
  const mortise_status status = t.table->start(t.real, error);
  check_status(status, false, "start");
  if (status == MORTISE_OK) t.state = State::kStarted;
  return status;
}

mortise_status adopt(mortise_transport* p, const mortise_connection* connection,
                     mortise_error* error) {
  CheckedTransport& t = transport_of(p);
  const Running running(t.running);
  // The accept thread may be late: a connection that arrives while draining is the plugin's to
  // refuse.
  MORTISE_CHECK(t.state != State::kCreated, "host: adopt() before start()");
  MORTISE_CHECK(connection->fd >= 0, "host: adopt() without a descriptor");
  const mortise_status status = t.table->adopt(t.real, connection, error);
  check_status(status, false, "adopt");
  return status;
}

void drain(mortise_transport* p, uint64_t timeout_ns) {
  CheckedTransport& t = transport_of(p);
  const Running running(t.running);
  const Exclusive::Scope turn(t.control, kTurn);
  MORTISE_CHECK(t.state == State::kStarted, "host: drain() of a transport that does not serve");
  t.state = State::kDraining;
  t.table->drain(t.real, timeout_ns);
}

void destroy(mortise_transport* p) {
  auto t = handles().take(p, "host: destroy() of a transport that does not exist");
  MORTISE_CHECK(t->running == 0, "host: destroy() while another call runs");
  MORTISE_CHECK(t->state != State::kStarted, "host: destroy() before drain()");
  t->table->destroy(t->real);
}

// The transports that this thread answers for.
thread_local std::set<mortise_transport*> t_answering;

void answers_begin(mortise_transport* p) {
  CheckedTransport& t = transport_of(p);
  const Running running(t.running);
  MORTISE_CHECK(t.state != State::kCreated, "host: answers_begin() before start()");
  MORTISE_CHECK(t_answering.insert(p).second, "host: answers_begin() within another");
  t.table->answers_begin(t.real);
}

void answers_end(mortise_transport* p) {
  CheckedTransport& t = transport_of(p);
  const Running running(t.running);
  MORTISE_CHECK(t_answering.erase(p) == 1, "host: answers_end() without its answers_begin()");
  t.table->answers_end(t.real);
}

struct Kind {
  using Table = mortise_transport_v1;
  static Table make(int slot, const Table& original);
};

template <int kSlot>
mortise_status create(const mortise_host* host, mortise_bytes config, mortise_transport** out,
                      mortise_error* error) {
  const mortise_transport_v1& table = Slots<Kind>::original(kSlot);
  mortise_transport* real = nullptr;
  const mortise_status status = table.create(host, config, &real, error);
  check_status(status, false, "create");
  MORTISE_CHECK((status == MORTISE_OK) == (real != nullptr),
                "plugin: create() and its handle do not agree");
  *out = nullptr;
  if (status != MORTISE_OK) return status;
  auto made = std::make_unique<CheckedTransport>();
  made->table = &table;
  made->real = real;
  handles().add(made.get());
  *out = reinterpret_cast<mortise_transport*>(made.release());
  return status;
}

Kind::Table Kind::make(int slot, const Table& original) {
  static constexpr decltype(Table::create) kCreate[kCheckedTablesMax] = {
      &create<0>, &create<1>, &create<2>, &create<3>,
      &create<4>, &create<5>, &create<6>, &create<7>};
  Table t{};
  t.struct_size = sizeof(t);
  t.create = kCreate[slot];
  t.claims = &claims;
  t.start = &start;
  t.adopt = &adopt;
  t.drain = &drain;
  t.destroy = &destroy;
  if (MORTISE_HAS(&original, mortise_transport_v1, answers_begin)) t.answers_begin = &answers_begin;
  if (MORTISE_HAS(&original, mortise_transport_v1, answers_end)) t.answers_end = &answers_end;
  return t;
}

}  // namespace

const mortise_transport_v1* checked_transport(const mortise_transport_v1* table) {
  return Slots<Kind>::wrap(table);
}

}  // namespace mortise::loader
