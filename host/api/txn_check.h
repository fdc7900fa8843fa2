// What is wrong with a KV request before anything is read.
#pragma once

#include "host/base/rpc_error.h"
#include "host/wire/kv_requests.h"

namespace mortise::api {

RpcStatus check_range(const wire::RangeRequest& request);
RpcStatus check_put(const wire::PutRequest& request);
RpcStatus check_delete_range(const wire::DeleteRangeRequest& request);
// Fields and number of operations at every level, then keys written twice.
RpcStatus check_txn(const wire::TxnRequest& request, uint64_t ops_max);

// Only ranges, at the top level; an empty txn counts too.
bool is_read_only(const wire::TxnRequest& txn);
// Only serializable ranges.
bool is_serializable(const wire::TxnRequest& txn);
constexpr int64_t kLeaseCost = 64;  // Of a grant.
// What the request may add to the store, as etcd reckons it.
int64_t put_cost(const wire::PutRequest& put);
int64_t txn_cost(const wire::TxnRequest& txn);

}  // namespace mortise::api
