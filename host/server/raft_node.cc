#include "host/server/raft_node.h"

namespace mortise::server {

using Clock = std::chrono::steady_clock;

Result<std::unique_ptr<RaftNode>> RaftNode::create(RaftNodeOptions options,
                                                   std::unique_ptr<raft::MemoryLog> log) {
  MORTISE_ASSIGN_OR_RETURN(auto core, raft::Core::create(options.core, *log, options.seed));
  return std::unique_ptr<RaftNode>(new RaftNode(std::move(options), std::move(log), std::move(core)));
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
    std::lock_guard lock(mutex_);
    inbox_.persisted = number;
    wake_.notify_one();
  };
  writer.on_failed = options_.on_failed;
  wal_ = std::make_unique<wal::Writer>(std::move(wal), std::move(writer));
  thread_ = std::thread([this, campaign] { run(campaign); });
}

Status RaftNode::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  return wal_ ? wal_->stop() : Status();
}

bool RaftNode::propose(uint64_t id, std::string&& data) {
  std::lock_guard lock(mutex_);
  if (stopping_ || inbox_.proposals.size() >= kProposalsWaitingMax) return false;
  inbox_.proposals.push_back(Proposal{id, std::move(data)});
  if (inbox_.proposals.size() == 1) wake_.notify_one();
  return true;
}

void RaftNode::applied(uint64_t index) {
  std::lock_guard lock(mutex_);
  inbox_.applied = index;
  // The core hears of it with the next event, unless it holds entries back until some are applied.
  if (!holding_back_) return;
  inbox_.urgent = true;
  wake_.notify_one();
}

Result<raft::ConfState> RaftNode::apply_membership(const raft::MembershipChange& change) {
  MembershipCall call{&change, std::nullopt};
  std::unique_lock lock(mutex_);
  inbox_.membership.push_back(&call);
  wake_.notify_one();
  membership_done_.wait(lock, [&] { return call.result.has_value() || stopping_; });
  if (!call.result) return Status(StatusCode::kStopped, "the raft thread has stopped");
  return std::move(*call.result);
}

void RaftNode::take(Inbox* inbox, Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  wake_.wait_until(lock, deadline, [&] {
    return stopping_ || !inbox_.proposals.empty() || !inbox_.membership.empty() ||
           inbox_.persisted != 0 || inbox_.urgent;
  });
  std::swap(*inbox, inbox_);
  inbox_.proposals.clear();
  inbox_.membership.clear();
  inbox_.persisted = 0;
  inbox_.applied = 0;
  inbox_.urgent = false;
}

void RaftNode::run(bool campaign) {
  campaign_wanted_ = campaign;
  try_campaign();
  handle_ready();
  Inbox inbox;
  auto next_tick = Clock::now() + options_.tick;
  for (;;) {
    take(&inbox, next_tick);
    {
      std::lock_guard lock(mutex_);
      if (stopping_) break;
    }
    auto now = Clock::now();
    if (now >= next_tick) {
      core_.tick();
      // Time lost to a stall is not made up for: a burst of ticks would look like a lost leader.
      next_tick = now + options_.tick;
    }
    handle(inbox);
    try_campaign();
    handle_ready();
  }
  std::lock_guard lock(mutex_);
  membership_done_.notify_all();
}

// The entries that make this member a voter may have to be applied first.
void RaftNode::try_campaign() {
  if (campaign_wanted_ && core_.campaign().ok()) campaign_wanted_ = false;
}

void RaftNode::handle(Inbox& inbox) {
  if (inbox.persisted != 0) {
    persisted_ = inbox.persisted;
    acknowledge();
  }
  for (MembershipCall* call : inbox.membership) {
    auto result = core_.apply_membership(*call->change);
    if (result.ok()) log_->set_conf_state(result.value());
    std::lock_guard lock(mutex_);
    call->result.emplace(std::move(result));
    membership_done_.notify_all();
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
  return wal_->submit(request);
}

// Readys without writes count as persisted when all writes before them are.
void RaftNode::acknowledge() {
  uint64_t number = persisted_ >= last_written_ ? last_ready_ : persisted_;
  if (number <= acknowledged_) return;
  acknowledged_ = number;
  core_.advance({.persisted = number, .applied = std::nullopt});
}

void RaftNode::handle_ready() {
  while (core_.has_ready()) {
    raft::Ready ready = core_.ready();
    last_ready_ = ready.number;
    if (ready.soft_state) {
      leader_.store(ready.soft_state->leader, std::memory_order_release);
    }
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
      return;
    }
    acknowledge();
    if (!ready.committed.empty()) options_.on_committed(std::move(ready.committed));
  }
  raft::BasicState state = core_.basic();
  std::lock_guard lock(mutex_);
  holding_back_ = state.committed > state.applying;
}

void RaftNode::trim_log() {
  uint64_t keep_from = applied_ > options_.catchup_entries ? applied_ - options_.catchup_entries : 0;
  if (log_->bytes() > kLogCacheBytesMax) keep_from = applied_;
  if (keep_from >= log_->first_index() + options_.catchup_entries / 8 || keep_from == applied_) {
    log_->compact(std::min(keep_from, log_->last_index()));
  }
}

}  // namespace mortise::server
