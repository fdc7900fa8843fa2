// How a member without a log begins, which etcd calls bootstrapping. A founder of a new cluster
// knows all members from --initial-cluster and begins its log with the entries that make them
// members, the same bytes on each. Who joins a cluster asks its members for the ids and begins with
// an empty log. Called by Server at start, on its thread; asks other members and waits. Errors have
// etcd's texts.
#pragma once

#include <vector>

#include "host/base/status.h"
#include "host/config/config.h"
#include "host/membership/member.h"
#include "host/server/inquiry.h"
#include "host/wal/wal.h"

namespace mortise::server {

struct Beginning {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  bool is_new = false;                       // There was no log.
  std::vector<membership::Member> founders;  // By id; none if the member joins a cluster.
  std::vector<membership::Member> remotes;   // The other members of the cluster that it joins.
};

// `config` with --initial-cluster and its token as the DNS or a discovery service says, if one is
// to be asked. The main thread only; may wait forever, and signals end the process meanwhile.
Result<config::Config> discovered(const config::Config& config, const config::ResolveHost& resolve,
                                  Log* log);

// The members of the new cluster that `config` describes, and which of them this one is.
Result<Beginning> found_cluster(const config::Config& config, const config::ResolveHost& resolve);

// A founder that the others know as one that has run already must not begin anew: it would vote
// again where it has voted before.
Status check_not_bootstrapped(const Beginning& beginning, Inquiry* inquiry);

// The cluster whose members, as `config` names them, answer.
Result<Beginning> join_cluster(const config::Config& config, const config::ResolveHost& resolve,
                               Inquiry* inquiry, std::chrono::milliseconds limit, Log* log);

// For a member that has begun to join and was started anew before it heard from its cluster: the
// others, if one that `config` names answers.
std::vector<membership::Member> others_of_joined(const config::Config& config,
                                                 const Beginning& beginning, Inquiry* inquiry);

// Gives each initial member its id among the members that were found; the same URLs must be there.
Result<std::vector<membership::Member>> match_members(
    const std::vector<config::InitialMember>& initial, const FoundCluster& found,
    const std::string& cluster_token, const config::ResolveHost& resolve);

// The first entries of a founder's log, already committed.
Status write_founding_entries(wal::Wal* wal, const std::vector<membership::Member>& founders);

}  // namespace mortise::server
