// etcd's comparisons of the members' histories: at the start of a member, now and then by the
// leader, and of the hashes that compactions leave. Which member is at fault, and what is only
// logged, is decided as in etcd.
//
// Each function is called by one thread, which waits for the others' answers.
#pragma once

#include <optional>

#include "host/integrity/kv_hash.h"

namespace mortise::integrity {

struct KvChecksOptions {
  uint64_t local_id = 0;
  std::chrono::milliseconds request_timeout{7000};
  HashAt hash_at;
  // The hash at a revision of all other members.
  std::function<std::vector<PeerHash>(int64_t revision)> ask_peers;
  // Those that compactions left, in any order.
  std::function<std::vector<KvHash>()> past_hashes;
  // Waits until a read that begins now sees every acknowledged write.
  std::function<RpcStatus()> confirm_linearizable;
  std::function<bool(uint64_t member_id)> is_raised;
  // Logs the alarm CORRUPT for a member; 0 is the cluster.
  std::function<void(uint64_t member_id)> raise;
  LogHook log;
};

class KvChecks {
 public:
  explicit KvChecks(KvChecksOptions options) : options_(std::move(options)) {}

  // Before the member serves anybody. Not ok if another one has the same history with another hash,
  // unless that one has the alarm already, or a majority agrees with this member.
  Status check_at_start();
  // The leader's.
  Status check_newest();
  void check_compactions();

 private:
  // Whether older hashes need not be looked at.
  bool check_compaction(const KvHash& hash, const std::vector<PeerHash>& peers);
  void report_mismatch(const KvHash& hash, std::map<uint32_t, std::vector<uint64_t>> by_hash,
                       size_t members);
  Result<KvHash> local_hash();
  void log(std::string_view level, std::string_view message, LogFields fields) const {
    options_.log(level, message, std::move(fields));
  }

  const KvChecksOptions options_;
  int64_t newest_checked_ = 0;  // Revision of a compaction.
};

}  // namespace mortise::integrity
