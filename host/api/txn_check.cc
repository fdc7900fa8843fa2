#include "host/api/txn_check.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace mortise::api {
namespace {

constexpr int64_t kPutOverheadBytes = 256;

RpcStatus check_txn_fields(const wire::TxnRequest& txn, int64_t ops_max) {
  auto ops =
      static_cast<int64_t>(std::max({txn.compare.size(), txn.success.size(), txn.failure.size()}));
  if (ops > ops_max) return rpc_errors::kTooManyOps;
  for (const wire::Compare& c : txn.compare) {
    if (c.key.empty()) return rpc_errors::kEmptyKey;
  }
  auto check_op = [&](const wire::RequestOp& op) -> RpcStatus {
    if (auto* range = std::get_if<wire::RangeRequest>(&op)) return check_range(*range);
    if (auto* put = std::get_if<wire::PutRequest>(&op)) return check_put(*put);
    if (auto* del = std::get_if<wire::DeleteRangeRequest>(&op)) return check_delete_range(*del);
    if (auto* inner = std::get_if<std::unique_ptr<wire::TxnRequest>>(&op)) {
      return check_txn_fields(**inner, ops_max - ops);
    }
    return rpc_errors::kKeyNotFound;
  };
  for (const auto* branch : {&txn.success, &txn.failure}) {
    for (const wire::RequestOp& op : *branch) {
      RpcStatus status = check_op(op);
      if (!status.ok()) return status;
    }
  }
  return RpcStatus();
}

struct Interval {
  std::string_view key;
  std::string_view range_end;  // Taken as it is: "\0" ends before any key, as in etcd.
  bool contains(std::string_view k) const {
    return range_end.empty() ? k == key : key <= k && k < range_end;
  }
};

struct Writes {
  std::set<std::string_view> puts;
  std::vector<Interval> deletes;
  bool deletes_key(std::string_view k) const {
    return std::any_of(deletes.begin(), deletes.end(),
                       [&](const Interval& i) { return i.contains(k); });
  }
};

using Ops = std::vector<wire::RequestOp>;
bool collect_writes(const Ops& ops, Writes* writes);

// Puts of a nested txn join those of its parent; its two branches never both run.
bool collect_nested(const wire::TxnRequest& txn, Writes* writes) {
  Writes then_writes, else_writes;
  if (!collect_writes(txn.success, &then_writes) || !collect_writes(txn.failure, &else_writes))
    return false;
  for (std::string_view k : then_writes.puts) {
    if (writes->puts.contains(k) || writes->deletes_key(k)) return false;
  }
  for (std::string_view k : else_writes.puts) {
    if (writes->puts.contains(k) && !then_writes.puts.contains(k)) return false;
    if (writes->deletes_key(k)) return false;
  }
  for (const Writes* from : {&then_writes, &else_writes}) {
    writes->puts.insert(from->puts.begin(), from->puts.end());
    writes->deletes.insert(writes->deletes.end(), from->deletes.begin(), from->deletes.end());
  }
  return true;
}

// False if a key is put twice, or put and deleted, in operations that may run together.
bool collect_writes(const Ops& ops, Writes* writes) {
  for (const wire::RequestOp& op : ops) {
    if (auto* del = std::get_if<wire::DeleteRangeRequest>(&op)) {
      writes->deletes.push_back({del->key, del->range_end});
    }
  }
  for (const wire::RequestOp& op : ops) {
    auto* inner = std::get_if<std::unique_ptr<wire::TxnRequest>>(&op);
    if (inner != nullptr && !collect_nested(**inner, writes)) return false;
  }
  for (const wire::RequestOp& op : ops) {
    auto* put = std::get_if<wire::PutRequest>(&op);
    if (put == nullptr) continue;
    if (writes->deletes_key(put->key) || !writes->puts.insert(put->key).second) return false;
  }
  return true;
}

}  // namespace

RpcStatus check_range(const wire::RangeRequest& r) {
  if (r.key.empty()) return rpc_errors::kEmptyKey;
  if (r.sort_order < wire::kSortNone || r.sort_order > wire::kSortDescend ||
      r.sort_target < wire::kSortKey || r.sort_target > wire::kSortValue) {
    return rpc_errors::kInvalidSortOption;
  }
  return RpcStatus();
}

RpcStatus check_put(const wire::PutRequest& r) {
  if (r.key.empty()) return rpc_errors::kEmptyKey;
  if (r.ignore_value && !r.value.empty()) return rpc_errors::kValueProvided;
  if (r.ignore_lease && r.lease != 0) return rpc_errors::kLeaseProvided;
  return RpcStatus();
}

RpcStatus check_delete_range(const wire::DeleteRangeRequest& r) {
  if (r.key.empty()) return rpc_errors::kEmptyKey;
  return RpcStatus();
}

RpcStatus check_txn(const wire::TxnRequest& request, uint64_t ops_max) {
  RpcStatus status = check_txn_fields(request, static_cast<int64_t>(ops_max));
  if (!status.ok()) return status;
  for (const auto* branch : {&request.success, &request.failure}) {
    Writes writes;
    if (!collect_writes(*branch, &writes)) return rpc_errors::kDuplicateKey;
  }
  return RpcStatus();
}

bool is_read_only(const wire::TxnRequest& txn) {
  auto only_ranges = [](const Ops& ops) {
    return std::all_of(ops.begin(), ops.end(), [](const wire::RequestOp& op) {
      return std::holds_alternative<wire::RangeRequest>(op);
    });
  };
  return only_ranges(txn.success) && only_ranges(txn.failure);
}

bool is_serializable(const wire::TxnRequest& txn) {
  auto serializable = [](const Ops& ops) {
    return std::all_of(ops.begin(), ops.end(), [](const wire::RequestOp& op) {
      auto* range = std::get_if<wire::RangeRequest>(&op);
      return range != nullptr && range->serializable;
    });
  };
  return serializable(txn.success) && serializable(txn.failure);
}

int64_t put_cost(const wire::PutRequest& put) {
  return kPutOverheadBytes + static_cast<int64_t>(put.key.size() + put.value.size());
}

int64_t txn_cost(const wire::TxnRequest& txn) {
  auto cost = [](const Ops& ops) {
    int64_t sum = 0;
    for (const wire::RequestOp& op : ops) {
      if (auto* put = std::get_if<wire::PutRequest>(&op)) sum += put_cost(*put);
      if (auto* inner = std::get_if<std::unique_ptr<wire::TxnRequest>>(&op))
        sum += txn_cost(**inner);
    }
    return sum;
  };
  return std::max(cost(txn.success), cost(txn.failure));
}

}  // namespace mortise::api
