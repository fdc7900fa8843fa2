#include "host/loader/checked_parts.h"

namespace mortise::loader {
namespace {

struct CheckedAuth {
  const mortise_auth_v1* table;
  mortise_auth* real;
  Exclusive apply;
  std::atomic<int> running{0};
  std::atomic<int> answers_due{0};
};

Handles<CheckedAuth>& handles() {
  static auto* all = new Handles<CheckedAuth>();
  return *all;
}

CheckedAuth& auth_of(mortise_auth* p) {
  return handles().get(p, "host: a call on an auth plugin that does not exist");
}

// The host's transaction as the plugin sees it: dead after the call, its spans after the next one.
struct CheckedTxn {
  mortise_auth_txn face{};
  mortise_auth_txn* real;
  bool open = true;
  Lent key;
  Lent value;

  explicit CheckedTxn(mortise_auth_txn* txn);
};

CheckedTxn& txn_of(mortise_auth_txn* txn) {
  auto& t = *static_cast<CheckedTxn*>(txn->impl);
  MORTISE_CHECK(t.open, "plugin: the auth transaction is used after its call");
  return t;
}

mortise_status txn_get(mortise_auth_txn* txn, mortise_bytes key, mortise_bytes* value,
                       mortise_error* error) {
  CheckedTxn& t = txn_of(txn);
  mortise_bytes found{};
  const mortise_status status = t.real->get(t.real, key, &found, error);
  t.key.end();
  t.value.end();
  if (status == MORTISE_OK) *value = t.value.lend(found);
  return status;
}

mortise_status txn_next(mortise_auth_txn* txn, mortise_bytes from, mortise_bytes* key,
                        mortise_bytes* value, mortise_error* error) {
  CheckedTxn& t = txn_of(txn);
  mortise_bytes k{}, v{};
  const mortise_status status = t.real->next(t.real, from, &k, &v, error);
  t.key.end();
  t.value.end();
  if (status == MORTISE_OK) {
    *key = t.key.lend(k);
    *value = t.value.lend(v);
  }
  return status;
}

void txn_put(mortise_auth_txn* txn, mortise_bytes key, mortise_bytes value) {
  CheckedTxn& t = txn_of(txn);
  MORTISE_CHECK(key.size != 0, "plugin: the auth transaction is given an empty key");
  t.real->put(t.real, key, value);
  t.key.end();
  t.value.end();
}

void txn_remove(mortise_auth_txn* txn, mortise_bytes key) {
  CheckedTxn& t = txn_of(txn);
  t.real->remove(t.real, key);
  t.key.end();
  t.value.end();
}

CheckedTxn::CheckedTxn(mortise_auth_txn* txn) : real(txn) {
  face.struct_size = sizeof(face);
  face.impl = this;
  face.get = &txn_get;
  face.next = &txn_next;
  face.put = &txn_put;
  face.remove = &txn_remove;
  face.entry_index = txn->entry_index;
}

constexpr char kTurn[] = "host: two [apply] calls at once on one auth plugin";

mortise_status load(mortise_auth* p, mortise_auth_txn* txn, mortise_error* error) {
  CheckedAuth& a = auth_of(p);
  const Running running(a.running);
  const Exclusive::Scope turn(a.apply, kTurn);
  CheckedTxn checked(txn);
  const mortise_status status = a.table->load(a.real, &checked.face, error);
  check_status(status, false, "load");
  checked.open = false;
  return status;
}

mortise_rpc_code apply(mortise_auth* p, uint32_t field, mortise_bytes request,
                       mortise_auth_txn* txn, mortise_buffer* response, mortise_error* error) {
  CheckedAuth& a = auth_of(p);
  const Running running(a.running);
  const Exclusive::Scope turn(a.apply, kTurn);
  CheckedTxn checked(txn);
  const mortise_rpc_code code =
      a.table->apply(a.real, field, request, &checked.face, response, error);
  checked.open = false;
  return code;
}

// One answer that the plugin owes. Given back when it comes; a second answer finds it dead.
struct Answer {
  CheckedAuth* auth;
  mortise_done_fn done = nullptr;
  mortise_login_fn login = nullptr;
  void* context = nullptr;
};

Handles<Answer>& answers() {
  static auto* all = new Handles<Answer>();
  return *all;
}

Answer* owe(CheckedAuth& a) {
  auto* answer = new Answer();
  answer->auth = &a;
  ++a.answers_due;
  answers().add(answer);
  return answer;
}

void prepared(void* context, mortise_rpc_code code, mortise_bytes message, mortise_buffer body) {
  auto answer = answers().take(context, "plugin: prepare() is answered twice");
  --answer->auth->answers_due;
  answer->done(answer->context, code, message, body);
}

void logged_in(void* context, mortise_rpc_code code, mortise_bytes message, mortise_bytes token,
               uint64_t auth_revision) {
  auto answer = answers().take(context, "plugin: login() is answered twice");
  --answer->auth->answers_due;
  MORTISE_CHECK(code >= 0, "plugin: login() gives the code " + std::to_string(code));
  answer->login(answer->context, code, message, token, auth_revision);
}

void prepare(mortise_auth* p, uint32_t field, mortise_buffer request, mortise_done_fn done,
             void* context) {
  CheckedAuth& a = auth_of(p);
  const Running running(a.running);
  Answer* answer = owe(a);
  answer->done = done;
  answer->context = context;
  a.table->prepare(a.real, field, request, &prepared, answer);
}

void login(mortise_auth* p, mortise_bytes user, mortise_bytes password, mortise_bytes remote,
           mortise_login_fn done, void* context) {
  CheckedAuth& a = auth_of(p);
  const Running running(a.running);
  Answer* answer = owe(a);
  answer->login = done;
  answer->context = context;
  Lent user_copy, password_copy, remote_copy;
  a.table->login(a.real, user_copy.lend(user), password_copy.lend(password),
                 remote_copy.lend(remote), &logged_in, answer);
}

mortise_rpc_code identify(mortise_auth* p, const mortise_caller* caller, uint64_t applied_index,
                          mortise_identity* out, mortise_error* error) {
  CheckedAuth& a = auth_of(p);
  const Running running(a.running);
  const mortise_rpc_code code = a.table->identify(a.real, caller, applied_index, out, error);
  MORTISE_CHECK(code >= MORTISE_AUTH_WAIT,
                "plugin: identify() gives the code " + std::to_string(code));
  MORTISE_CHECK(code != MORTISE_AUTH_WAIT || out->wait_index > applied_index,
                "plugin: identify() waits for what is applied");
  MORTISE_CHECK(
      code != 0 || out->user_size <= MORTISE_USER_BYTES_MAX,
      "plugin: identify() gives a user name of " + std::to_string(out->user_size) + " bytes");
  return code;
}

mortise_rpc_code authorize(mortise_auth* p, const mortise_identity* who, const mortise_access* list,
                           size_t count, mortise_error* error) {
  CheckedAuth& a = auth_of(p);
  const Running running(a.running);
  const mortise_rpc_code code = a.table->authorize(a.real, who, list, count, error);
  MORTISE_CHECK(code >= 0 || code == MORTISE_AUTH_STALE,
                "plugin: authorize() gives the code " + std::to_string(code));
  return code;
}

void state(mortise_auth* p, mortise_auth_state* out) {
  CheckedAuth& a = auth_of(p);
  const Running running(a.running);
  a.table->state(a.real, out);
}

void destroy(mortise_auth* p) {
  auto a = handles().take(p, "host: destroy() of an auth plugin that does not exist");
  MORTISE_CHECK(a->running == 0, "host: destroy() while another call runs");
  a->table->destroy(a->real);
  MORTISE_CHECK(a->answers_due == 0, "plugin: destroyed with a prepare() or login() unanswered");
}

struct Kind {
  using Table = mortise_auth_v1;
  static Table make(int slot, const Table& original);
};

template <int kSlot>
mortise_status create(const mortise_host* host, mortise_bytes config, mortise_auth** out,
                      mortise_error* error) {
  const mortise_auth_v1& table = Slots<Kind>::original(kSlot);
  mortise_auth* real = nullptr;
  const mortise_status status = table.create(host, config, &real, error);
  check_status(status, false, "create");
  MORTISE_CHECK((status == MORTISE_OK) == (real != nullptr),
                "plugin: create() and its handle do not agree");
  *out = nullptr;
  if (status != MORTISE_OK) return status;
  auto made = std::make_unique<CheckedAuth>();
  made->table = &table;
  made->real = real;
  handles().add(made.get());
  *out = reinterpret_cast<mortise_auth*>(made.release());
  return status;
}

Kind::Table Kind::make(int slot, const Table&) {
  static constexpr decltype(Table::create) kCreate[kCheckedTablesMax] = {
      &create<0>, &create<1>, &create<2>, &create<3>,
      &create<4>, &create<5>, &create<6>, &create<7>};
  Table t{};
  t.struct_size = sizeof(t);
  t.create = kCreate[slot];
  t.load = &load;
  t.apply = &apply;
  t.prepare = &prepare;
  t.identify = &identify;
  t.authorize = &authorize;
  t.login = &login;
  t.state = &state;
  t.destroy = &destroy;
  return t;
}

}  // namespace

const mortise_auth_v1* checked_auth(const mortise_auth_v1* table) {
  return Slots<Kind>::wrap(table);
}

}  // namespace mortise::loader
