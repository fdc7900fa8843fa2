// Makes the table of "mortise.auth/1" out of a C++ class; mortise/abi/auth.h is the contract.
//
//   class Auth {
//    public:
//     static Status create(Host host, std::string_view config_json, std::unique_ptr<Auth>& out);
//     Status load(AuthTxn txn);
//     RpcStatus apply(uint32_t request_field, std::string_view request, AuthTxn txn,
//                     Buffer& response);
//     void prepare(uint32_t request_field, Buffer request, PrepareDone done);
//     RpcStatus identify(const mortise_caller& caller, uint64_t applied_index,
//                        mortise_identity& out);
//     RpcStatus authorize(const mortise_identity& who, std::span<const mortise_access> list);
//     void login(std::string_view user, std::string_view password, std::string_view remote,
//                LoginDone done);
//     void state(mortise_auth_state& out);
//   };
//
// The destructor is destroy(). An exception out of apply(), identify() or authorize() is
// kRpcInternal, which denies; out of prepare(), login() and state() it ends the process, since
// their answer may be out already.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "mortise/abi/auth.h"
#include "mortise/sdk/bytes.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/status.h"

namespace mortise::sdk {

inline constexpr mortise_rpc_code kRpcOk = 0;
inline constexpr mortise_rpc_code kRpcInternal = 13;

// A gRPC code, or MORTISE_AUTH_WAIT or _STALE, with the message that the client sees.
struct [[nodiscard]] RpcStatus {
  mortise_rpc_code code = kRpcOk;
  std::string message;
};

// The auth keyspace inside one entry's commit; for the call it was given to.
class AuthTxn {
 public:
  explicit AuthTxn(mortise_auth_txn* txn) noexcept : txn_(txn) {}
  // The spans live until the next call on the transaction.
  Status get(std::string_view key, std::string_view& value) {
    mortise_bytes found{};
    return finish([&](mortise_error* e) { return txn_->get(txn_, bytes(key), &found, e); },
                  [&] { value = view(found); });
  }
  // The first pair with a key not below `from`; not_found() at the end.
  Status next(std::string_view from, std::string_view& key, std::string_view& value) {
    mortise_bytes k{}, v{};
    return finish([&](mortise_error* e) { return txn_->next(txn_, bytes(from), &k, &v, e); },
                  [&] {
                    key = view(k);
                    value = view(v);
                  });
  }
  void put(std::string_view key, std::string_view value) {
    txn_->put(txn_, bytes(key), bytes(value));
  }
  void remove(std::string_view key) { txn_->remove(txn_, bytes(key)); }
  uint64_t entry_index() const { return txn_->entry_index; }

 private:
  template <class Call, class Take>
  static Status finish(Call call, Take take) {
    mortise_error error{};
    error.struct_size = sizeof(error);
    const mortise_status status = call(&error);
    if (status == MORTISE_OK) take();
    return Status(status, error.message, error.os_errno);
  }
  mortise_auth_txn* txn_;
};

// Answers prepare(), exactly once.
class PrepareDone {
 public:
  PrepareDone(mortise_done_fn fn, void* context) noexcept : fn_(fn), context_(context) {}
  void operator()(const RpcStatus& status, Buffer request) const {
    fn_(context_, status.code, bytes(status.message), request.release());
  }

 private:
  mortise_done_fn fn_;
  void* context_;
};

// Answers login(), exactly once.
class LoginDone {
 public:
  LoginDone(mortise_login_fn fn, void* context) noexcept : fn_(fn), context_(context) {}
  void operator()(const RpcStatus& status, std::string_view token, uint64_t auth_revision) const {
    fn_(context_, status.code, bytes(status.message), bytes(token), auth_revision);
  }

 private:
  mortise_login_fn fn_;
  void* context_;
};

namespace detail {

template <class Body>
inline mortise_rpc_code guard_rpc(mortise_error* error, Body&& body) noexcept {
  try {
    RpcStatus status = body();
    if (status.code != kRpcOk) write_error(internal_error(std::move(status.message)), error);
    return status.code;
  } catch (...) {
    exception_status(error);
    return kRpcInternal;
  }
}

template <class Auth>
struct AuthTrampolines {
  static Auth& self_of(mortise_auth* p) noexcept { return *reinterpret_cast<Auth*>(p); }
  static mortise_status create(const mortise_host* host, mortise_bytes config_json,
                               mortise_auth** out, mortise_error* error) noexcept {
    *out = nullptr;
    return guard(error, [&] {
      std::unique_ptr<Auth> made;
      Status status = Auth::create(Host(host), view(config_json), made);
      if (status.ok()) *out = reinterpret_cast<mortise_auth*>(made.release());
      return status;
    });
  }
  static mortise_status load(mortise_auth* p, mortise_auth_txn* txn,
                             mortise_error* error) noexcept {
    return guard(error, [&] { return self_of(p).load(AuthTxn(txn)); });
  }
  static mortise_rpc_code apply(mortise_auth* p, uint32_t request_field, mortise_bytes request,
                                mortise_auth_txn* txn, mortise_buffer* response,
                                mortise_error* error) noexcept {
    return guard_rpc(error, [&] {
      Buffer made;
      RpcStatus status = self_of(p).apply(request_field, view(request), AuthTxn(txn), made);
      if (status.code == kRpcOk) *response = made.release();
      return status;
    });
  }
  static void prepare(mortise_auth* p, uint32_t request_field, mortise_buffer request,
                      mortise_done_fn done, void* context) noexcept {
    self_of(p).prepare(request_field, Buffer(request), PrepareDone(done, context));
  }
  static mortise_rpc_code identify(mortise_auth* p, const mortise_caller* caller,
                                   uint64_t applied_index, mortise_identity* out,
                                   mortise_error* error) noexcept {
    return guard_rpc(error, [&] { return self_of(p).identify(*caller, applied_index, *out); });
  }
  static mortise_rpc_code authorize(mortise_auth* p, const mortise_identity* who,
                                    const mortise_access* list, size_t count,
                                    mortise_error* error) noexcept {
    return guard_rpc(error, [&] {
      return self_of(p).authorize(*who, std::span<const mortise_access>(list, count));
    });
  }
  static void login(mortise_auth* p, mortise_bytes user, mortise_bytes password,
                    mortise_bytes remote, mortise_login_fn done, void* context) noexcept {
    self_of(p).login(view(user), view(password), view(remote), LoginDone(done, context));
  }
  static void state(mortise_auth* p, mortise_auth_state* out) noexcept { self_of(p).state(*out); }
  static void destroy(mortise_auth* p) noexcept { delete &self_of(p); }
};

}  // namespace detail

template <class Auth>
constexpr mortise_auth_v1 auth_table() {
  using T = detail::AuthTrampolines<Auth>;
  mortise_auth_v1 table{};
  table.struct_size = sizeof(table);
  table.create = &T::create;
  table.load = &T::load;
  table.apply = &T::apply;
  table.prepare = &T::prepare;
  table.identify = &T::identify;
  table.authorize = &T::authorize;
  table.login = &T::login;
  table.state = &T::state;
  table.destroy = &T::destroy;
  return table;
}

}  // namespace mortise::sdk
