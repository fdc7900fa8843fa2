// What a request needs: any request, a txn of any depth too, as the flat list of operations that
// the auth plugin judges. The only place that knows which operation of which request needs what.
//
// Called by the handlers before a request is logged and by the apply stage when it is applied. Any
// thread. The views are those of the request. A kind of request that is not known here needs an
// administrator.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "host/wire/kv_requests.h"
#include "mortise/abi/auth.h"

namespace mortise::auth {

struct Needs {
  std::vector<mortise_access> list;
  // Every key that is attached to one of these leases must be writable.
  std::vector<int64_t> leases;
  // This user needs nothing else, as the request is about itself.
  std::string_view self;

  void clear();
  void add(mortise_access_kind kind, std::string_view key = {}, std::string_view range_end = {});
  void add(const wire::RangeRequest& range);
  void add(const wire::PutRequest& put);
  void add(const wire::DeleteRangeRequest& deletion);
  void add(const wire::TxnRequest& txn);
};

// What an entry of the log needs when it is applied. That is what it needs in etcd, neither more
// nor less: members of both kinds must decide alike. `field` is that of InternalRaftRequest. False
// if the request is malformed.
bool needs_of_entry(uint32_t field, std::string_view request, Needs* out);
// What a client needs to have the request logged: all that the entry will need but for the keys of
// leases, and what only a client is asked for.
bool needs_of_proposal(uint32_t field, std::string_view request, Needs* out);

}  // namespace mortise::auth
