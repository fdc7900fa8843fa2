// An auth plugin against the contract: what its rows decide, that members agree, and that every
// question is answered once.
#include <condition_variable>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "tests/conformance/check.h"

namespace mortise::conformance {
namespace {

using Rows = std::map<std::string, std::string>;

constexpr uint32_t kEnable = 1000, kDisable = 1011, kAuthenticate = 1012, kStatus = 1013,
                   kUserAdd = 1100, kGrantRole = 1104;

mortise_bytes bytes(std::string_view v) {
  return {reinterpret_cast<const uint8_t*>(v.data()), v.size()};
}
std::string text(mortise_bytes b) { return {reinterpret_cast<const char*>(b.data), b.size}; }

// Fields 1, 2, ... of fewer than 128 bytes.
std::string message(std::initializer_list<std::string_view> fields) {
  std::string out;
  char tag = 0x0a;
  for (const std::string_view f : fields) {
    if (!f.empty()) out.append({tag, static_cast<char>(f.size())}).append(f);
    tag = static_cast<char>(tag + 8);
  }
  return out;
}

// One entry's access to the rows.
struct Txn {
  explicit Txn(Rows& all, uint64_t index) : rows(all) {
    face.struct_size = sizeof(face);
    face.impl = this;
    face.entry_index = index;
    face.get = [](mortise_auth_txn* t, mortise_bytes key, mortise_bytes* value, mortise_error*) {
      Rows& r = of(t);
      const auto it = r.find(text(key));
      if (it == r.end()) return mortise_status{MORTISE_E_NOT_FOUND};
      *value = bytes(it->second);
      return mortise_status{MORTISE_OK};
    };
    face.next = [](mortise_auth_txn* t, mortise_bytes from, mortise_bytes* key,
                   mortise_bytes* value, mortise_error*) {
      Rows& r = of(t);
      const auto it = r.lower_bound(text(from));
      if (it == r.end()) return mortise_status{MORTISE_E_NOT_FOUND};
      *key = bytes(it->first);
      *value = bytes(it->second);
      return mortise_status{MORTISE_OK};
    };
    face.put = [](mortise_auth_txn* t, mortise_bytes key, mortise_bytes value) {
      of(t)[text(key)] = text(value);
    };
    face.remove = [](mortise_auth_txn* t, mortise_bytes key) { of(t).erase(text(key)); };
  }
  static Rows& of(mortise_auth_txn* t) { return static_cast<Txn*>(t->impl)->rows; }

  Rows& rows;
  mortise_auth_txn face{};
};

struct Reply {
  mortise_rpc_code code = 0;
  std::string said;  // The message, or what was asked for.
};

// Waits for the answer of prepare() or login().
class Waiter {
 public:
  void answer(mortise_rpc_code code, std::string said) {
    const std::lock_guard lock(mutex_);
    reply_ = Reply{code, std::move(said)};
    ++answers_;
    more_.notify_all();
  }
  Reply wait() {
    std::unique_lock lock(mutex_);
    more_.wait(lock, [&] { return answers_ != 0; });
    return reply_;
  }
  int answers() {
    const std::lock_guard lock(mutex_);
    return answers_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable more_;
  Reply reply_;
  int answers_ = 0;
};

void prepared(void* context, mortise_rpc_code code, mortise_bytes said, mortise_buffer body) {
  static_cast<Waiter*>(context)->answer(
      code, text(code == 0 ? bytes({}) : said) + text({body.data, body.size}));
  if (body.release != nullptr) body.release(body.owner);
}

void logged_in(void* context, mortise_rpc_code code, mortise_bytes said, mortise_bytes token,
               uint64_t) {
  static_cast<Waiter*>(context)->answer(code, text(code == 0 ? token : said));
}

// One member: an instance of the plugin and its rows.
class Member {
 public:
  Member(const mortise_auth_v1* table, const Options& options) : table_(table) {
    error_.struct_size = sizeof(error_);
    if (table->create(options.host, bytes(options.config), &auth_, &error_) != MORTISE_OK) {
      auth_ = nullptr;
    }
  }
  ~Member() { end(); }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  bool made() const { return auth_ != nullptr; }
  std::string error() const { return error_.message; }
  void end() {
    if (auth_ != nullptr) table_->destroy(auth_);
    auth_ = nullptr;
  }
  bool load(const Rows& from) {
    rows = from;
    Txn txn(rows, 0);
    return table_->load(auth_, &txn.face, &error_) == MORTISE_OK && rows == from;
  }
  Reply apply(uint32_t field, const std::string& request) {
    Rows changed = rows;
    Txn txn(changed, ++index);
    mortise_buffer response{};
    error_.message[0] = '\0';
    const mortise_rpc_code code =
        table_->apply(auth_, field, bytes(request), &txn.face, &response, &error_);
    if (code != 0) return Reply{code, error_.message};
    rows = std::move(changed);
    const Reply reply{0, text({response.data, response.size})};
    if (response.release != nullptr) response.release(response.owner);
    return reply;
  }
  void prepare(uint32_t field, const std::string& request, Waiter& waiter) {
    auto* kept = new std::string(request);
    const mortise_bytes b = bytes(*kept);
    table_->prepare(
        auth_, field,
        mortise_buffer{b.data, b.size, [](void* s) { delete static_cast<std::string*>(s); }, kept},
        &prepared, &waiter);
  }
  Reply prepare(uint32_t field, const std::string& request) {
    Waiter waiter;
    prepare(field, request, waiter);
    return waiter.wait();
  }
  void login(const char* user, const char* password, Waiter& waiter) {
    table_->login(auth_, bytes(user), bytes(password), bytes("127.0.0.1:1"), &logged_in, &waiter);
  }
  Reply login(const char* user, const char* password) {
    Waiter waiter;
    login(user, password, waiter);
    return waiter.wait();
  }
  mortise_rpc_code identify(const std::string& token, mortise_identity& out) {
    mortise_caller caller{};
    caller.struct_size = sizeof(caller);
    caller.token = bytes(token);
    out = {};
    out.struct_size = sizeof(out);
    return table_->identify(auth_, &caller, index, &out, &error_);
  }
  mortise_rpc_code may(const mortise_identity& who, mortise_access_kind kind,
                       std::string_view key) {
    const mortise_access what{kind, 0, bytes(key), bytes({})};
    return table_->authorize(auth_, &who, &what, 1, &error_);
  }
  mortise_auth_state state() {
    mortise_auth_state out{};
    out.struct_size = sizeof(out);
    table_->state(auth_, &out);
    return out;
  }

  Rows rows;
  uint64_t index = 0;

 private:
  const mortise_auth_v1* table_;
  mortise_auth* auth_ = nullptr;
  mortise_error error_{};
};

#define MUST(condition) \
  if (!(condition)) return std::string("not true: " #condition)

std::string off_at_first(Member& m) {
  MUST(m.load({}));
  MUST(m.state().enabled == 0);
  MUST(m.state().revision >= 1);
  mortise_identity who{};
  MUST(m.identify("", who) == 0 && who.user_size == 0);
  MUST(m.identify("any", who) == 0 && who.user_size == 0);
  MUST(m.may(who, MORTISE_ACCESS_WRITE, "k") == 0);
  MUST(m.apply(kStatus, "").code == 0);
  const Reply refused = m.apply(kEnable, "");
  MUST(refused.code > 0 && !refused.said.empty());
  MUST(m.rows.empty());
  MUST(m.login("root", "pw").code > 0);
  return "";
}

// The entries that make root and turn auth on; they are what all members get.
std::string enable(Member& m, std::vector<std::pair<uint32_t, std::string>>& log) {
  const Reply user = m.prepare(kUserAdd, message({"root", "secret-word"}));
  MUST(user.code == 0);
  MUST(user.said.find("secret-word") == std::string::npos);
  log = {{kUserAdd, user.said}, {kGrantRole, message({"root", "root"})}, {kEnable, ""}};
  for (const auto& [field, request] : log) MUST(m.apply(field, request).code == 0);
  MUST(m.state().enabled == 1);
  for (const auto& [key, value] : m.rows) {
    MUST(key[0] == MORTISE_AUTH_ROW_STATE || key[0] == MORTISE_AUTH_ROW_ROLE ||
         key[0] == MORTISE_AUTH_ROW_USER);
    MUST(value.find("secret-word") == std::string::npos);
  }
  return "";
}

std::string denies(Member& m) {
  mortise_identity who{};
  MUST(m.identify("", who) == 0 && who.user_size == 0);
  for (mortise_access_kind kind = 1; kind <= 5; ++kind) MUST(m.may(who, kind, "k") > 0);
  MUST(m.identify("no-token", who) > 0);
  who.user_size = 4;
  who.auth_revision = m.state().revision;
  std::memcpy(who.user, "root", 4);
  for (mortise_access_kind kind = 1; kind <= 5; ++kind) MUST(m.may(who, kind, "k") == 0);
  for (const mortise_access_kind kind : {-1, 0, 6, 1000}) MUST(m.may(who, kind, "k") > 0);
  std::memcpy(who.user, "ruth", 4);
  for (const mortise_access_kind kind : {1, 2, 3, 5}) MUST(m.may(who, kind, "k") > 0);
  return "";
}

std::string logs_in(Member& m) {
  MUST(m.login("root", "wrong").code > 0);
  MUST(m.login("nobody", "secret-word").code > 0);
  const Reply right = m.login("root", "secret-word");
  MUST(right.code == 0);
  const Reply request = m.prepare(kAuthenticate, message({"root"}));
  MUST(request.code == 0);
  const Reply response = m.apply(kAuthenticate, request.said);
  MUST(response.code == 0);
  // Field 2 of the response, or login()'s own.
  const std::string token = response.said.empty() ? right.said : response.said.substr(2);
  mortise_identity who{};
  MUST(m.identify(token, who) == 0);
  MUST(std::string(who.user, who.user_size) == "root");
  MUST(m.may(who, MORTISE_ACCESS_ADMIN, "") == 0);
  MUST(m.apply(kDisable, "").code == 0);
  MUST(m.apply(kEnable, "").code == 0);
  const mortise_rpc_code again = m.identify(token, who);
  MUST(again > 0 || m.may(who, MORTISE_ACCESS_READ, "k") == MORTISE_AUTH_STALE);
  return "";
}

std::string whole_life(const mortise_auth_v1* table, const Options& options) {
  Member a(table, options), b(table, options), c(table, options);
  MUST(a.made() && b.made() && c.made());
  std::string problem = off_at_first(a);
  std::vector<std::pair<uint32_t, std::string>> log;
  if (problem.empty()) problem = enable(a, log);
  if (problem.empty()) problem = denies(a);
  if (!problem.empty()) return problem;
  for (const auto& [field, request] : log) MUST(b.apply(field, request).code == 0);
  MUST(a.rows == b.rows);
  MUST(c.load(a.rows));
  MUST(c.state().enabled == 1 && c.state().revision == a.state().revision);
  problem = denies(c);
  return problem.empty() ? logs_in(a) : problem;
}

std::string answers_at_the_end(const mortise_auth_v1* table, const Options& options) {
  Member m(table, options);
  std::vector<std::pair<uint32_t, std::string>> log;
  const std::string problem = enable(m, log);
  if (!problem.empty()) return problem;
  std::vector<std::unique_ptr<Waiter>> waiters;
  for (int i = 0; i < 20; ++i) {
    waiters.push_back(std::make_unique<Waiter>());
    m.login("root", ("guess" + std::to_string(i)).c_str(), *waiters.back());
    waiters.push_back(std::make_unique<Waiter>());
    m.prepare(kUserAdd, message({"u" + std::to_string(i), "pw"}), *waiters.back());
  }
  m.end();
  for (const auto& w : waiters) MUST(w->answers() == 1);
  return "";
}

#undef MUST

}  // namespace

Totals run_auth_suite(const mortise_auth_v1* table, const Options& options) {
  Totals totals;
  const std::pair<const char*, std::string (*)(const mortise_auth_v1*, const Options&)> checks[] = {
      {"auth_whole_life", &whole_life}, {"auth_answers_at_the_end", &answers_at_the_end}};
  for (const auto& [name, run] : checks) {
    if (std::string(name).find(options.filter) == std::string::npos) continue;
    const std::string problem = run(table, options);
    ++(problem.empty() ? totals.passed : totals.failed);
    options.print(problem.empty() ? std::string("ok   ") + name
                                  : std::string("FAIL ") + name + ": " + problem);
  }
  return totals;
}

}  // namespace mortise::conformance
