#include "host/auth/authority.h"

#include <cstring>

namespace mortise::auth {
namespace {

mortise_error no_error() {
  mortise_error error{};
  error.struct_size = sizeof error;
  return error;
}

RpcStatus rpc_status(mortise_rpc_code code, std::string_view message) {
  if (code == 0) return RpcStatus();
  if (code == MORTISE_AUTH_STALE) return rpc_errors::kAuthOldRevision;
  return RpcStatus(static_cast<RpcCode>(code), std::string(message));
}

}  // namespace

Credentials::Credentials(const mortise_caller& caller)
    : token(store::view(caller.token)),
      tls_common_name(store::view(caller.tls_common_name)),
      remote(store::view(caller.remote)),
      flags(caller.flags) {}

mortise_caller Credentials::caller() const {
  mortise_caller caller{};
  caller.struct_size = sizeof caller;
  caller.flags = flags;
  caller.token = store::bytes(token);
  caller.tls_common_name = store::bytes(tls_common_name);
  caller.remote = store::bytes(remote);
  return caller;
}

mortise_identity make_identity(std::string_view user, uint64_t auth_revision) {
  mortise_identity who;
  std::memset(&who, 0, offsetof(mortise_identity, user));
  who.struct_size = sizeof who;
  who.auth_revision = auth_revision;
  // A name that is cut off would be somebody else's.
  if (user.size() > sizeof who.user) return who;
  who.user_size = static_cast<uint32_t>(user.size());
  user.copy(who.user, user.size());
  return who;
}

Result<bool> is_enabled_in(const store::Reader& reader) {
  bool found;
  std::string_view value;
  std::string row(1, MORTISE_AUTH_ROW_STATE);
  row += "authEnabled";
  MORTISE_RETURN_IF_ERROR(reader.get(store::kAuth, row, &found, &value));
  return found && value == std::string_view("\1", 1);
}

Result<std::unique_ptr<Authority>> Authority::create(const mortise_auth_v1* table,
                                                     const mortise_host* host,
                                                     std::string_view config_json) {
  mortise_auth* handle = nullptr;
  mortise_error error = no_error();
  mortise_status code = table->create(host, store::bytes(config_json), &handle, &error);
  MORTISE_RETURN_IF_ERROR(
      store::plugin_status(code, error, "cannot create the auth plugin", handle));
  return std::unique_ptr<Authority>(new Authority(table, handle));
}

Authority::~Authority() { table_->destroy(handle_); }

Status Authority::load(const store::Reader& reader) {
  RowsTxn txn(&reader, nullptr, 0);
  mortise_error error = no_error();
  mortise_status code = table_->load(handle_, txn.face(), &error);
  MORTISE_RETURN_IF_ERROR(store::plugin_status(code, error, "loading users and roles"));
  MORTISE_RETURN_IF_ERROR(txn.status());
  read_state();
  return Status();
}

void Authority::read_state() {
  mortise_auth_state state{};
  state.struct_size = sizeof state;
  table_->state(handle_, &state);
  revision_.store(state.revision, std::memory_order_release);
  enabled_.store(state.enabled != 0, std::memory_order_release);
}

Status Authority::apply(uint32_t field, std::string_view request, RowsTxn* txn, RpcStatus* rpc,
                        ByteBuffer* response) {
  mortise_error error = no_error();
  mortise_buffer buffer{};
  mortise_rpc_code code =
      table_->apply(handle_, field, store::bytes(request), txn->face(), &buffer, &error);
  rpc::Payload payload(buffer);
  MORTISE_RETURN_IF_ERROR(txn->status());
  // Not a decision that other members come to as well.
  if (code == static_cast<mortise_rpc_code>(RpcCode::kInternal)) {
    return internal_error(std::string("the auth plugin failed: ") + error.message);
  }
  *rpc = rpc_status(code, error.message);
  if (!rpc->ok()) return Status();
  response->append(payload.view());
  read_state();
  return Status();
}

RpcStatus Authority::identify(const Credentials& credentials, uint64_t applied_index,
                              mortise_identity* who, uint64_t* wait_index) const {
  *who = make_identity({}, 0);
  if (wait_index != nullptr) *wait_index = 0;
  mortise_error error = no_error();
  mortise_caller caller = credentials.caller();
  mortise_rpc_code code = table_->identify(handle_, &caller, applied_index, who, &error);
  if (code != MORTISE_AUTH_WAIT) return rpc_status(code, error.message);
  if (wait_index != nullptr) *wait_index = who->wait_index;
  return rpc_errors::kInvalidAuthToken;
}

RpcStatus Authority::authorize(const mortise_identity& who, const Needs& needs) const {
  if (!enabled() || needs.list.empty()) return RpcStatus();
  if (!needs.self.empty() && needs.self == user_of(who)) return RpcStatus();
  mortise_error error = no_error();
  mortise_rpc_code code =
      table_->authorize(handle_, &who, needs.list.data(), needs.list.size(), &error);
  return rpc_status(code, error.message);
}

RpcStatus Authority::authorize(const mortise_identity& who, const mortise_access& access) const {
  if (!enabled()) return RpcStatus();
  mortise_error error = no_error();
  mortise_rpc_code code = table_->authorize(handle_, &who, &access, 1, &error);
  return rpc_status(code, error.message);
}

bool Authority::is_admin(const mortise_identity& who) const {
  return authorize(who, mortise_access{MORTISE_ACCESS_ADMIN, 0, {}, {}}).ok();
}

void Authority::prepare(uint32_t field, std::string_view request, PrepareFn done) {
  ByteBuffer copy(request.size());
  copy.append(request);
  auto answer = [](void* context, mortise_rpc_code code, mortise_bytes message,
                   mortise_buffer body) {
    std::unique_ptr<PrepareFn> fn(static_cast<PrepareFn*>(context));
    rpc::Payload payload(body);
    (*fn)(rpc_status(code, store::view(message)), std::string(payload.view()));
  };
  table_->prepare(handle_, field, rpc::to_buffer(std::move(copy)), answer,
                  new PrepareFn(std::move(done)));
}

void Authority::login(std::string_view user, std::string_view password, std::string_view remote,
                      LoginFn done) {
  auto answer = [](void* context, mortise_rpc_code code, mortise_bytes message, mortise_bytes token,
                   uint64_t auth_revision) {
    std::unique_ptr<LoginFn> fn(static_cast<LoginFn*>(context));
    (*fn)(rpc_status(code, store::view(message)), std::string(store::view(token)), auth_revision);
  };
  table_->login(handle_, store::bytes(user), store::bytes(password), store::bytes(remote), answer,
                new LoginFn(std::move(done)));
}

}  // namespace mortise::auth
