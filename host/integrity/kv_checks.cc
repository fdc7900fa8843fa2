#include "host/integrity/kv_checks.h"

#include <algorithm>

#include "host/peer/http.h"

namespace mortise::integrity {
namespace {

using Failure = PeerHash::Failure;

std::string id_text(uint64_t id) { return peer::hex_text(id); }

std::string seconds_text(std::chrono::milliseconds time) {
  return std::to_string(time.count()) + "ms";
}

std::string ids_text(const std::vector<uint64_t>& ids) {
  std::string text;
  for (uint64_t id : ids) text += (text.empty() ? "" : ",") + id_text(id);
  return text;
}

LogFields local_fields(uint64_t id, const KvHash& hash) {
  return {{"local-member-id", id_text(id)},
          {"local-member-revision", hash.revision},
          {"local-member-compact-revision", hash.compact_revision},
          {"local-member-hash", int64_t{hash.hash}}};
}

std::string_view start_failure(Failure failure) {
  switch (failure) {
    case Failure::kFutureRevision: return "cannot fetch hash from slow remote peer";
    case Failure::kCompacted: return "cannot fetch hash from remote peer; local member is behind";
    case Failure::kClusterMismatch: return "cluster ID mismatch";
    default: return "cannot fetch hash from remote peer";
  }
}

}  // namespace

Result<KvHash> KvChecks::local_hash() {
  MORTISE_ASSIGN_OR_RETURN(auto local, options_.hash_at(0));
  if (!local.rpc.ok()) return internal_error(local.rpc.message());
  return local.hash;
}

Status KvChecks::check_at_start() {
  const std::string id = id_text(options_.local_id);
  log("info", "starting initial corruption check",
      {{"local-member-id", id}, {"timeout", seconds_text(options_.request_timeout)}});
  auto local = local_hash();
  if (!local.ok()) {
    return internal_error(id + " failed to fetch hash (" + local.status().message() + ")");
  }
  bool mismatch = false;
  size_t agreeing = 1;
  auto peers = options_.ask_peers(local->revision);
  for (const PeerHash& peer : peers) {
    if (options_.is_raised(peer.peer.id)) continue;
    LogFields fields = local_fields(options_.local_id, *local);
    fields.emplace_back("remote-peer-id", id_text(peer.peer.id));
    if (peer.failure != Failure::kNone) {
      fields.emplace_back("error", peer.error);
      log("warn", start_failure(peer.failure), std::move(fields));
      continue;
    }
    if (peer.hash.hash == local->hash) {
      ++agreeing;
      continue;
    }
    fields.emplace_back("remote-peer-revision", peer.hash.current_revision);
    fields.emplace_back("remote-peer-compact-revision", peer.hash.compact_revision);
    fields.emplace_back("remote-peer-hash", int64_t{peer.hash.hash});
    bool same_history = peer.hash.compact_revision == local->compact_revision;
    mismatch |= same_history;
    log("warn",
        same_history ? "found different hash values from remote peer"
                     : "found different compact revision values from remote peer",
        std::move(fields));
  }
  if (mismatch && agreeing >= (peers.size() + 1) / 2 + 1) {
    log("warn", "a majority agrees with this member, so it starts", {{"local-member-id", id}});
    return Status();
  }
  if (mismatch) return corruption(id + " found data inconsistency with peers");
  log("info", "initial corruption checking passed; no corruption", {{"local-member-id", id}});
  return Status();
}

Status KvChecks::check_newest() {
  MORTISE_ASSIGN_OR_RETURN(KvHash first, local_hash());
  auto peers = options_.ask_peers(first.revision);
  RpcStatus confirmed = options_.confirm_linearizable();
  if (!confirmed.ok()) return internal_error(confirmed.message());
  MORTISE_ASSIGN_OR_RETURN(KvHash second, local_hash());

  // One alarm in a pass: which member is at fault is a guess, and one is enough to stop all.
  bool alarmed = false;
  auto blame = [&](uint64_t id, std::string_view why, LogFields fields) {
    fields.emplace_back("follower-peer-id", id_text(id));
    log("warn", why, std::move(fields));
    if (!std::exchange(alarmed, true)) options_.raise(id);
  };
  if (second.hash != first.hash && second.revision == first.revision &&
      second.compact_revision == first.compact_revision) {
    blame(options_.local_id, "found hash mismatch",
          {{"revision-1", first.revision},
           {"hash-1", int64_t{first.hash}},
           {"revision-2", second.revision},
           {"hash-2", int64_t{second.hash}}});
  }
  int64_t checked = 0;
  for (const PeerHash& peer : peers) {
    if (peer.failure != Failure::kNone) continue;
    ++checked;
    const KvHash& theirs = peer.hash;
    if (theirs.current_revision > second.current_revision) {
      blame(peer.peer.id, "revision from follower must be less than or equal to leader's",
            {{"leader-revision", second.current_revision},
             {"follower-revision", theirs.current_revision}});
    }
    if (theirs.compact_revision > second.compact_revision) {
      blame(peer.peer.id, "compact revision from follower must be less than or equal to leader's",
            {{"leader-compact-revision", second.compact_revision},
             {"follower-compact-revision", theirs.compact_revision}});
    }
    if (theirs.compact_revision == first.compact_revision && theirs.hash != first.hash) {
      blame(peer.peer.id, "same compact revision then hashes must match",
            {{"leader-compact-revision", second.compact_revision},
             {"leader-hash", int64_t{first.hash}},
             {"follower-compact-revision", theirs.compact_revision},
             {"follower-hash", int64_t{theirs.hash}}});
    }
  }
  log("info", "finished peer corruption check", {{"number-of-peers-checked", checked}});
  return Status();
}

void KvChecks::check_compactions() {
  log("info", "starting compact hash check",
      {{"local-member-id", id_text(options_.local_id)},
       {"timeout", seconds_text(options_.request_timeout)}});
  auto hashes = options_.past_hashes();
  std::erase_if(hashes, [&](const KvHash& hash) { return hash.revision <= newest_checked_; });
  std::sort(hashes.begin(), hashes.end(),
            [](const KvHash& a, const KvHash& b) { return a.revision > b.revision; });
  int64_t checked = 0;
  for (const KvHash& hash : hashes) {
    ++checked;
    auto peers = options_.ask_peers(hash.revision);
    if (!peers.empty() && check_compaction(hash, peers)) break;
  }
  log("info", "finished compaction hash check", {{"number-of-hashes-checked", checked}});
}

bool KvChecks::check_compaction(const KvHash& hash, const std::vector<PeerHash>& peers) {
  std::map<uint32_t, std::vector<uint64_t>> by_hash{{hash.hash, {options_.local_id}}};
  int64_t checked = 0;
  for (const PeerHash& peer : peers) {
    bool answered = peer.failure == Failure::kNone;
    if (!answered || peer.hash.compact_revision != hash.compact_revision) {
      log("warn", "Skipped peer's hash",
          {{"number-of-peers", static_cast<int64_t>(peers.size())},
           {"leader-id", id_text(options_.local_id)},
           {"peer-id", id_text(peer.peer.id)},
           {"reason", answered ? "the peer's compact revision is " +
                                     std::to_string(peer.hash.compact_revision) +
                                     ", the leader's " + std::to_string(hash.compact_revision)
                               : "no response: " + peer.error}});
      continue;
    }
    ++checked;
    by_hash[peer.hash.hash].push_back(peer.peer.id);
  }
  if (by_hash.size() > 1) {
    report_mismatch(hash, std::move(by_hash), peers.size() + 1);
    return true;
  }
  bool all = checked == static_cast<int64_t>(peers.size());
  if (all) newest_checked_ = std::max(newest_checked_, hash.revision);
  log(all ? "info" : "warn",
      all ? "successfully checked hash on whole cluster"
          : "skipped revision in compaction hash check; was not able to check all peers",
      {{"number-of-peers-checked", checked},
       {"number-of-peers", static_cast<int64_t>(peers.size())},
       {"revision", hash.revision},
       {"compactRevision", hash.compact_revision}});
  return all;
}

// Those who differ from a majority are at fault; without one, nobody can say who is.
void KvChecks::report_mismatch(const KvHash& hash,
                               std::map<uint32_t, std::vector<uint64_t>> by_hash, size_t members) {
  const size_t quorum = members / 2 + 1;
  bool has_quorum =
      std::erase_if(by_hash, [&](const auto& entry) { return entry.second.size() >= quorum; }) > 0;
  LogFields fields{{"leader-id", id_text(options_.local_id)},
                   {"leader-revision", hash.revision},
                   {"leader-compact-revision", hash.compact_revision},
                   {"leader-hash", int64_t{hash.hash}}};
  if (!has_quorum) {
    log("error",
        "Detected compaction hash mismatch but cannot identify the corrupted members, so "
        "intentionally set the memberID as 0",
        fields);
    options_.raise(0);
  }
  for (const auto& [theirs, ids] : by_hash) {
    if (has_quorum) {
      for (uint64_t id : ids) options_.raise(id);
    }
    LogFields more = fields;
    more.emplace_back("peer-hash", int64_t{theirs});
    more.emplace_back("peer-ids", ids_text(ids));
    more.emplace_back("quorum-exist", has_quorum ? "true" : "false");
    log("error", "Detected compaction hash mismatch", std::move(more));
  }
}

}  // namespace mortise::integrity
