// Drives the raft core: feeds it proposals, ticks and finished work, and carries out its Readys.
// Writes go to the WAL's thread, committed entries to the apply loop; neither holds up the other.
//
// Whoever has news for the core puts it in the inbox and then, if nobody is at the core, serves the
// inbox until it is empty; if somebody is, that one sees the news before it leaves. So under load
// one thread works for all, in batches, and a lone request costs no change of threads. The node's
// own thread brings the ticks and what others must leave: a transport's thread never waits for the
// disk, and the WAL's thread writes nothing, because it would wait for itself.
//
// propose() and the getters are for any thread. Callbacks run on any of these threads, one at a
// time, and must not block; on_failed() also comes from the WAL's.
//
// Limits: kProposalsWaitingMax proposals wait for the core; those taken wait while
// kUnpersistedBytesMax are on their way to the disk; uncommitted and unapplied bytes are bounded by
// the core's Config; the log in memory by kLogCacheBytesMax.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "host/raft/core.h"
#include "host/raft/memory_log.h"
#include "host/wal/writer.h"

namespace mortise::server {

constexpr size_t kProposalsWaitingMax = 20000;
constexpr uint64_t kLogCacheBytesMax = 8 << 20;
constexpr uint64_t kUncommittedBytesMax = 256 << 20;
constexpr uint64_t kUnpersistedBytesMax = 8 << 20;

struct RaftNodeOptions {
  raft::Config core;
  std::chrono::milliseconds tick{100};
  uint64_t seed = 0;
  uint64_t catchup_entries = 5000;  // Kept in memory behind the applied index, bytes permitting.
  std::function<void(std::vector<raft::EntryRef>)> on_committed;
  std::function<void(const raft::SoftState&, uint64_t term)> on_soft_state;
  // The proposals of these ids were not accepted.
  std::function<void(const std::vector<uint64_t>& ids, const Status&)> on_dropped;
  std::function<void(const Status&)> on_failed;
};

class RaftNode {
 public:
  // `log` holds what recovery found.
  static Result<std::unique_ptr<RaftNode>> create(RaftNodeOptions options,
                                                  std::unique_ptr<raft::MemoryLog> log);
  ~RaftNode();

  // Takes the WAL and starts the thread; `campaign` at once, as a single member may.
  void start(std::unique_ptr<wal::Wal> wal, bool campaign);
  // Ends the thread and writes what waits for the log.
  Status stop();

  // False if the queue is full or the node stopped; `data` is then untouched.
  bool propose(uint64_t id, std::string&& data);
  void applied(uint64_t index);
  // From the apply thread.
  Result<raft::ConfState> apply_membership(const raft::MembershipChange& change);
  // Everything up to `index` is durable in the backend.
  void release_log(uint64_t index) { wal_->release(index); }

  uint64_t term() const { return term_.load(std::memory_order_acquire); }
  uint64_t leader() const { return leader_.load(std::memory_order_acquire); }
  uint64_t committed() const { return committed_.load(std::memory_order_acquire); }
  bool is_leader() const { return leader() == options_.core.id; }
  const wal::Counters& wal_counters() const { return wal_->counters(); }

 private:
  struct Proposal {
    uint64_t id;
    std::string data;
  };
  struct Inbox {
    std::vector<Proposal> proposals;
    uint64_t persisted = 0;
    uint64_t applied = 0;
  };

  RaftNode(RaftNodeOptions options, std::unique_ptr<raft::MemoryLog> log, raft::Core core);
  void run(bool campaign);
  enum class Caller { kAny, kWal };
  // Serves the inbox unless somebody else does.
  void drive(Caller caller);
  // Takes what `caller` may handle; false if there is nothing.
  bool take(Inbox* inbox, Caller caller);
  void kick();

  // With the core.
  void try_campaign();
  void handle(Inbox& inbox);
  void handle_ready(Caller caller);
  bool handle_one_ready(raft::Ready ready);
  void propose_all(std::vector<Proposal>& proposals);
  Status write(const raft::Ready& ready);
  void acknowledge();
  void trim_log();

  const RaftNodeOptions options_;
  std::unique_ptr<raft::MemoryLog> log_;
  raft::Core core_;
  std::unique_ptr<wal::Writer> wal_;

  std::mutex inbox_mutex_;  // Guards what follows. Taken inside core_mutex_, never around it.
  std::condition_variable wake_;
  Inbox inbox_;
  bool kicked_ = false;  // The node's thread has something to do.
  bool stopping_ = false;
  bool holding_back_ = false;  // The core waits for entries to be applied.
  uint64_t unpersisted_bytes_ = 0;

  std::mutex core_mutex_;  // Guards core_, log_ and what follows.
  bool campaign_wanted_ = false;
  uint64_t persisted_ = 0;     // By the WAL.
  uint64_t last_written_ = 0;  // The newest Ready handed to the WAL.
  uint64_t last_ready_ = 0;
  uint64_t acknowledged_ = 0;  // To the core.
  uint64_t applied_ = 0;
  std::vector<wal::EntryRecord> records_;
  struct Written {
    uint64_t number;
    uint64_t bytes;
  };
  std::deque<Written> unpersisted_;        // Readys on their way to the disk.
  std::optional<raft::Ready> left_ready_;  // Has entries, and was met by the WAL's thread.
  Inbox taken_;

  std::atomic<uint64_t> term_{0};
  std::atomic<uint64_t> leader_{0};
  std::atomic<uint64_t> committed_{0};
  std::thread thread_;
};

}  // namespace mortise::server
