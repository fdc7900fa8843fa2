// etcdserverpb.Auth
//
// All of it is entries of the log, the questions too, as in etcd. What a password becomes is made
// before that, on a thread of the plugin's.
#include "host/api/methods.h"
#include "host/api/permit.h"
#include "proto/raft_internal.pb.h"
#include "proto/rpc.pb.h"

namespace mortise::api {
namespace {

const RpcError kNotServed{RpcCode::kFailedPrecondition,
                          "etcdserver: this member runs without a plugin for authentication "
                          "(--auth-plugin=none)"};

// What is logged is the message as it was understood: plugins of all members read it, and must not
// come to know more of it, or less, than was checked here.
template <typename Request>
bool read_canonical(const Call& call, std::string* out) {
  Request request;
  if (!parse(call.request(), &request)) return false;
  request.DiscardUnknownFields();
  *out = request.SerializeAsString();
  return true;
}

template <typename Request>
void propose_parsed(Call call, uint32_t field) {
  std::string request;
  if (!read_canonical<Request>(call, &request)) return call.fail(rpc_errors::kMalformed);
  if (call.context().authority == nullptr) return call.fail(kNotServed);
  propose(std::move(call), field, request);
}

// What the plugin has a say in before it is logged. Only an administrator may have passwords
// hashed, which takes long.
template <typename Request>
void propose_prepared(Call call, uint32_t field) {
  std::string request;
  if (!read_canonical<Request>(call, &request)) return call.fail(rpc_errors::kMalformed);
  if (call.context().authority == nullptr) return call.fail(kNotServed);
  call.drop_request();
  when_permitted(std::move(call), MORTISE_ACCESS_ADMIN, [field, request](Call permitted) mutable {
    auto shared = std::make_shared<Call>(std::move(permitted));
    auto propose_it = [shared, field](const RpcStatus& status, const std::string& prepared) {
      if (!status.ok()) return shared->fail(status);
      propose_judged(std::move(*shared), field, prepared);
    };
    shared->context().authority->prepare(field, request, propose_it);
    explicit_bzero(request.data(), request.size());
  });
  explicit_bzero(request.data(), request.size());
}

// A login: the password is checked, then the user's token becomes an entry, and if users or roles
// have changed in between all of it begins anew.
class Login : public std::enable_shared_from_this<Login> {
 public:
  Login(Call call, std::string name, std::string password)
      : call_(std::move(call)), name_(std::move(name)), password_(std::move(password)) {
    call_.drop_request();
  }
  ~Login() { explicit_bzero(password_.data(), password_.size()); }

  void run() {
    std::string request;
    if (!name_.empty()) wire::append_bytes_field(&request, 1, name_);
    // Answered at once, since it holds no password.
    authority().prepare(wire::kRaftAuthenticate, request,
                        [this](const RpcStatus& status, std::string entry) {
                          prepared_ = status;
                          entry_ = std::move(entry);
                        });
    if (!prepared_.ok()) return call_.fail(prepared_);
    authority().login(
        name_, password_, call_.remote(),
        [self = shared_from_this()](const RpcStatus& status, std::string token, uint64_t revision) {
          self->checked(status, std::move(token), revision);
        });
  }

 private:
  class Entered : public apply::Waiter {
   public:
    explicit Entered(std::shared_ptr<Login> login) : login_(std::move(login)) {}
    void complete(apply::ApplyResult result) override { login_->entered(std::move(result)); }

   private:
    std::shared_ptr<Login> login_;
  };

  auth::Authority& authority() { return *call_.context().authority; }

  void checked(const RpcStatus& status, std::string token, uint64_t revision) {
    if (!status.ok()) {
      if (status.message() != rpc_errors::kAuthNotEnabled.message) {
        call_.context().node->log(
            "warn", "invalid authentication was requested",
            {{"user", name_.substr(0, MORTISE_USER_BYTES_MAX)}, {"error", status.message()}});
      }
      return call_.fail(status);
    }
    token_ = std::move(token);
    revision_ = revision;
    call_.context().node->propose(wire::kRaftAuthenticate, entry_, {},
                                  std::make_unique<Entered>(shared_from_this()));
  }
  void entered(apply::ApplyResult result) {
    if (!result.rpc.ok()) return call_.fail(result.rpc);
    if (revision_ != authority().revision()) {
      call_.context().node->log("info", "revision when password checked became stale; retrying",
                                {});
      return run();
    }
    etcdserverpb::AuthenticateResponse response;
    if (!parse(result.body.view(), &response)) return call_.fail(rpc_errors::kMalformed);
    if (response.token().empty()) response.set_token(token_);
    call_.reply(respond(call_.context(), result.revision, response.SerializeAsString()));
  }

  Call call_;
  const std::string name_;
  std::string password_;
  RpcStatus prepared_;
  std::string entry_;
  uint64_t revision_ = 0;  // At which the password was right.
  std::string token_;
};

}  // namespace

void auth_authenticate(Call call) {
  etcdserverpb::AuthenticateRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  if (call.context().authority == nullptr) return call.fail(rpc_errors::kAuthNotEnabled);
  when_linearizable(std::move(call), [request](Call confirmed) mutable {
    auto login = std::make_shared<Login>(std::move(confirmed), request.name(), request.password());
    explicit_bzero(request.mutable_password()->data(), request.password().size());
    login->run();
  });
}

void auth_status(Call call) {
  if (call.context().authority != nullptr) {
    return propose_parsed<etcdserverpb::AuthStatusRequest>(std::move(call), wire::kRaftAuthStatus);
  }
  const Context& context = call.context();
  etcdserverpb::AuthStatusResponse response;
  response.set_enabled(false);
  response.set_authrevision(1);
  call.reply(respond(context, context.node->revision(), response.SerializeAsString()));
}

void auth_enable(Call call) {
  propose_parsed<etcdserverpb::AuthEnableRequest>(std::move(call), wire::kRaftAuthEnable);
}
void auth_disable(Call call) {
  propose_parsed<etcdserverpb::AuthDisableRequest>(std::move(call), wire::kRaftAuthDisable);
}
void auth_user_add(Call call) {
  propose_prepared<etcdserverpb::AuthUserAddRequest>(std::move(call), wire::kRaftUserAdd);
}
void auth_user_get(Call call) {
  // Nobody's name is empty too, so etcd looks such a user up for them. Here they log no entry.
  const bool by_nobody = call.context().auth_enabled() && call.credentials() == nullptr;
  etcdserverpb::AuthUserGetRequest request;
  if (by_nobody && parse(call.request(), &request) && request.name().empty()) {
    return call.fail(rpc_errors::kUserNotFound);
  }
  propose_parsed<etcdserverpb::AuthUserGetRequest>(std::move(call), wire::kRaftUserGet);
}
void auth_user_list(Call call) {
  propose_parsed<etcdserverpb::AuthUserListRequest>(std::move(call), wire::kRaftUserList);
}
void auth_user_delete(Call call) {
  propose_parsed<etcdserverpb::AuthUserDeleteRequest>(std::move(call), wire::kRaftUserDelete);
}
void auth_user_change_password(Call call) {
  propose_prepared<etcdserverpb::AuthUserChangePasswordRequest>(std::move(call),
                                                                wire::kRaftUserChangePassword);
}
void auth_user_grant_role(Call call) {
  propose_parsed<etcdserverpb::AuthUserGrantRoleRequest>(std::move(call), wire::kRaftUserGrantRole);
}
void auth_user_revoke_role(Call call) {
  propose_parsed<etcdserverpb::AuthUserRevokeRoleRequest>(std::move(call),
                                                          wire::kRaftUserRevokeRole);
}
void auth_role_add(Call call) {
  propose_prepared<etcdserverpb::AuthRoleAddRequest>(std::move(call), wire::kRaftRoleAdd);
}
void auth_role_get(Call call) {
  propose_parsed<etcdserverpb::AuthRoleGetRequest>(std::move(call), wire::kRaftRoleGet);
}
void auth_role_list(Call call) {
  propose_parsed<etcdserverpb::AuthRoleListRequest>(std::move(call), wire::kRaftRoleList);
}
void auth_role_delete(Call call) {
  propose_parsed<etcdserverpb::AuthRoleDeleteRequest>(std::move(call), wire::kRaftRoleDelete);
}
void auth_role_grant_permission(Call call) {
  propose_parsed<etcdserverpb::AuthRoleGrantPermissionRequest>(std::move(call),
                                                               wire::kRaftRoleGrantPermission);
}
void auth_role_revoke_permission(Call call) {
  propose_parsed<etcdserverpb::AuthRoleRevokePermissionRequest>(std::move(call),
                                                                wire::kRaftRoleRevokePermission);
}

}  // namespace mortise::api
