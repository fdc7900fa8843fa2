// Runs of unary requests: puts, ranges, transactions, and the leases of the keep-alive run.
#pragma once

#include <grpcpp/channel.h>

#include <functional>
#include <memory>
#include <vector>

#include "proto/rpc.pb.h"
#include "tools/bench/load.h"
#include "tools/bench/options.h"

namespace mortise::bench {

enum class Rpc { kPut, kRange, kTxn, kLeaseGrant, kLeaseRevoke };

// The next request: `rpc` says which of the messages counts.
struct Request {
  Rpc rpc = Rpc::kPut;
  etcdserverpb::PutRequest put;
  etcdserverpb::RangeRequest range;
  etcdserverpb::TxnRequest txn;
  etcdserverpb::LeaseGrantRequest grant;
  etcdserverpb::LeaseRevokeRequest revoke;
  uint64_t key = 0;  // The number of the key of a put.
};

// Fills in requests; one on each thread.
class RequestMaker {
 public:
  virtual ~RequestMaker() = default;
  virtual void make(uint64_t sequence, Request* request) = 0;
};

// Requests as the command line asks for them, for put, range, txn-put, mixed, and the puts of
// watch.
std::unique_ptr<RequestMaker> make_command_requests(const Options& options, int thread);
// The keys 0..preload-1, each once, preload_batch in a transaction.
std::unique_ptr<RequestMaker> make_preload_requests(const Options& options, int thread);
uint64_t preload_request_count(const Options& options);
// Grants or revokes leases first_id, first_id + 1 and so on.
std::unique_ptr<RequestMaker> make_lease_requests(Rpc rpc, int64_t first_id, int64_t ttl_s);

using Channels = std::vector<std::shared_ptr<grpc::Channel>>;
using MakerFactory = std::function<std::unique_ptr<RequestMaker>(int thread)>;
// Called with the number of the key after each put that succeeded, on the thread of its caller.
using PutObserver = std::function<void(uint64_t key)>;

LoadResult run_unary(const Channels& channels, const Load& load, const MakerFactory& make_maker,
                     const PutObserver& on_put);

}  // namespace mortise::bench
