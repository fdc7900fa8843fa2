#include "host/auth/fake_plugin.h"

#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "host/auth/authority.h"
#include "proto/raft_internal.pb.h"
#include "proto/rpc.pb.h"

namespace mortise::auth::testing {
namespace {

struct State {
  bool enabled = false;
  uint64_t revision = 1;
  std::map<std::string, std::string> roles;  // By user.
};

struct Fake {
  std::mutex mutex;
  State state;
};

Fake& of(mortise_auth* self) { return *reinterpret_cast<Fake*>(self); }

mortise_rpc_code refuse(const RpcStatus& status, mortise_error* error) {
  std::strncpy(error->message, status.message().c_str(), sizeof error->message - 1);
  return static_cast<mortise_rpc_code>(status.code());
}

std::string row(char bucket, std::string_view key) { return std::string(1, bucket).append(key); }

std::optional<std::string> get(mortise_auth_txn* txn, const std::string& key) {
  mortise_bytes value{};
  if (txn->get(txn, store::bytes(key), &value, nullptr) != MORTISE_OK) return std::nullopt;
  return std::string(store::view(value));
}

void put(mortise_auth_txn* txn, const std::string& key, const std::string& value) {
  txn->put(txn, store::bytes(key), store::bytes(value));
}

State read(mortise_auth_txn* txn) {
  State state;
  state.enabled = get(txn, row('a', "authEnabled")) == "\1";
  if (auto revision = get(txn, row('a', "authRevision"))) state.revision = std::stoull(*revision);
  std::string from = "u";
  mortise_bytes key{}, value{};
  while (txn->next(txn, store::bytes(from), &key, &value, nullptr) == MORTISE_OK) {
    std::string name(store::view(key));
    if (name.front() != 'u') break;
    state.roles[name.substr(1)] = store::view(value);
    from = name + '\0';
  }
  return state;
}

template <typename Request>
Request parse(mortise_bytes bytes) {
  Request request;
  MORTISE_CHECK(request.ParseFromString(std::string(store::view(bytes))), "malformed");
  return request;
}

mortise_status create(const mortise_host*, mortise_bytes, mortise_auth** out, mortise_error*) {
  *out = reinterpret_cast<mortise_auth*>(new Fake());
  return MORTISE_OK;
}

mortise_status load(mortise_auth* self, mortise_auth_txn* txn, mortise_error*) {
  State state = read(txn);
  std::lock_guard lock(of(self).mutex);
  of(self).state = std::move(state);
  return MORTISE_OK;
}

void set_response(const google::protobuf::Message& message, mortise_buffer* out) {
  ByteBuffer bytes;
  bytes.append(message.SerializeAsString());
  *out = rpc::to_buffer(std::move(bytes));
}

mortise_rpc_code apply(mortise_auth* self, uint32_t field, mortise_bytes request,
                       mortise_auth_txn* txn, mortise_buffer* response, mortise_error* error) {
  namespace pb = ::etcdserverpb;
  bool changes = true;
  State state = read(txn);
  if (field == wire::kRaftAuthEnable) {
    if (!state.roles.contains("root")) return refuse(rpc_errors::kRootUserNotExist, error);
    put(txn, row('a', "authEnabled"), "\1");
    changes = false;
  } else if (field == wire::kRaftAuthDisable) {
    put(txn, row('a', "authEnabled"), std::string(1, '\0'));
  } else if (field == wire::kRaftUserAdd) {
    auto add = parse<pb::AuthUserAddRequest>(request);
    if (state.roles.contains(add.name())) return refuse(rpc_errors::kUserExists, error);
    put(txn, row('u', add.name()), "");
  } else if (field == wire::kRaftUserDelete) {
    std::string name = row('u', parse<pb::AuthUserDeleteRequest>(request).name());
    txn->remove(txn, store::bytes(name));
  } else if (field == wire::kRaftUserGrantRole) {
    auto grant = parse<pb::AuthUserGrantRoleRequest>(request);
    put(txn, row('u', grant.user()), grant.role());
  } else if (field == wire::kRaftUserRevokeRole) {
    put(txn, row('u', parse<pb::AuthUserRevokeRoleRequest>(request).name()), "");
  } else if (field == wire::kRaftAuthenticate) {
    pb::AuthenticateResponse answer;
    answer.set_token(parse<pb::InternalAuthenticateRequest>(request).name() + "@" +
                     std::to_string(txn->entry_index));
    set_response(answer, response);
    changes = false;
  } else {
    pb::AuthStatusResponse answer;
    answer.set_enabled(state.enabled);
    answer.set_authrevision(state.revision);
    set_response(answer, response);
    changes = false;
  }
  if (changes) put(txn, row('a', "authRevision"), std::to_string(state.revision + 1));
  State after = read(txn);
  std::lock_guard lock(of(self).mutex);
  of(self).state = std::move(after);
  return 0;
}

void prepare(mortise_auth*, uint32_t, mortise_buffer request, mortise_done_fn done, void* context) {
  done(context, 0, {}, request);
}

mortise_rpc_code identify(mortise_auth* self, const mortise_caller* caller, uint64_t applied,
                          mortise_identity* out, mortise_error* error) {
  std::string token(store::view(caller->token));
  std::lock_guard lock(of(self).mutex);
  const State& state = of(self).state;
  *out = make_identity({}, 0);
  if (!state.enabled || token.empty()) return 0;
  size_t at = token.find('@');
  if (at != std::string::npos && std::stoull(token.substr(at + 1)) > applied) {
    out->wait_index = std::stoull(token.substr(at + 1));
    return MORTISE_AUTH_WAIT;
  }
  std::string name = token.substr(0, at);
  if (!state.roles.contains(name)) return refuse(rpc_errors::kInvalidAuthToken, error);
  *out = make_identity(name, state.revision);
  return 0;
}

bool may(const std::string& role, const mortise_access& access) {
  if (role == "root" || access.kind == MORTISE_ACCESS_LOGGED_IN) return true;
  if (access.kind != MORTISE_ACCESS_READ && access.kind != MORTISE_ACCESS_WRITE) return false;
  std::string_view key = store::view(access.key);
  std::string_view end = store::view(access.range_end);
  std::string limit = role;
  if (!limit.empty()) ++limit.back();
  return !role.empty() && key.starts_with(role) &&
         (end.empty() || (end != std::string_view("\0", 1) && end <= limit));
}

mortise_rpc_code authorize(mortise_auth* self, const mortise_identity* who,
                           const mortise_access* list, size_t count, mortise_error* error) {
  std::lock_guard lock(of(self).mutex);
  const State& state = of(self).state;
  if (!state.enabled) return 0;
  if (who->user_size == 0) return refuse(rpc_errors::kUserEmpty, error);
  if (who->auth_revision < state.revision) return MORTISE_AUTH_STALE;
  auto role = state.roles.find(std::string(user_of(*who)));
  for (size_t i = 0; i < count; ++i) {
    if (role == state.roles.end() || !may(role->second, list[i])) {
      return refuse(rpc_errors::kPermissionDenied, error);
    }
  }
  return 0;
}

void login(mortise_auth* self, mortise_bytes user, mortise_bytes password, mortise_bytes,
           mortise_login_fn done, void* context) {
  uint64_t revision;
  bool good;
  {
    std::lock_guard lock(of(self).mutex);
    revision = of(self).state.revision;
    good = of(self).state.roles.contains(std::string(store::view(user))) &&
           store::view(password) == "secret";
  }
  RpcStatus status;
  if (!good) status = rpc_errors::kAuthFailed;
  done(context, static_cast<mortise_rpc_code>(status.code()), store::bytes(status.message()), {},
       revision);
}

void state(mortise_auth* self, mortise_auth_state* out) {
  std::lock_guard lock(of(self).mutex);
  out->enabled = of(self).state.enabled ? 1 : 0;
  out->revision = of(self).state.revision;
}

}  // namespace

const mortise_auth_v1* fake_plugin() {
  static const mortise_auth_v1 table = [] {
    mortise_auth_v1 t{};
    t.struct_size = sizeof t;
    t.create = create;
    t.load = load;
    t.apply = apply;
    t.prepare = prepare;
    t.identify = identify;
    t.authorize = authorize;
    t.login = login;
    t.state = state;
    t.destroy = [](mortise_auth* self) { delete &of(self); };
    return t;
  }();
  return &table;
}

}  // namespace mortise::auth::testing
