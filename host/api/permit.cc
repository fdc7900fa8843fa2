#include "host/api/permit.h"

namespace mortise::api {
namespace {

std::shared_ptr<const auth::Credentials> nobody() {
  static const auto* empty = new std::shared_ptr<const auth::Credentials>(
      std::make_shared<auth::Credentials>(mortise_caller{}));
  return *empty;
}

bool needs_admin(std::string_view, auth::Needs* out) {
  out->add(MORTISE_ACCESS_ADMIN);
  return true;
}

bool needs_login(std::string_view, auth::Needs* out) {
  out->add(MORTISE_ACCESS_LOGGED_IN);
  return true;
}

NeedsFn needs_of(mortise_access_kind kind) {
  return kind == MORTISE_ACCESS_LOGGED_IN ? needs_login : needs_admin;
}

}  // namespace

bool may_be_behind(const Context& context, const RpcStatus& refusal) {
  bool by_rights = refusal.code() == RpcCode::kPermissionDenied ||
                   refusal.message() == rpc_errors::kUserNotFound.message;
  return by_rights && !context.node->is_linearizable();
}

RpcStatus identify(Call* call, uint64_t* wait_index) {
  const Context& context = call->context();
  auto who = std::make_unique<mortise_identity>();
  const auto& credentials = call->credentials();
  RpcStatus status = context.authority->identify(
      credentials ? *credentials : *nobody(), context.node->applied_index(), who.get(), wait_index);
  call->set_identity(status.ok() ? std::move(who) : nullptr);
  return status;
}

RpcStatus judge(Call* call, const auth::Needs& needs) {
  const Context& context = call->context();
  if (!context.auth_enabled()) {
    call->set_identity(nullptr);
    return RpcStatus();
  }
  const mortise_identity* known = call->identity();
  bool is_fresh = known != nullptr && known->auth_revision == context.authority->revision();
  RpcStatus status = is_fresh ? RpcStatus() : identify(call, nullptr);
  if (status.ok()) status = context.authority->authorize(*call->identity(), needs);
  if (status.message() != rpc_errors::kAuthOldRevision.message) return status;
  // Users or roles have changed just now; a token that tells a revision stays old.
  status = identify(call, nullptr);
  return status.ok() ? context.authority->authorize(*call->identity(), needs) : status;
}

RpcStatus judge(Call* call, NeedsFn needs) {
  if (!call->context().auth_enabled()) return RpcStatus();
  thread_local auth::Needs list;
  list.clear();
  if (!needs(call->request(), &list)) return rpc_errors::kMalformed;
  return judge(call, list);
}

RpcStatus judge(Call* call, mortise_access_kind kind) { return judge(call, needs_of(kind)); }

RpcStatus still_current(const Call& call) {
  const mortise_identity* who = call.identity();
  bool is_old = who != nullptr && who->auth_revision != 0 &&
                who->auth_revision != call.context().authority->revision();
  return is_old ? rpc_errors::kAuthOldRevision : RpcStatus();
}

void when_permitted(Call call, NeedsFn needs, std::function<void(Call)> next) {
  RpcStatus status = judge(&call, needs);
  if (status.ok()) return next(std::move(call));
  if (!may_be_behind(call.context(), status)) return call.fail(status);
  Node* node = call.context().node;
  auto shared = std::make_shared<Call>(std::move(call));
  node->when_linearizable([shared, needs, next = std::move(next), status](const RpcStatus& read) {
    if (!read.ok()) return shared->fail(status);
    RpcStatus again = judge(shared.get(), needs);
    if (!again.ok()) return shared->fail(again);
    next(std::move(*shared));
  });
}

void when_permitted(Call call, mortise_access_kind kind, std::function<void(Call)> next) {
  when_permitted(std::move(call), needs_of(kind), std::move(next));
}

std::shared_ptr<auth::Warrant> make_warrant(const Context& context,
                                            std::shared_ptr<const auth::Credentials> credentials) {
  if (context.authority == nullptr) return nullptr;
  return std::make_shared<auth::Warrant>(
      context.authority, [node = context.node] { return node->applied_index(); },
      credentials ? std::move(credentials) : nobody());
}

std::shared_ptr<auth::Warrant> warrant_of(const Call& call) {
  return make_warrant(call.context(), call.credentials());
}

RpcStatus judge_lease_keys(const Context& context, const mortise_identity& who, int64_t lease,
                           mortise_access_kind kind) {
  if (!context.auth_enabled() || context.authority->is_admin(who)) return RpcStatus();
  std::vector<std::string> keys;
  auto reader = context.store->reader();
  Status status = reader.ok()
                      ? lease::attached_keys(*reader, lease,
                                             [&](std::string_view key) { keys.emplace_back(key); })
                      : reader.status();
  if (!status.ok()) return RpcStatus(RpcCode::kUnknown, "etcdserver: " + status.message());
  auth::Needs needs;
  for (const std::string& key : keys) needs.add(kind, key);
  return context.authority->authorize(who, needs);
}

}  // namespace mortise::api
