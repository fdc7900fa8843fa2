// The threads around a Replica: takes proposals, messages of peers, ticks and finished work to it,
// one at a time, and carries its writes to the WAL's thread. Nothing here waits for the disk, for
// the apply loop or for a peer, so heartbeats and elections never do.
//
// Whoever has news puts it in the inbox and then, if nobody is at the replica, serves the inbox
// until it is empty; if somebody is, that one sees the news before it leaves. So under load one
// thread works for all, in batches, and a lone request costs no change of threads. The node's own
// thread brings the ticks, and what must not be done on the caller's.
//
// All functions are for any thread. Callbacks run on any of these threads, one at a time, and must
// not block; on_failed() also comes from the WAL's.
//
// Proposals wait here while there is no leader or leadership is moving, until their deadline; then
// they are forgotten, and whoever waits for them has to know the time too.
//
// Limits: kProposalsWaitingMax proposals of kProposalsWaitingBytesMax wait for the replica, and
// kMessagesWaitingMax messages of kMessagesWaitingBytesMax; peers send again what finds no room.
// What brings entries waits while kUnpersistedBytesMax are on their way to the disk; other messages
// pass. Uncommitted and unapplied bytes are bounded by the core's Config.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "host/replica/replica.h"

namespace mortise::server {

constexpr size_t kProposalsWaitingMax = 20000;
constexpr uint64_t kProposalsWaitingBytesMax = 256 << 20;
constexpr size_t kMessagesWaitingMax = 20000;
constexpr uint64_t kMessagesWaitingBytesMax = 64 << 20;
constexpr uint64_t kUncommittedBytesMax = 256 << 20;
constexpr uint64_t kUnpersistedBytesMax = 8 << 20;
// Sent to one member and not acknowledged.
constexpr uint64_t kInflightBytesMax = 32 << 20;

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
  // The rest may be empty for a member that stays alone.
  std::function<void(std::vector<raft::Message>)> on_messages;
  std::function<void(raft::SnapshotRef)> on_snapshot;
  std::function<void(const std::vector<raft::ReadState>&)> on_read_states;
  std::function<void(raft::NodeId asked)> on_disk_stalled;
  // On the node's own thread, which holds nothing meanwhile.
  std::function<void()> on_tick;
  // A message that makes no sense was left out.
  std::function<void(const Status&)> on_malformed;
};

class RaftNode : private replica::Surroundings {
 public:
  using Clock = std::chrono::steady_clock;

  // `log` holds what recovery found.
  static Result<std::unique_ptr<RaftNode>> create(RaftNodeOptions options,
                                                  std::unique_ptr<raft::MemoryLog> log);
  ~RaftNode() override;

  // Takes the WAL and starts the thread. The only voter there is becomes the leader at once.
  void start(std::unique_ptr<wal::Wal> wal);
  // Ends the thread and writes what waits for the log.
  Status stop();

  // False if the queue is full or the node stopped; `data` is then untouched.
  bool propose(uint64_t id, std::string&& data, Clock::time_point deadline);
  bool propose_membership(uint64_t id, const raft::MembershipChange& change,
                          Clock::time_point deadline);
  // From a peer. kDropped if there is no room for it.
  Status step(raft::Message message);
  void read_index(raft::ReadToken token);
  void transfer_leadership(raft::NodeId to);
  void report_unreachable(raft::NodeId peer);
  void report_snapshot(raft::NodeId peer, bool sent);
  // Time that is known to have passed already.
  void advance_ticks(uint32_t ticks);

  void applied(uint64_t index);
  // From the apply thread.
  Result<raft::ConfState> apply_membership(const raft::MembershipChange& change);
  // Everything up to `index` is durable in the backend.
  void release_log(uint64_t index) { wal_->release(index); }

  uint64_t term() const { return term_.load(std::memory_order_acquire); }
  uint64_t leader() const { return leader_.load(std::memory_order_acquire); }
  uint64_t committed() const { return committed_.load(std::memory_order_acquire); }
  bool is_leader() const { return leader() == options_.core.id; }
  bool is_learner() const { return learner_.load(std::memory_order_acquire); }
  // With this index applied, reads of the local store are linearizable while this value stays. Only
  // of a leader that is the cluster's one member; kNoLimit for all others.
  uint64_t local_reads_from() const { return local_reads_from_.load(std::memory_order_acquire); }
  raft::Inspection inspect();
  const wal::Counters& wal_counters() const { return wal_->counters(); }

 private:
  struct Proposal {
    uint64_t id;
    std::string data;
    Clock::time_point deadline;
    std::unique_ptr<raft::MembershipChange> change;  // Instead of data.
    uint64_t bytes() const { return data.size() + (change ? change->context.size() : 0); }
  };
  struct Inbox {
    std::vector<Proposal> proposals;
    uint64_t proposals_bytes = 0;
    std::vector<raft::Message> messages;
    std::vector<raft::Message> bulk;  // Messages with entries, and those that must not pass them.
    uint64_t bulk_bytes = 0;
    std::vector<std::function<void(replica::Replica&)>> tasks;
    uint64_t persisted = 0;
    uint64_t applied = 0;
  };

  explicit RaftNode(RaftNodeOptions options);
  void run();
  // Serves the inbox unless somebody else does.
  void drive();
  void serve_inbox_once();
  // Takes what can be handled now; false if there is nothing.
  bool take(Inbox* inbox);
  bool has_news() const;
  void put_back(std::vector<Proposal>& proposals);
  void forget_expired();
  bool add(Proposal proposal);
  void add(std::function<void(replica::Replica&)> task);
  void kick();

  // With the replica.
  void serve(Inbox& inbox);
  void step_all(std::vector<raft::Message>& messages);
  void settle_persisted(uint64_t number);
  void propose_all(std::vector<Proposal>& proposals);
  void forward(std::vector<std::string>& batch, std::vector<uint64_t>& ids);
  void drop(const std::vector<uint64_t>& ids, const Status& reason);
  void work();
  void show_state();
  void campaign_if_alone();

  // replica::Surroundings
  Status submit(const wal::WriteRequest& request) override;
  void defer_hard_state(const wal::HardState& state) override { wal_->defer_hard_state(state); }
  void send(std::vector<raft::Message> messages) override;
  void committed(std::vector<raft::EntryRef> entries) override;
  void install(raft::SnapshotRef snapshot) override;
  void read_states(const std::vector<raft::ReadState>& states) override;
  void soft_state(const raft::SoftState& state, uint64_t term) override;
  void disk_stalled(raft::NodeId to) override;

  const RaftNodeOptions options_;
  std::unique_ptr<wal::Writer> wal_;

  std::mutex inbox_mutex_;  // Guards what follows. Taken inside core_mutex_, never around it.
  std::condition_variable wake_;
  Inbox inbox_;
  bool kicked_ = false;          // The node's thread has something to do.
  bool stopping_ = true;         // Or not started: nothing is taken.
  bool holding_back_ = false;    // The core waits for entries to be applied.
  bool proposals_held_ = false;  // There is no leader to propose to.
  uint64_t unpersisted_bytes_ = 0;

  std::mutex core_mutex_;  // Guards the replica and what follows.
  std::unique_ptr<replica::Replica> replica_;
  struct Written {
    uint64_t number;
    uint64_t bytes;
  };
  std::deque<Written> unpersisted_;  // Readys on their way to the disk.
  Inbox taken_;
  bool failed_ = false;

  std::atomic<uint64_t> term_{0};
  std::atomic<uint64_t> leader_{0};
  std::atomic<uint64_t> committed_{0};
  std::atomic<bool> learner_{false};
  std::atomic<std::thread::id> driver_{};  // Who is at the replica in drive().
  std::atomic<uint64_t> local_reads_from_{raft::kNoLimit};
  std::thread thread_;
};

}  // namespace mortise::server
