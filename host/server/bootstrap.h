// How a member without a log begins, which etcd calls bootstrapping. A founder of a new cluster
// knows all members from --initial-cluster and begins its log with the entries that make them
// members, the same bytes on each. Called by Server at start, on its thread; may ask other members
// and wait.
#pragma once

#include <vector>

#include "host/base/status.h"
#include "host/config/config.h"
#include "host/membership/member.h"
#include "host/wal/wal.h"

namespace mortise::server {

struct Beginning {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  bool is_new = false;                       // There was no log.
  std::vector<membership::Member> founders;  // By id; none if the member joins a cluster.
};

// The members of the new cluster that `config` describes, and which of them this one is.
Result<Beginning> found_cluster(const config::Config& config, const config::ResolveHost& resolve);

// The first entries of a founder's log, already committed.
Status write_founding_entries(wal::Wal* wal, const std::vector<membership::Member>& founders);

}  // namespace mortise::server
