#include "host/server/raft_node.h"

namespace mortise::server {

using Clock = std::chrono::steady_clock;

Result<std::unique_ptr<RaftNode>> RaftNode::create(RaftNodeOptions options,
                                                   std::unique_ptr<raft::MemoryLog> log) {
  MORTISE_ASSIGN_OR_RETURN(auto core, raft::Core::create(options.core, *log, options.seed));
  return std::unique_ptr<RaftNode>(
      new RaftNode(std::move(options), std::move(log), std::move(core)));
}

RaftNode::RaftNode(RaftNodeOptions options, std::unique_ptr<raft::MemoryLog> log, raft::Core core)
    : options_(std::move(options)), log_(std::move(log)), core_(std::move(core)) {
  applied_ = options_.core.applied;
  raft::BasicState state = core_.basic();
  term_ = state.term;
  committed_ = state.committed;
}

RaftNode::~RaftNode() { (void)stop(); }

void RaftNode::start(std::unique_ptr<wal::Wal> wal, bool campaign) {
  wal::WriterOptions writer;
  writer.on_persisted = [this](uint64_t number) {
    {
      std::lock_guard lock(inbox_mutex_);
      inbox_.persisted = number;
    }
    drive(Caller::kWal);
  };
  writer.on_failed = options_.on_failed;
  wal_ = std::make_unique<wal::Writer>(std::move(wal), std::move(writer));
  thread_ = std::thread([this, campaign] { run(campaign); });
}

Status RaftNode::stop() {
  {
    std::lock_guard lock(inbox_mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  {
    std::lock_guard core(core_mutex_);  // Whoever is at the core leaves.
  }
  return wal_ ? wal_->stop() : Status();
}

bool RaftNode::propose(uint64_t id, std::string&& data) {
  {
    std::lock_guard lock(inbox_mutex_);
    if (stopping_ || inbox_.proposals.size() >= kProposalsWaitingMax) return false;
    inbox_.proposals.push_back(Proposal{id, std::move(data)});
  }
  drive(Caller::kAny);
  return true;
}

void RaftNode::applied(uint64_t index) {
  std::lock_guard lock(inbox_mutex_);
  inbox_.applied = index;
  // The core hears of it with the next event, unless it holds entries back until some are applied.
  if (!holding_back_) return;
  kicked_ = true;
  wake_.notify_one();
}

Result<raft::ConfState> RaftNode::apply_membership(const raft::MembershipChange& change) {
  std::lock_guard core(core_mutex_);
  auto result = core_.apply_membership(change);
  if (result.ok()) log_->set_conf_state(result.value());
  kick();
  return result;
}

void RaftNode::kick() {
  std::lock_guard lock(inbox_mutex_);
  kicked_ = true;
  wake_.notify_one();
}

bool RaftNode::take(Inbox* inbox, Caller caller) {
  std::lock_guard lock(inbox_mutex_);
  inbox->proposals.clear();
  inbox->persisted = inbox->applied = 0;
  if (stopping_) return false;
  bool room = unpersisted_bytes_ < kUnpersistedBytesMax;
  if (caller == Caller::kWal) {
    if (!inbox_.proposals.empty() && !kicked_) {
      kicked_ = true;
      wake_.notify_one();
    }
  } else if (room) {
    inbox->proposals.swap(inbox_.proposals);
  }
  inbox->persisted = std::exchange(inbox_.persisted, 0);
  if (inbox->persisted != 0 || !inbox->proposals.empty()) {
    inbox->applied = std::exchange(inbox_.applied, 0);
    return true;
  }
  return false;
}

void RaftNode::drive(Caller caller) {
  for (;;) {
    std::unique_lock core(core_mutex_, std::try_to_lock);
    if (!core.owns_lock()) return;
    while (take(&taken_, caller)) {
      handle(taken_);
      handle_ready(caller);
    }
    core.unlock();
    // Somebody may have come after the last look and found the core taken.
    std::lock_guard lock(inbox_mutex_);
    bool mine = inbox_.persisted != 0 || (caller == Caller::kAny && !inbox_.proposals.empty() &&
                                          unpersisted_bytes_ < kUnpersistedBytesMax);
    if (stopping_ || !mine) return;
  }
}

void RaftNode::run(bool campaign) {
  {
    std::lock_guard core(core_mutex_);
    campaign_wanted_ = campaign;
    try_campaign();
    handle_ready(Caller::kAny);
  }
  auto next_tick = Clock::now() + options_.tick;
  for (;;) {
    Inbox inbox;
    {
      std::unique_lock lock(inbox_mutex_);
      wake_.wait_until(lock, next_tick, [&] { return stopping_ || kicked_; });
      if (stopping_) return;
      kicked_ = false;
      inbox.applied = std::exchange(inbox_.applied, 0);
    }
    std::unique_lock core(core_mutex_);
    auto now = Clock::now();
    if (now >= next_tick) {
      core_.tick();
      // Time lost to a stall is not made up for: a burst of ticks would look like a lost leader.
      next_tick = now + options_.tick;
    }
    handle(inbox);
    try_campaign();
    handle_ready(Caller::kAny);
    core.unlock();
    drive(Caller::kAny);
  }
}

// The entries that make this member a voter may have to be applied first.
void RaftNode::try_campaign() {
  if (campaign_wanted_ && core_.campaign().ok()) campaign_wanted_ = false;
}

void RaftNode::handle(Inbox& inbox) {
  if (inbox.persisted != 0) {
    persisted_ = inbox.persisted;
    uint64_t bytes = 0;
    for (; !unpersisted_.empty() && unpersisted_.front().number <= persisted_;
         unpersisted_.pop_front()) {
      bytes += unpersisted_.front().bytes;
    }
    {
      std::lock_guard lock(inbox_mutex_);
      unpersisted_bytes_ -= bytes;
    }
    acknowledge();
  }
  if (inbox.applied > applied_) {
    applied_ = inbox.applied;
    core_.advance({.persisted = std::nullopt, .applied = applied_});
    trim_log();
  }
  propose_all(inbox.proposals);
}

void RaftNode::propose_all(std::vector<Proposal>& proposals) {
  std::vector<uint64_t> dropped;
  Status reason;
  for (Proposal& proposal : proposals) {
    Status status = core_.propose(std::move(proposal.data));
    if (status.ok()) continue;
    dropped.push_back(proposal.id);
    reason = std::move(status);
  }
  if (!dropped.empty()) options_.on_dropped(dropped, reason);
}

Status RaftNode::write(const raft::Ready& ready) {
  wal::WriteRequest request;
  request.number = ready.number;
  request.must_sync = ready.must_sync;
  records_.clear();
  for (const raft::EntryRef& entry : ready.entries) {
    records_.push_back({entry->term, entry->index, static_cast<uint8_t>(entry->type), entry->data});
  }
  request.entries = records_;
  uint64_t bytes = 0;
  for (const raft::EntryRef& entry : ready.entries) bytes += raft::entry_bytes(*entry);
  if (ready.hard_state) {
    wal::HardState state{ready.hard_state->term, ready.hard_state->vote, ready.hard_state->commit};
    request.hard_state = state;
    if (!ready.must_sync && ready.entries.empty()) {
      // A newer commit index alone needs no sync: it goes with the next write.
      wal_->defer_hard_state(state);
      return Status();
    }
  }
  last_written_ = ready.number;
  unpersisted_.push_back({ready.number, bytes});
  {
    std::lock_guard lock(inbox_mutex_);
    unpersisted_bytes_ += bytes;
  }
  return wal_->submit(request);
}

// Readys without writes count as persisted when all writes before them are.
void RaftNode::acknowledge() {
  uint64_t number = persisted_ >= last_written_ ? last_ready_ : persisted_;
  if (number <= acknowledged_) return;
  acknowledged_ = number;
  core_.advance({.persisted = number, .applied = std::nullopt});
}

// The WAL's thread leaves a Ready with entries, which comes with an election, to the node's own.
void RaftNode::handle_ready(Caller caller) {
  while (left_ready_ || core_.has_ready()) {
    raft::Ready ready = left_ready_ ? std::move(*left_ready_) : core_.ready();
    left_ready_.reset();
    if (caller == Caller::kWal && ready.must_sync) {
      left_ready_ = std::move(ready);
      kick();
      return;
    }
    if (!handle_one_ready(std::move(ready))) return;
  }
  raft::BasicState state = core_.basic();
  std::lock_guard lock(inbox_mutex_);
  holding_back_ = state.committed > state.applying;
}

bool RaftNode::handle_one_ready(raft::Ready ready) {
  last_ready_ = ready.number;
  if (ready.soft_state) leader_.store(ready.soft_state->leader, std::memory_order_release);
  if (ready.hard_state) {
    term_.store(ready.hard_state->term, std::memory_order_release);
    committed_.store(ready.hard_state->commit, std::memory_order_release);
    log_->set_hard_state(*ready.hard_state);
  }
  if (ready.soft_state) options_.on_soft_state(*ready.soft_state, term());
  Status status = log_->append(ready.entries);
  if (status.ok() && ready.has_writes()) status = write(ready);
  if (!status.ok()) {
    options_.on_failed(status);
    return false;
  }
  acknowledge();
  if (!ready.committed.empty()) options_.on_committed(std::move(ready.committed));
  return true;
}

void RaftNode::trim_log() {
  uint64_t keep_from =
      applied_ > options_.catchup_entries ? applied_ - options_.catchup_entries : 0;
  if (log_->bytes() > kLogCacheBytesMax) keep_from = applied_;
  if (keep_from >= log_->first_index() + options_.catchup_entries / 8 || keep_from == applied_) {
    log_->compact(std::min(keep_from, log_->last_index()));
  }
}

}  // namespace mortise::server
