// Users and roles: whether an entry's author may do what it asks, and entries that change them.
#include "host/apply/applier.h"

namespace mortise::apply {

Status Applier::load_auth(const store::Reader& reader) {
  auth_rows_.clear();
  if (authority_ != nullptr) return authority_->load(reader);
  MORTISE_ASSIGN_OR_RETURN(bool enabled, auth::is_enabled_in(reader));
  if (!enabled) return Status();
  return invalid(
      "the data has authentication enabled, and this member runs without a plugin for it "
      "(--auth-plugin=none)");
}

// As in etcd nothing is asked again that a client is only asked before its request is logged.
Status Applier::permit(const wire::RaftRequest& request, RpcStatus* rpc) {
  if (authority_ == nullptr || !authority_->enabled()) return Status();
  needs_.clear();
  if (!auth::needs_of_entry(request.field, request.request, &needs_)) {
    return corruption("a logged request is malformed");
  }
  if (needs_.list.empty() && needs_.leases.empty()) return Status();
  mortise_identity who = auth::make_identity(request.username, request.auth_revision);
  *rpc = authority_->authorize(who, needs_);
  if (!rpc->ok() || needs_.leases.empty()) return Status();
  return permit_leases(who, rpc);
}

// The keys of a lease are those of now, whatever was attached since the request was logged.
Status Applier::permit_leases(const mortise_identity& who, RpcStatus* rpc) {
  if (authority_->is_admin(who)) return Status();
  for (int64_t lease : needs_.leases) {
    if (!lessor_->exists(lease)) continue;
    MORTISE_ASSIGN_OR_RETURN(auto keys, writer_.attached_keys(lease));
    auth::Needs writes;
    for (const std::string& key : keys) writes.add(MORTISE_ACCESS_WRITE, key);
    *rpc = authority_->authorize(who, writes);
    if (!rpc->ok()) return Status();
  }
  return Status();
}

namespace {

bool only_asks(uint32_t field) {
  return field == wire::kRaftAuthenticate || field == wire::kRaftAuthStatus ||
         field == wire::kRaftUserGet || field == wire::kRaftUserList ||
         field == wire::kRaftRoleGet || field == wire::kRaftRoleList;
}

}  // namespace

Status Applier::apply_auth(const wire::RaftRequest& request, uint64_t index, ApplyResult* result) {
  if (authority_ == nullptr && only_asks(request.field)) {
    result->rpc = rpc_errors::kAuthNotEnabled;
    return Status();
  }
  if (authority_ == nullptr) {
    return invalid("log entry " + std::to_string(index) +
                   " is about users and roles, and this member runs without a plugin for them "
                   "(--auth-plugin=none)");
  }
  const uint64_t revision = authority_->revision();
  const bool enabled = authority_->enabled();
  auth::RowsTxn txn(&writer_.reader(), &auth_rows_, index);
  MORTISE_RETURN_IF_ERROR(
      authority_->apply(request.field, request.request, &txn, &result->rpc, &result->body));
  if (!result->rpc.ok()) return Status();
  txn.keep([this](const std::string& key, const std::string* value) {
    if (value != nullptr) {
      writer_.put_row(store::kAuth, key, *value);
    } else {
      writer_.remove_row(store::kAuth, key);
    }
  });
  if (authority_->revision() != revision || authority_->enabled() != enabled) {
    note_auth_change(request);
  }
  return Status();
}

void Applier::note_auth_change(const wire::RaftRequest& request) {
  auth_changed_ = true;
  if (request.field != wire::kRaftUserDelete && request.field != wire::kRaftUserChangePassword) {
    return;
  }
  wire::FieldReader reader(request.request);
  wire::Field f;
  std::string_view name;
  while (reader.next(&f)) {
    if (f.is_bytes(1)) name = f.bytes;
  }
  changed_users_.emplace_back(name);
}

void Applier::show_auth_changes() {
  if (!std::exchange(auth_changed_, false)) return;
  std::vector<std::string> users = std::exchange(changed_users_, {});
  if (hooks_.auth_changed) hooks_.auth_changed(users);
}

}  // namespace mortise::apply
