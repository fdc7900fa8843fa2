// The auth plugin as C++ objects: who calls, what they may do, and the entries that change it.
//
// The apply thread calls load() and apply(); all others are for any thread and take no lock. The
// plugin answers prepare() and login() on any thread, and the answer must not call this object.
// Whether authentication is on, and the revision of users and roles, are kept here as well, so that
// a member without authentication pays one load for each request.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "host/auth/needs.h"
#include "host/auth/rows.h"
#include "host/base/byte_buffer.h"
#include "host/base/rpc_error.h"
#include "host/base/status.h"
#include "host/rpc/buffers.h"
#include "host/store/store.h"
#include "host/wire/raft_request.h"
#include "mortise/abi/auth.h"

namespace mortise::auth {

// What a caller says of itself, kept beyond the call that brought it. Not for logs.
struct Credentials {
  explicit Credentials(const mortise_caller& caller);
  mortise_caller caller() const;

  std::string token;
  std::string tls_common_name;
  std::string remote;
  uint32_t flags = 0;
};

mortise_identity make_identity(std::string_view user, uint64_t auth_revision);
inline std::string_view user_of(const mortise_identity& identity) {
  return {identity.user, identity.user_size};
}
inline wire::Author author_of(const mortise_identity& identity) {
  return {user_of(identity), identity.auth_revision};
}

constexpr std::string_view kRootUser = "root";

// Does the store hold users for whom clients must authenticate?
Result<bool> is_enabled_in(const store::Reader& reader);

class Authority {
 public:
  // `table` lives as long as the process; `host` outlives the authority.
  static Result<std::unique_ptr<Authority>> create(const mortise_auth_v1* table,
                                                   const mortise_host* host,
                                                   std::string_view config_json);
  ~Authority();
  Authority(const Authority&) = delete;

  bool enabled() const { return enabled_.load(std::memory_order_relaxed); }
  uint64_t revision() const { return revision_.load(std::memory_order_acquire); }

  // At start and after the store was replaced.
  Status load(const store::Reader& reader);
  // An entry. If it is refused, nothing of it counts; else the caller keeps what txn has. A Status
  // that is not ok: the plugin or the store failed.
  Status apply(uint32_t field, std::string_view request, RowsTxn* txn, RpcStatus* rpc,
               ByteBuffer* response);

  // *wait_index is an entry that may bring the token and is not applied yet; the status is a
  // refusal then. 0 if none can. `applied_index` was applied here before the call.
  RpcStatus identify(const Credentials& credentials, uint64_t applied_index, mortise_identity* who,
                     uint64_t* wait_index = nullptr) const;
  // All of the list; the keys of leases are the caller's to add.
  RpcStatus authorize(const mortise_identity& who, const Needs& needs) const;
  RpcStatus authorize(const mortise_identity& who, const mortise_access& access) const;
  bool is_admin(const mortise_identity& who) const;

  using PrepareFn = std::function<void(const RpcStatus&, std::string request)>;
  void prepare(uint32_t field, std::string_view request, PrepareFn done);
  // `auth_revision`: the one at which the password was right.
  using LoginFn = std::function<void(const RpcStatus&, std::string token, uint64_t auth_revision)>;
  void login(std::string_view user, std::string_view password, std::string_view remote,
             LoginFn done);

 private:
  Authority(const mortise_auth_v1* table, mortise_auth* handle) : table_(table), handle_(handle) {}
  void read_state();

  const mortise_auth_v1* const table_;
  mortise_auth* const handle_;
  std::atomic<bool> enabled_{false};
  std::atomic<uint64_t> revision_{1};
};

}  // namespace mortise::auth
