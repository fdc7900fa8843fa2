#include "plugins/auth_rbac/rbac.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mortise/sdk/config.h"
#include "plugins/auth_rbac/base64.h"
#include "plugins/auth_rbac/bcrypt.h"
#include "plugins/auth_rbac/errors.h"
#include "plugins/auth_rbac/requests.h"
#include "plugins/auth_rbac/state.h"
#include "plugins/auth_rbac/wire.h"

namespace mortise::auth_rbac {
namespace {

using sdk::RpcStatus;

bool set_identity(std::string_view user, uint64_t auth_revision, mortise_identity& out) {
  if (user.empty() || user.size() > sizeof(out.user)) return false;
  std::memcpy(out.user, user.data(), user.size());
  out.user_size = static_cast<uint32_t>(user.size());
  out.auth_revision = auth_revision;
  return true;
}

std::string_view user_of(const mortise_identity& who) {
  return std::string_view(who.user, std::min<size_t>(who.user_size, sizeof(who.user)));
}

// A request that goes into the log as it came. What is logged has to be good for members of etcd's
// too, which end at a name that is no UTF-8.
RpcStatus check_names(uint32_t field, std::string_view request) {
  PlainRequest r;
  if (!r.parse(request) || !is_utf8(r.first)) return refuse(kMalformed);
  const bool second = field == kUserGrantRole || field == kUserRevokeRole;
  if (second && !is_utf8(r.second)) return refuse(kMalformed);
  if (field == kRoleAdd && r.first.size() > kRoleBytesMax) return refuse(kNameTooLong);
  return granted();
}

// Lines of etcd's for what has changed; null for requests that change nothing.
const char* line_of(uint32_t field) {
  switch (field) {
    case kAuthEnable: return "enabled authentication";
    case kAuthDisable: return "disabled authentication";
    case kUserAdd: return "added a user";
    case kUserDelete: return "deleted a user";
    case kUserChangePassword: return "changed a password of a user";
    case kUserGrantRole: return "granted a role to a user";
    case kUserRevokeRole: return "revoked a role from a user";
    case kRoleAdd: return "created a role";
    case kRoleDelete: return "deleted a role";
    case kRoleGrantPermission: return "granted/updated a permission to a user";
    case kRoleRevokePermission: return "revoked a permission on range";
    default: return nullptr;
  }
}

// Says who or what was changed, and no more of the request: it may hold a hash.
void log_change(sdk::Host host, uint32_t field, std::string_view request, uint64_t auth_revision) {
  const char* line = line_of(field);
  if (line == nullptr || !host.log_enabled(MORTISE_LOG_INFO)) return;
  PlainRequest r;
  if (!r.parse(request)) return;
  const bool both = field == kUserGrantRole || field == kUserRevokeRole;
  const char* what = field >= kRoleAdd ? "role-name" : "user-name";
  if (field == kAuthEnable || field == kAuthDisable) {
    host.log(MORTISE_LOG_INFO, line, {{"auth-revision", auth_revision}});
  } else if (both) {
    host.log(MORTISE_LOG_INFO, line, {{"user-name", r.first}, {"role-name", r.second}});
  } else {
    host.log(MORTISE_LOG_INFO, line, {{what, r.first}});
  }
}

int checked_cost(sdk::Host host, uint64_t given) {
  if (given >= kBcryptCostMin && given <= kBcryptCostMax) return static_cast<int>(given);
  host.log(MORTISE_LOG_WARN, "use default bcrypt cost instead of the invalid given cost",
           {{"min-cost", kBcryptCostMin},
            {"max-cost", kBcryptCostMax},
            {"default-cost", kBcryptCostDefault},
            {"given-cost", given}});
  return kBcryptCostDefault;
}

}  // namespace

sdk::Status Rbac::create(sdk::Host host, std::string_view config_json, std::unique_ptr<Rbac>& out) {
  sdk::Config config;
  MORTISE_SDK_RETURN_IF_ERROR(config.parse(config_json));
  Settings settings;
  const std::string token = config.get_string("token", "simple");
  const uint64_t cost = config.get_u64("bcrypt_cost", kBcryptCostDefault);
  const uint64_t ttl_s = config.get_u64("token_ttl_s", 300, 0, UINT32_MAX);
  settings.client_cert_auth = config.get_bool("client_cert_auth", false);
  MORTISE_SDK_RETURN_IF_ERROR(config.finish());
  settings.bcrypt_cost = checked_cost(host, cost);
  if (ttl_s != 0) settings.simple_token_ttl = std::chrono::seconds(ttl_s);

  TokenOptions options;
  const sdk::Status parsed = options.parse(token);
  if (!parsed.ok()) {
    host.log(MORTISE_LOG_ERROR, "invalid token option");
    return parsed;
  }
  settings.token_kind = options.kind;
  std::unique_ptr<Jwt> jwt;
  if (options.kind == TokenKind::kSimple) {
    host.log(MORTISE_LOG_WARN, "simple token is not cryptographically signed");
  } else if (options.kind == TokenKind::kJwt) {
    MORTISE_SDK_RETURN_IF_ERROR(Jwt::create(host, options, jwt));
  }
  std::unique_ptr<KeyedHash> hash = KeyedHash::make();
  if (hash == nullptr) return sdk::internal_error("auth: no randomness for keys");
  out.reset(new Rbac(host, settings, std::move(hash), std::move(jwt)));
  return {};
}

Rbac::Rbac(sdk::Host host, const Settings& settings, std::unique_ptr<KeyedHash> hash,
           std::unique_ptr<Jwt> jwt)
    : host_(host),
      settings_(settings),
      hash_(std::move(hash)),
      jwt_(std::move(jwt)),
      tokens_(*hash_, settings.simple_token_ttl),
      threads_(std::make_unique<HashThreads>()),
      logins_(
          host, *hash_, *threads_, view_, settings.bcrypt_cost,
          [this](std::string_view user, uint64_t auth_revision, std::string& token) {
            return make_token(user, auth_revision, token);
          },
          jwt_ != nullptr && jwt_->signing_is_slow()) {}

// The threads answer what waits, with the help of the other members.
Rbac::~Rbac() { threads_.reset(); }

sdk::Status Rbac::load(sdk::AuthTxn txn) {
  auto next = std::make_shared<View>();
  MORTISE_SDK_RETURN_IF_ERROR(load_view(txn, *next));
  const std::shared_ptr<const View> before = view_.share();
  // What the entries between the two would have ended.
  if (!next->enabled) tokens_.end_all();
  for (const auto& user : before->users()) {
    const User* now = next->user(user->record.name);
    if (now == nullptr || now->record.password != user->record.password) {
      tokens_.end_user(user->record.name);
    }
  }
  logins_.verified().clear();
  view_.set(std::move(next));
  return {};
}

RpcStatus Rbac::apply(uint32_t request_field, std::string_view request, sdk::AuthTxn txn,
                      sdk::Buffer& response) {
  const std::shared_ptr<const View> view = view_.share();
  Outcome out;
  RpcStatus status = apply_request(request_field, request, txn.entry_index(), txn, *view, out);
  if (status.code != sdk::kRpcOk) return status;
  // Tokens end before the new revision is seen: whoever was identified by one of them has the old.
  if (!out.ended_user.empty()) {
    tokens_.end_user(out.ended_user);
    logins_.verified().forget(out.ended_user);
  }
  if (out.auth_disabled) {
    tokens_.end_all();
    logins_.verified().clear();
  }
  if (out.next != nullptr) {
    log_change(host_, request_field, request, out.next->revision);
    view_.set(std::move(out.next));
  }
  if (!out.token.empty() && settings_.token_kind == TokenKind::kSimple) {
    tokens_.add(out.token_user, out.token);
  }
  response = sdk::Buffer::from(std::move(out.response));
  return status;
}

template <class Request>
void Rbac::hash_into(std::shared_ptr<Request> request, sdk::PrepareDone done) {
  const std::string_view password = request->password.view();
  if (password.size() > kPasswordBytesMax) return done(refuse(kPasswordTooLong), {});
  if (password.find('\0') != std::string_view::npos) return done(refuse(kPasswordHasNul), {});
  const auto task = [this, request, done](bool stopping) {
    if (stopping) return done(refuse(kStopping), {});
    const std::string hash = bcrypt_hash(request->password.view(), settings_.bcrypt_cost);
    if (hash.empty()) return done(RpcStatus{kInternal, "auth: cannot hash the password"}, {});
    request->hashed_password = base64_encode(hash);
    request->password = Secret();
    done(granted(), sdk::Buffer::from(request->encode()));
  };
  if (!threads_->run(HashThreads::kChange, task)) done(refuse(kTooManyLogins), {});
}

void Rbac::prepare_user(std::string_view request, sdk::PrepareDone done) {
  const auto r = std::make_shared<UserAddRequest>();
  if (!r->parse(request) || !is_utf8(r->name)) return done(refuse(kMalformed), {});
  if (r->name.size() > MORTISE_USER_BYTES_MAX) return done(refuse(kNameTooLong), {});
  if (r->options && r->options->no_password) {
    r->password = Secret();
    r->hashed_password.clear();
  } else if (!r->password.empty() || r->hashed_password.empty()) {
    return hash_into(r, done);
  }
  done(granted(), sdk::Buffer::from(r->encode()));
}

void Rbac::prepare_password(std::string_view request, sdk::PrepareDone done) {
  const auto r = std::make_shared<ChangePasswordRequest>();
  if (!r->parse(request) || !is_utf8(r->name)) return done(refuse(kMalformed), {});
  if (!r->password.empty()) return hash_into(r, done);
  done(granted(), sdk::Buffer::from(r->encode()));
}

void Rbac::prepare(uint32_t request_field, sdk::Buffer request, sdk::PrepareDone done) {
  switch (request_field) {
    case kUserAdd: return prepare_user(request.view(), done);
    case kUserChangePassword: return prepare_password(request.view(), done);
    case kAuthenticate: {
      LogInRequest r;
      if (!r.parse(request.view()) || !is_utf8(r.name)) return done(refuse(kMalformed), {});
      r.simple_token.clear();
      if (settings_.token_kind == TokenKind::kSimple) {
        r.simple_token = SimpleTokens::make_prefix();
        if (r.simple_token.empty()) return done(RpcStatus{kInternal, "auth: no randomness"}, {});
      }
      return done(granted(), sdk::Buffer::from(r.encode()));
    }
    default: {
      const RpcStatus status = check_names(request_field, request.view());
      return done(status, status.code == sdk::kRpcOk ? std::move(request) : sdk::Buffer());
    }
  }
}

RpcStatus Rbac::make_token(std::string_view user, uint64_t auth_revision, std::string& out) {
  switch (settings_.token_kind) {
    case TokenKind::kSimple: return granted();
    case TokenKind::kJwt: return jwt_->sign(user, auth_revision, out);
    case TokenKind::kNone: break;
  }
  return refuse(kAuthFailed);
}

RpcStatus Rbac::identify_token(std::string_view token, uint64_t applied_index,
                               uint64_t auth_revision, mortise_identity& out) {
  std::string user;
  if (settings_.token_kind == TokenKind::kJwt) {
    const bool good = jwt_->verify(token, user, auth_revision);
    return good && set_identity(user, auth_revision, out) ? granted() : refuse(kInvalidToken);
  }
  if (settings_.token_kind == TokenKind::kNone) return refuse(kInvalidToken);
  if (tokens_.find(token, user)) {
    return set_identity(user, auth_revision, out) ? granted() : refuse(kInvalidToken);
  }
  uint64_t index = 0;
  if (!SimpleTokens::index_of(token, index) || index <= applied_index) return refuse(kInvalidToken);
  out.wait_index = index;
  return refuse(kWait);
}

RpcStatus Rbac::identify(const mortise_caller& caller, uint64_t applied_index,
                         mortise_identity& out) {
  out.user_size = 0;
  out.auth_revision = 0;
  out.wait_index = 0;
  // Before the token is looked up: see apply().
  const View& view = view_.get();
  if (!view.enabled) return granted();
  const std::string_view token = sdk::view(caller.token);
  if (!token.empty()) return identify_token(token, applied_index, view.revision, out);
  if (!settings_.client_cert_auth || caller.tls_common_name.size == 0) return granted();
  if ((caller.flags & MORTISE_CALLER_VIA_GATEWAY) != 0) return refuse(kNameThroughGateway);
  set_identity(sdk::view(caller.tls_common_name), view.revision, out);
  return granted();
}

RpcStatus Rbac::authorize(const mortise_identity& who, std::span<const mortise_access> list) {
  return view_.get().authorize(user_of(who), who.auth_revision, list);
}

void Rbac::login(std::string_view user, std::string_view password, std::string_view remote,
                 sdk::LoginDone done) {
  logins_.login(user, password, remote, done);
}

void Rbac::state(mortise_auth_state& out) {
  const View& view = view_.get();
  out.enabled = view.enabled ? 1 : 0;
  out.revision = view.revision;
}

}  // namespace mortise::auth_rbac
