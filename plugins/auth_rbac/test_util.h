// For the tests of this folder: rows in memory, requests by their fields, answers that are waited
// for.
#pragma once

#include <condition_variable>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "mortise/sdk/auth.h"
#include "plugins/auth_rbac/rbac.h"
#include "plugins/auth_rbac/state.h"
#include "plugins/auth_rbac/wire.h"

namespace mortise::auth_rbac {

// The auth keyspace of a host, and a transaction on it.
class Rows {
 public:
  Rows() {
    txn_.struct_size = sizeof(txn_);
    txn_.impl = this;
    txn_.get = [](mortise_auth_txn* t, mortise_bytes key, mortise_bytes* value, mortise_error*) {
      const auto it = of(t).find(std::string(sdk::view(key)));
      if (it == of(t).end()) return mortise_status{MORTISE_E_NOT_FOUND};
      *value = sdk::bytes(it->second);
      return mortise_status{MORTISE_OK};
    };
    txn_.next = [](mortise_auth_txn* t, mortise_bytes from, mortise_bytes* key,
                   mortise_bytes* value, mortise_error*) {
      const auto it = of(t).lower_bound(std::string(sdk::view(from)));
      if (it == of(t).end()) return mortise_status{MORTISE_E_NOT_FOUND};
      *key = sdk::bytes(it->first);
      *value = sdk::bytes(it->second);
      return mortise_status{MORTISE_OK};
    };
    txn_.put = [](mortise_auth_txn* t, mortise_bytes key, mortise_bytes value) {
      of(t)[std::string(sdk::view(key))] = sdk::view(value);
    };
    txn_.remove = [](mortise_auth_txn* t, mortise_bytes key) {
      of(t).erase(std::string(sdk::view(key)));
    };
  }
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;

  sdk::AuthTxn txn(uint64_t index = 0) {
    txn_.entry_index = index;
    return sdk::AuthTxn(&txn_);
  }
  std::map<std::string, std::string> all;

 private:
  static std::map<std::string, std::string>& of(mortise_auth_txn* t) {
    return static_cast<Rows*>(t->impl)->all;
  }
  mortise_auth_txn txn_{};
};

// Fields 1, 2, ... of bytes.
inline std::string request(std::initializer_list<std::string_view> fields) {
  std::string out;
  uint32_t number = 0;
  for (const std::string_view field : fields) put_bytes(out, ++number, field);
  return out;
}

inline std::string permission_request(std::string_view role, PermissionType type,
                                      std::string_view key, std::string_view range_end) {
  Permission p;
  p.type = static_cast<uint64_t>(type);
  p.key = key;
  p.range_end = range_end;
  std::string out;
  put_bytes(out, 1, role);
  put_message(out, 2, p.encode());
  return out;
}

inline mortise_access access(mortise_access_kind kind, std::string_view key = {},
                             std::string_view range_end = {}) {
  return mortise_access{kind, 0, sdk::bytes(key), sdk::bytes(range_end)};
}

inline mortise_identity identity_of(std::string_view user, uint64_t auth_revision) {
  mortise_identity who{};
  who.struct_size = sizeof(who);
  who.user_size = static_cast<uint32_t>(user.size());
  who.auth_revision = auth_revision;
  std::memcpy(who.user, user.data(), user.size());
  return who;
}

// An RpcStatus that need not be looked at.
struct Said {
  Said(sdk::RpcStatus status) : code(status.code), message(std::move(status.message)) {}
  mortise_rpc_code code;
  std::string message;
};

// What came back from prepare() or login().
struct Answer {
  sdk::RpcStatus status;
  std::string bytes;  // The request to log, or the token.
  uint64_t auth_revision = 0;
};

class Answers {
 public:
  sdk::PrepareDone prepare_done() {
    return sdk::PrepareDone(
        [](void* self, mortise_rpc_code code, mortise_bytes message, mortise_buffer body) {
          const sdk::Buffer taken(body);
          static_cast<Answers*>(self)->add(
              {{code, std::string(sdk::view(message))}, std::string(taken.view()), 0});
        },
        this);
  }
  sdk::LoginDone login_done() {
    return sdk::LoginDone(
        [](void* self, mortise_rpc_code code, mortise_bytes message, mortise_bytes token,
           uint64_t auth_revision) {
          static_cast<Answers*>(self)->add({{code, std::string(sdk::view(message))},
                                            std::string(sdk::view(token)),
                                            auth_revision});
        },
        this);
  }
  // Waits until there are that many.
  std::vector<Answer> wait(size_t count = 1) {
    std::unique_lock lock(mutex_);
    more_.wait(lock, [&] { return all_.size() >= count; });
    return all_;
  }
  size_t size() {
    const std::lock_guard lock(mutex_);
    return all_.size();
  }

 private:
  void add(Answer answer) {
    const std::lock_guard lock(mutex_);
    all_.push_back(std::move(answer));
    more_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable more_;
  std::vector<Answer> all_;
};

// A plugin's instance with its rows, as one member has it.
class Member {
 public:
  explicit Member(std::string_view config = R"({"token":"simple","bcrypt_cost":4})") {
    const sdk::Status status = Rbac::create(sdk::Host(), config, rbac);
    if (!status.ok()) throw std::runtime_error(status.message);
  }

  // Applies the bytes as the next entry.
  Said apply(uint32_t field, std::string_view bytes = {}) {
    sdk::Buffer made;
    const Said status = rbac->apply(field, bytes, rows.txn(++index), made);
    response = made.view();
    return status;
  }
  // As apply(), through prepare().
  Said propose(uint32_t field, std::string_view bytes = {}) {
    Answers answers;
    rbac->prepare(field, sdk::Buffer::from(std::string(bytes)), answers.prepare_done());
    const Answer prepared = answers.wait()[0];
    if (prepared.status.code != 0) return prepared.status;
    return apply(field, prepared.bytes);
  }
  Answer login(std::string_view user, std::string_view password,
               std::string_view remote = "127.0.0.1:1") {
    Answers answers;
    rbac->login(user, password, remote, answers.login_done());
    return answers.wait()[0];
  }
  // The whole of Authenticate; empty if refused.
  std::string token(std::string_view user, std::string_view password) {
    const Answer answer = login(user, password);
    if (answer.status.code != 0) return {};
    if (propose(kAuthenticate, request({user})).code != 0) return {};
    Reader in(response);
    return in.next() ? std::string(in.bytes()) : answer.bytes;
  }
  sdk::RpcStatus identify(std::string_view token, mortise_identity& out,
                          std::string_view common_name = {}, uint32_t flags = 0) {
    mortise_caller caller{};
    caller.struct_size = sizeof(caller);
    caller.flags = flags;
    caller.token = sdk::bytes(token);
    caller.tls_common_name = sdk::bytes(common_name);
    out = identity_of("", 0);
    return rbac->identify(caller, index, out);
  }
  // The user that a token is of; empty if refused.
  std::string user_of(std::string_view token) {
    mortise_identity out{};
    if (identify(token, out).code != 0) return {};
    return std::string(out.user, out.user_size);
  }
  sdk::RpcStatus may(std::string_view user, const mortise_access& what) {
    mortise_auth_state now{};
    rbac->state(now);
    return rbac->authorize(identity_of(user, now.revision), {&what, 1});
  }
  // Root with the password "pw", and auth on.
  void enable() {
    propose(kUserAdd, request({"root", "pw"}));
    apply(kUserGrantRole, request({"root", "root"}));
    apply(kAuthEnable);
  }

  Rows rows;
  uint64_t index = 0;
  std::string response;
  std::unique_ptr<Rbac> rbac;
};

}  // namespace mortise::auth_rbac
