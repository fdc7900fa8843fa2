// The auth plugin: users, roles and permissions as etcd has them, with simple tokens or JWTs.
//
// Joins the parts: the replicated state (state.h) makes views (view.h), by which identify(),
// authorize() and login() decide; tokens and verified passwords are this member's own, in memory.
// mortise/abi/auth.h is the contract, threads included.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "mortise/sdk/auth.h"
#include "plugins/auth_rbac/bcrypt.h"
#include "plugins/auth_rbac/hash_threads.h"
#include "plugins/auth_rbac/jwt.h"
#include "plugins/auth_rbac/keyed_hash.h"
#include "plugins/auth_rbac/logins.h"
#include "plugins/auth_rbac/simple_tokens.h"
#include "plugins/auth_rbac/view.h"

namespace mortise::auth_rbac {

inline constexpr size_t kRoleBytesMax = 1024;

struct Settings {
  TokenKind token_kind = TokenKind::kSimple;
  std::chrono::seconds simple_token_ttl{300};
  int bcrypt_cost = kBcryptCostDefault;
  bool client_cert_auth = false;
};

class Rbac {
 public:
  static sdk::Status create(sdk::Host host, std::string_view config_json,
                            std::unique_ptr<Rbac>& out);
  ~Rbac();

  sdk::Status load(sdk::AuthTxn txn);
  sdk::RpcStatus apply(uint32_t request_field, std::string_view request, sdk::AuthTxn txn,
                       sdk::Buffer& response);
  void prepare(uint32_t request_field, sdk::Buffer request, sdk::PrepareDone done);
  sdk::RpcStatus identify(const mortise_caller& caller, uint64_t applied_index,
                          mortise_identity& out);
  sdk::RpcStatus authorize(const mortise_identity& who, std::span<const mortise_access> list);
  void login(std::string_view user, std::string_view password, std::string_view remote,
             sdk::LoginDone done);
  void state(mortise_auth_state& out);

 private:
  Rbac(sdk::Host host, const Settings& settings, std::unique_ptr<KeyedHash> hash,
       std::unique_ptr<Jwt> jwt);

  void prepare_user(std::string_view request, sdk::PrepareDone done);
  void prepare_password(std::string_view request, sdk::PrepareDone done);
  // Puts the hash of `password` into the request, on another thread, and answers.
  template <class Request>
  void hash_into(std::shared_ptr<Request> request, sdk::PrepareDone done);
  sdk::RpcStatus make_token(std::string_view user, uint64_t auth_revision, std::string& out);
  sdk::RpcStatus identify_token(std::string_view token, uint64_t applied_index,
                                uint64_t auth_revision, mortise_identity& out);

  const sdk::Host host_;
  const Settings settings_;
  const std::unique_ptr<KeyedHash> hash_;
  const std::unique_ptr<Jwt> jwt_;  // Null unless tokens are JWTs.
  ViewSlot view_;
  SimpleTokens tokens_;
  std::unique_ptr<HashThreads> threads_;
  Logins logins_;
};

}  // namespace mortise::auth_rbac
