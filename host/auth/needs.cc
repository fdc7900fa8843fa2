#include "host/auth/needs.h"

#include "host/rpc/buffers.h"
#include "host/wire/raft_request.h"

namespace mortise::auth {
namespace {

// One field of a flat message; the last one counts, as everywhere.
bool find_bytes(std::string_view message, uint32_t number, std::string_view* out) {
  wire::FieldReader reader(message);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_bytes(number)) *out = f.bytes;
  }
  return !reader.failed();
}

bool find_varint(std::string_view message, uint32_t number, uint64_t* out) {
  wire::FieldReader reader(message);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(number)) *out = f.varint;
  }
  return !reader.failed();
}

template <typename Request>
bool add_decoded(std::string_view bytes, Needs* out) {
  Request request;
  if (!wire::decode(bytes, &request)) return false;
  out->add(request);
  return true;
}

bool add_revocation(std::string_view request, Needs* out) {
  uint64_t id = 0;
  if (!find_varint(request, 1, &id)) return false;
  out->leases.push_back(static_cast<int64_t>(id));
  return true;
}

bool add_alarm(std::string_view request, Needs* out) {
  uint64_t action = 0;
  if (!find_varint(request, 1, &action)) return false;
  constexpr uint32_t kGet = 0;
  bool only_asks = static_cast<uint32_t>(action) == kGet;
  out->add(only_asks ? MORTISE_ACCESS_LOGGED_IN : MORTISE_ACCESS_ADMIN);
  return true;
}

bool add_user_get(std::string_view request, Needs* out) {
  out->add(MORTISE_ACCESS_ADMIN);
  return find_bytes(request, 1, &out->self);
}

bool add_role_get(std::string_view request, Needs* out) {
  std::string_view role;
  if (!find_bytes(request, 1, &role)) return false;
  out->add(MORTISE_ACCESS_ROLE, role);
  return true;
}

bool is_auth(uint32_t field) {
  return field >= wire::kRaftAuthFirst && field <= wire::kRaftAuthLast;
}

}  // namespace

void Needs::clear() {
  list.clear();
  leases.clear();
  self = {};
}

void Needs::add(mortise_access_kind kind, std::string_view key, std::string_view range_end) {
  list.push_back({kind, 0, rpc::to_bytes(key), rpc::to_bytes(range_end)});
}

void Needs::add(const wire::RangeRequest& range) {
  add(MORTISE_ACCESS_READ, range.key, range.range_end);
}

void Needs::add(const wire::PutRequest& put) {
  add(MORTISE_ACCESS_WRITE, put.key);
  // Who may not delete the keys of a lease must not tie others' fate to it either.
  if (put.lease != 0) leases.push_back(put.lease);
  if (put.prev_kv) add(MORTISE_ACCESS_READ, put.key);
}

void Needs::add(const wire::DeleteRangeRequest& deletion) {
  add(MORTISE_ACCESS_WRITE, deletion.key, deletion.range_end);
  if (deletion.prev_kv) add(MORTISE_ACCESS_READ, deletion.key, deletion.range_end);
}

// Both branches, whichever will be taken: which one it is tells of what was compared.
void Needs::add(const wire::TxnRequest& txn) {
  for (const wire::Compare& compare : txn.compare) {
    add(MORTISE_ACCESS_READ, compare.key, compare.range_end);
  }
  for (const auto* branch : {&txn.success, &txn.failure}) {
    for (const wire::RequestOp& op : *branch) {
      if (auto* range = std::get_if<wire::RangeRequest>(&op)) {
        add(*range);
      } else if (auto* put = std::get_if<wire::PutRequest>(&op)) {
        add(*put);
      } else if (auto* deletion = std::get_if<wire::DeleteRangeRequest>(&op)) {
        add(*deletion);
      } else if (auto* inner = std::get_if<std::unique_ptr<wire::TxnRequest>>(&op)) {
        add(**inner);
      }
    }
  }
}

bool needs_of_entry(uint32_t field, std::string_view request, Needs* out) {
  switch (field) {
    case wire::kRaftRange: return add_decoded<wire::RangeRequest>(request, out);
    case wire::kRaftPut: return add_decoded<wire::PutRequest>(request, out);
    case wire::kRaftDeleteRange: return add_decoded<wire::DeleteRangeRequest>(request, out);
    case wire::kRaftTxn: return add_decoded<wire::TxnRequest>(request, out);
    case wire::kRaftLeaseRevoke: return add_revocation(request, out);
    // Of these only clients are asked, before they are logged: members log them, too.
    case wire::kRaftCompaction:
    case wire::kRaftLeaseGrant:
    case wire::kRaftLeaseCheckpoint:
    case wire::kRaftAlarm:
    case wire::kRaftClusterVersionSet:
    case wire::kRaftClusterMemberAttrSet:
    case wire::kRaftDowngradeInfoSet:
    // These are how one comes to be known, and the question whether one must be.
    case wire::kRaftAuthenticate:
    case wire::kRaftAuthStatus: return true;
    case wire::kRaftUserGet: return add_user_get(request, out);
    case wire::kRaftRoleGet: return add_role_get(request, out);
    default: break;
  }
  if (is_auth(field)) out->add(MORTISE_ACCESS_ADMIN);
  return true;
}

bool needs_of_proposal(uint32_t field, std::string_view request, Needs* out) {
  switch (field) {
    case wire::kRaftLeaseGrant: out->add(MORTISE_ACCESS_LOGGED_IN); return true;
    case wire::kRaftLeaseRevoke: out->add(MORTISE_ACCESS_LOGGED_IN); return true;
    case wire::kRaftAlarm: return add_alarm(request, out);
    case wire::kRaftRange:
    case wire::kRaftPut:
    case wire::kRaftDeleteRange:
    case wire::kRaftTxn: {
      bool decoded = needs_of_entry(field, request, out);
      out->leases.clear();  // Which keys those are is known when the entry is applied.
      // A txn without operations tells the revision.
      if (out->list.empty()) out->add(MORTISE_ACCESS_LOGGED_IN);
      return decoded;
    }
    default: break;
  }
  if (is_auth(field)) return needs_of_entry(field, request, out);
  out->add(MORTISE_ACCESS_ADMIN);
  return true;
}

}  // namespace mortise::auth
