#include "tests/e2e/auth_env.h"

namespace mortise::testing {

namespace pb = ::etcdserverpb;

std::string AuthClient::login(const std::string& user, const std::string& password) {
  pb::AuthenticateRequest request;
  request.set_name(user);
  request.set_password(password);
  pb::AuthenticateResponse response;
  token_.clear();
  std::string status = call(client_.auth(), &pb::Auth::Stub::Authenticate, request, &response);
  token_ = response.token();
  return status;
}

std::string AuthClient::add_user(const std::string& name, const std::string& password) {
  pb::AuthUserAddRequest request;
  request.set_name(name);
  request.set_password(password);
  return call(client_.auth(), &pb::Auth::Stub::UserAdd, request);
}

std::string AuthClient::delete_user(const std::string& name) {
  pb::AuthUserDeleteRequest request;
  request.set_name(name);
  return call(client_.auth(), &pb::Auth::Stub::UserDelete, request);
}

std::string AuthClient::change_password(const std::string& name, const std::string& password) {
  pb::AuthUserChangePasswordRequest request;
  request.set_name(name);
  request.set_password(password);
  return call(client_.auth(), &pb::Auth::Stub::UserChangePassword, request);
}

std::string AuthClient::add_role(const std::string& name) {
  pb::AuthRoleAddRequest request;
  request.set_name(name);
  return call(client_.auth(), &pb::Auth::Stub::RoleAdd, request);
}

std::string AuthClient::grant_role(const std::string& user, const std::string& role) {
  pb::AuthUserGrantRoleRequest request;
  request.set_user(user);
  request.set_role(role);
  return call(client_.auth(), &pb::Auth::Stub::UserGrantRole, request);
}

std::string AuthClient::revoke_role(const std::string& user, const std::string& role) {
  pb::AuthUserRevokeRoleRequest request;
  request.set_name(user);
  request.set_role(role);
  return call(client_.auth(), &pb::Auth::Stub::UserRevokeRole, request);
}

std::string AuthClient::grant(const std::string& role, authpb::Permission::Type type,
                              const std::string& key, const std::string& range_end) {
  pb::AuthRoleGrantPermissionRequest request;
  request.set_name(role);
  request.mutable_perm()->set_permtype(type);
  request.mutable_perm()->set_key(key);
  request.mutable_perm()->set_range_end(range_end);
  return call(client_.auth(), &pb::Auth::Stub::RoleGrantPermission, request);
}

std::string AuthClient::revoke(const std::string& role, const std::string& key,
                               const std::string& range_end) {
  pb::AuthRoleRevokePermissionRequest request;
  request.set_role(role);
  request.set_key(key);
  request.set_range_end(range_end);
  return call(client_.auth(), &pb::Auth::Stub::RoleRevokePermission, request);
}

std::string AuthClient::enable() {
  return call(client_.auth(), &pb::Auth::Stub::AuthEnable, pb::AuthEnableRequest());
}

std::string AuthClient::disable() {
  return call(client_.auth(), &pb::Auth::Stub::AuthDisable, pb::AuthDisableRequest());
}

void AuthClient::enable_with_root() {
  ASSERT_EQ(add_user("root", "rootpw"), "OK");
  ASSERT_EQ(add_role("root"), "OK");
  ASSERT_EQ(grant_role("root", "root"), "OK");
  ASSERT_EQ(enable(), "OK");
  ASSERT_EQ(login("root", "rootpw"), "OK");
}

void AuthClient::add_user_with_range(const std::string& name, const std::string& key,
                                     const std::string& range_end) {
  ASSERT_EQ(add_user(name, "pw"), "OK");
  ASSERT_EQ(add_role(name), "OK");
  ASSERT_EQ(grant(name, authpb::Permission::READWRITE, key, range_end), "OK");
  ASSERT_EQ(grant_role(name, name), "OK");
}

std::string AuthClient::put(const std::string& key, const std::string& value, int64_t lease,
                            bool prev_kv) {
  pb::PutRequest request;
  request.set_key(key);
  request.set_value(value);
  request.set_lease(lease);
  request.set_prev_kv(prev_kv);
  return call(client_.kv(), &pb::KV::Stub::Put, request);
}

std::string AuthClient::range(const std::string& key, const std::string& range_end,
                              pb::RangeResponse* response) {
  pb::RangeRequest request;
  request.set_key(key);
  request.set_range_end(range_end);
  pb::RangeResponse ignored;
  return call(client_.kv(), &pb::KV::Stub::Range, request,
              response == nullptr ? &ignored : response);
}

std::string AuthClient::remove(const std::string& key, const std::string& range_end, bool prev_kv) {
  pb::DeleteRangeRequest request;
  request.set_key(key);
  request.set_range_end(range_end);
  request.set_prev_kv(prev_kv);
  return call(client_.kv(), &pb::KV::Stub::DeleteRange, request);
}

std::string AuthClient::txn(const pb::TxnRequest& request) {
  return call(client_.kv(), &pb::KV::Stub::Txn, request);
}

std::string AuthClient::grant_lease(int64_t id) {
  pb::LeaseGrantRequest request;
  request.set_id(id);
  request.set_ttl(1000);
  return call(client_.lease(), &pb::Lease::Stub::LeaseGrant, request);
}

std::string AuthClient::revoke_lease(int64_t id) {
  pb::LeaseRevokeRequest request;
  request.set_id(id);
  return call(client_.lease(), &pb::Lease::Stub::LeaseRevoke, request);
}

std::string AuthClient::time_to_live(int64_t id, bool keys, pb::LeaseTimeToLiveResponse* response) {
  pb::LeaseTimeToLiveRequest request;
  request.set_id(id);
  request.set_keys(keys);
  pb::LeaseTimeToLiveResponse ignored;
  return call(client_.lease(), &pb::Lease::Stub::LeaseTimeToLive, request,
              response == nullptr ? &ignored : response);
}

AuthWatch::AuthWatch(AuthClient* client) {
  client->prepare(&context_);
  stream_ = client->plain().watch().Watch(&context_);
}

AuthWatch::~AuthWatch() {
  context_.TryCancel();
  pb::WatchResponse response;
  while (stream_->Read(&response)) continue;
  (void)stream_->Finish();
}

std::string AuthWatch::create(const std::string& key, const std::string& range_end) {
  pb::WatchRequest request;
  request.mutable_create_request()->set_key(key);
  request.mutable_create_request()->set_range_end(range_end);
  stream_->Write(request);
  pb::WatchResponse response;
  if (!stream_->Read(&response)) return "ended";
  if (!response.created()) return "not created";
  return response.canceled() ? response.cancel_reason() : "created";
}

std::string AuthWatch::next() {
  pb::WatchResponse response;
  if (!stream_->Read(&response)) return "ended";
  if (response.canceled()) return "canceled " + response.cancel_reason();
  std::string keys;
  for (const auto& event : response.events()) keys += event.kv().key() + " ";
  return keys;
}

}  // namespace mortise::testing
