#include "host/server/raft_node.h"

#include <pthread.h>

#include <iterator>

#include "mortise/sdk/machine_load.h"

namespace mortise::server {
namespace {

uint64_t message_bytes(const raft::Message& message) {
  uint64_t bytes = sizeof(raft::Message) + message.context.size();
  for (const raft::EntryRef& entry : message.entries) bytes += raft::entry_bytes(*entry);
  return bytes;
}

// Such a message brings entries to write, or says that such as came before it are committed.
bool is_bulk(const raft::Message& message) {
  return message.type == raft::MessageType::kApp || message.type == raft::MessageType::kProp;
}

// Moves the first items of at most `bytes_max` together, but at least one, from `from` to `to`.
template <typename T, typename Bytes>
void move_some(std::vector<T>* from, uint64_t* from_bytes, uint64_t bytes_max, std::vector<T>* to,
               const Bytes& bytes_of) {
  if (*from_bytes <= bytes_max) {
    to->swap(*from);
    *from_bytes = 0;
    return;
  }
  uint64_t bytes = 0;
  auto end = from->begin();
  while (end != from->end()) {
    uint64_t next = bytes_of(*end);
    if (bytes != 0 && bytes + next > bytes_max) break;
    bytes += next;
    ++end;
  }
  to->insert(to->end(), std::make_move_iterator(from->begin()), std::make_move_iterator(end));
  from->erase(from->begin(), end);
  *from_bytes -= bytes;
}

}  // namespace

Result<std::unique_ptr<RaftNode>> RaftNode::create(RaftNodeOptions options,
                                                   std::unique_ptr<raft::MemoryLog> log) {
  replica::Options replica{options.core, options.seed, options.catchup_entries};
  std::unique_ptr<RaftNode> node(new RaftNode(std::move(options)));
  MORTISE_ASSIGN_OR_RETURN(
      node->replica_, replica::Replica::create(std::move(replica), std::move(log), node.get()));
  raft::BasicState state = node->replica_->basic();
  node->term_ = state.term;
  node->committed_ = state.committed;
  return node;
}

RaftNode::RaftNode(RaftNodeOptions options) : options_(std::move(options)) {}

RaftNode::~RaftNode() { (void)stop(); }

void RaftNode::start(std::unique_ptr<wal::Wal> wal) {
  wal::WriterOptions writer;
  writer.on_persisted = [this](uint64_t number) {
    {
      std::lock_guard lock(inbox_mutex_);
      inbox_.persisted = number;
    }
    serve_inbox_once();
  };
  writer.on_failed = options_.on_failed;
  writer.machine_is_busy = [load = std::make_shared<sdk::MachineLoad>()] {
    return load->busy(std::chrono::steady_clock::now());
  };
  // What waits is bounded here, where nobody has to wait for room.
  writer.waiting_bytes_max = wal::kPayloadBytesMax;
  wal_ = std::make_unique<wal::Writer>(std::move(wal), std::move(writer));
  {
    std::lock_guard lock(inbox_mutex_);
    stopping_ = false;
  }
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "raft");
}

Status RaftNode::stop() {
  {
    std::lock_guard lock(inbox_mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  {
    std::lock_guard core(core_mutex_);  // Whoever is at the replica leaves.
  }
  return wal_ ? wal_->stop() : Status();
}

// The inbox.

bool RaftNode::add(Proposal proposal) {
  {
    std::lock_guard lock(inbox_mutex_);
    uint64_t bytes = proposal.bytes();
    if (stopping_ || inbox_.proposals.size() >= kProposalsWaitingMax) return false;
    if (inbox_.proposals_bytes + bytes > kProposalsWaitingBytesMax && inbox_.proposals_bytes > 0) {
      return false;
    }
    inbox_.proposals_bytes += bytes;
    inbox_.proposals.push_back(std::move(proposal));
  }
  drive();
  return true;
}

bool RaftNode::propose(uint64_t id, std::string&& data, Clock::time_point deadline) {
  return add(Proposal{id, std::move(data), deadline, nullptr});
}

bool RaftNode::propose_membership(uint64_t id, const raft::MembershipChange& change,
                                  Clock::time_point deadline) {
  return add(Proposal{id, {}, deadline, std::make_unique<raft::MembershipChange>(change)});
}

Status RaftNode::step(raft::Message message) {
  const bool bulk = is_bulk(message);
  const uint64_t bytes = bulk ? message_bytes(message) : 0;
  {
    std::lock_guard lock(inbox_mutex_);
    if (stopping_) return Status(StatusCode::kStopped, "raft: stopped");
    std::vector<raft::Message>& queue = bulk ? inbox_.bulk : inbox_.messages;
    const bool fits = bytes == 0 || inbox_.bulk_bytes == 0 ||
                      inbox_.bulk_bytes + bytes <= kMessagesWaitingBytesMax;
    if (queue.size() >= kMessagesWaitingMax || !fits) {
      return Status(StatusCode::kDropped, "raft: too many messages wait");
    }
    inbox_.bulk_bytes += bytes;
    queue.push_back(std::move(message));
  }
  drive();
  return Status();
}

void RaftNode::add(std::function<void(replica::Replica&)> task) {
  {
    std::lock_guard lock(inbox_mutex_);
    if (stopping_) return;
    inbox_.tasks.push_back(std::move(task));
  }
  drive();
}

void RaftNode::read_index(raft::ReadToken token) {
  // One that finds no leader is lost, as one on its way to it might be: who reads asks again.
  add([token](replica::Replica& replica) { (void)replica.read_index(token).ok(); });
}

void RaftNode::transfer_leadership(raft::NodeId to) {
  add([to](replica::Replica& replica) { (void)replica.transfer_leadership(to).ok(); });
}

void RaftNode::report_unreachable(raft::NodeId peer) {
  add([peer](replica::Replica& replica) { replica.report_unreachable(peer); });
}

void RaftNode::report_snapshot(raft::NodeId peer, bool sent) {
  add([peer, sent](replica::Replica& replica) { replica.report_snapshot(peer, sent); });
}

void RaftNode::advance_ticks(uint32_t ticks) {
  add([ticks](replica::Replica& replica) {
    for (uint32_t i = 0; i < ticks; ++i) replica.tick();
  });
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
  auto result = replica_->apply_membership(change);
  show_state();
  kick();
  return result;
}

raft::Inspection RaftNode::inspect() {
  std::lock_guard core(core_mutex_);
  return replica_->inspect();
}

void RaftNode::kick() {
  std::lock_guard lock(inbox_mutex_);
  kicked_ = true;
  wake_.notify_one();
}

bool RaftNode::has_news() const {
  if (inbox_.persisted != 0 || !inbox_.messages.empty() || !inbox_.tasks.empty()) return true;
  if (unpersisted_bytes_ >= kUnpersistedBytesMax) return false;
  return !inbox_.bulk.empty() || (!proposals_held_ && !inbox_.proposals.empty());
}

bool RaftNode::take(Inbox* inbox) {
  std::lock_guard lock(inbox_mutex_);
  inbox->proposals.clear();
  inbox->messages.clear();
  inbox->bulk.clear();
  inbox->tasks.clear();
  inbox->persisted = inbox->applied = 0;
  if (stopping_ || !has_news()) return false;
  inbox->messages.swap(inbox_.messages);
  inbox->tasks.swap(inbox_.tasks);
  inbox->persisted = std::exchange(inbox_.persisted, 0);
  inbox->applied = std::exchange(inbox_.applied, 0);
  if (unpersisted_bytes_ >= kUnpersistedBytesMax) return true;
  const uint64_t room = kUnpersistedBytesMax - unpersisted_bytes_;
  move_some(&inbox_.bulk, &inbox_.bulk_bytes, room, &inbox->bulk, message_bytes);
  if (proposals_held_) return true;
  move_some(&inbox_.proposals, &inbox_.proposals_bytes, room, &inbox->proposals,
            [](const Proposal& proposal) { return proposal.bytes(); });
  return true;
}

void RaftNode::put_back(std::vector<Proposal>& proposals) {
  std::lock_guard lock(inbox_mutex_);
  for (const Proposal& proposal : proposals) inbox_.proposals_bytes += proposal.bytes();
  inbox_.proposals.insert(inbox_.proposals.begin(), std::make_move_iterator(proposals.begin()),
                          std::make_move_iterator(proposals.end()));
  proposals_held_ = true;
}

// Those who proposed these have given up; nothing must come of them later.
void RaftNode::forget_expired() {
  auto now = Clock::now();
  std::lock_guard lock(inbox_mutex_);
  if (!proposals_held_) return;
  std::erase_if(inbox_.proposals, [&](const Proposal& proposal) {
    if (proposal.deadline > now) return false;
    inbox_.proposals_bytes -= proposal.bytes();
    return true;
  });
}

// At the replica.

void RaftNode::drive() {
  // A callback's own news is taken up by whoever called it back.
  if (driver_.load(std::memory_order_relaxed) == std::this_thread::get_id()) return;
  for (;;) {
    std::unique_lock core(core_mutex_, std::try_to_lock);
    if (!core.owns_lock()) return;
    driver_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    while (take(&taken_)) {
      serve(taken_);
      work();
    }
    driver_.store({}, std::memory_order_relaxed);
    core.unlock();
    // Somebody may have come after the last look and found the core taken.
    std::lock_guard lock(inbox_mutex_);
    if (stopping_ || !has_news()) return;
  }
}

// For the WAL's thread, which has writes to do.
void RaftNode::serve_inbox_once() {
  {
    std::unique_lock core(core_mutex_, std::try_to_lock);
    if (!core.owns_lock()) return;
    driver_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    if (take(&taken_)) {
      serve(taken_);
      work();
    }
    driver_.store({}, std::memory_order_relaxed);
  }
  std::lock_guard lock(inbox_mutex_);
  if (stopping_ || kicked_ || !has_news()) return;
  kicked_ = true;
  wake_.notify_one();
}

void RaftNode::run() {
  auto next_tick = Clock::now() + options_.tick;
  kick();
  for (;;) {
    {
      std::unique_lock lock(inbox_mutex_);
      wake_.wait_until(lock, next_tick, [&] { return stopping_ || kicked_; });
      if (stopping_) return;
      kicked_ = false;
    }
    std::unique_lock core(core_mutex_);
    driver_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    auto now = Clock::now();
    const bool ticks = now >= next_tick;
    if (ticks) {
      replica_->tick();
      forget_expired();
      // Time lost to a stall is not made up for: a burst of ticks would look like a lost leader.
      next_tick = now + options_.tick;
    }
    uint64_t applied = 0;
    {
      std::lock_guard lock(inbox_mutex_);
      applied = std::exchange(inbox_.applied, 0);
    }
    if (applied != 0) replica_->applied(applied);
    campaign_if_alone();
    work();
    driver_.store({}, std::memory_order_relaxed);
    core.unlock();
    if (ticks && options_.on_tick) options_.on_tick();
    drive();
  }
}

// The entries that make this member a voter may have to be applied first.
void RaftNode::campaign_if_alone() {
  const raft::ConfState& conf = replica_->conf_state();
  if (conf.voters.size() != 1 || conf.voters[0] != options_.core.id) return;
  if (!conf.voters_outgoing.empty() || replica_->basic().role != raft::Role::kFollower) return;
  (void)replica_->campaign().ok();
}

void RaftNode::serve(Inbox& inbox) {
  if (inbox.persisted != 0) settle_persisted(inbox.persisted);
  if (inbox.applied != 0) replica_->applied(inbox.applied);
  step_all(inbox.messages);
  step_all(inbox.bulk);
  for (auto& task : inbox.tasks) task(*replica_);
  if (!inbox.proposals.empty()) propose_all(inbox.proposals);
}

void RaftNode::settle_persisted(uint64_t number) {
  uint64_t bytes = 0;
  for (; !unpersisted_.empty() && unpersisted_.front().number <= number; unpersisted_.pop_front()) {
    bytes += unpersisted_.front().bytes;
  }
  {
    std::lock_guard lock(inbox_mutex_);
    unpersisted_bytes_ -= bytes;
  }
  replica_->persisted(number);
}

void RaftNode::step_all(std::vector<raft::Message>& messages) {
  for (raft::Message& message : messages) {
    Status status = replica_->step(std::move(message));
    if (status.ok() || status.code() == StatusCode::kDropped) continue;
    // A member that has lost part of its log must not go on as if it had not.
    const auto& tell =
        status.code() == StatusCode::kCorruption ? options_.on_failed : options_.on_malformed;
    if (tell) tell(status);
  }
}

void RaftNode::propose_all(std::vector<Proposal>& proposals) {
  const raft::BasicState state = replica_->basic();
  if (state.leader == raft::kNoNode || state.transferee != raft::kNoNode) {
    return put_back(proposals);
  }
  const bool leads = state.role == raft::Role::kLeader;
  std::vector<std::string> batch;
  std::vector<uint64_t> ids;
  uint64_t batch_bytes = 0;
  for (Proposal& proposal : proposals) {
    if (proposal.change || leads) {
      Status status = proposal.change ? replica_->propose_membership(*proposal.change)
                                      : replica_->propose(std::move(proposal.data));
      if (!status.ok()) drop({proposal.id}, status);
      continue;
    }
    batch_bytes += proposal.data.size();
    ids.push_back(proposal.id);
    batch.push_back(std::move(proposal.data));
    if (batch_bytes < replica::kForwardedBytesMax) continue;
    forward(batch, ids);
    batch_bytes = 0;
  }
  if (!batch.empty()) forward(batch, ids);
}

void RaftNode::forward(std::vector<std::string>& batch, std::vector<uint64_t>& ids) {
  Status status = replica_->propose(std::span<std::string>(batch));
  if (!status.ok()) drop(ids, status);
  batch.clear();
  ids.clear();
}

void RaftNode::drop(const std::vector<uint64_t>& ids, const Status& reason) {
  if (options_.on_dropped) options_.on_dropped(ids, reason);
}

void RaftNode::work() {
  if (failed_) return;
  if (Status status = replica_->work(); !status.ok()) {
    failed_ = true;
    options_.on_failed(status);
    return;
  }
  show_state();
}

void RaftNode::show_state() {
  const raft::BasicState state = replica_->basic();
  term_.store(state.term, std::memory_order_release);
  committed_.store(state.committed, std::memory_order_release);
  leader_.store(state.leader, std::memory_order_release);
  learner_.store(state.learner, std::memory_order_release);
  if (state.role != raft::Role::kLeader || !replica_->is_alone()) {
    local_reads_from_.store(raft::kNoLimit, std::memory_order_release);
  } else if (local_reads_from_.load(std::memory_order_relaxed) == raft::kNoLimit) {
    // Whatever others have acknowledged until now is in the log up to here.
    local_reads_from_.store(state.last_index, std::memory_order_release);
  }
  bool held = state.leader == raft::kNoNode || state.transferee != raft::kNoNode;
  std::lock_guard lock(inbox_mutex_);
  holding_back_ = state.committed > state.applying;
  proposals_held_ = held;
}

// What the replica asks for.

Status RaftNode::submit(const wal::WriteRequest& request) {
  uint64_t bytes = 0;
  for (const wal::EntryRecord& entry : request.entries) {
    bytes += entry.data.size() + raft::kEntryOverheadBytes;
  }
  unpersisted_.push_back({request.number, bytes});
  {
    std::lock_guard lock(inbox_mutex_);
    unpersisted_bytes_ += bytes;
  }
  return wal_->submit(request);
}

void RaftNode::send(std::vector<raft::Message> messages) {
  if (options_.on_messages) options_.on_messages(std::move(messages));
}

void RaftNode::committed(std::vector<raft::EntryRef> entries) {
  // Before anybody sees an effect of these entries.
  committed_.store(replica_->basic().committed, std::memory_order_release);
  options_.on_committed(std::move(entries));
}

void RaftNode::install(raft::SnapshotRef snapshot) {
  MORTISE_CHECK(options_.on_snapshot != nullptr, "nobody takes snapshots");
  options_.on_snapshot(std::move(snapshot));
}

void RaftNode::read_states(const std::vector<raft::ReadState>& states) {
  if (options_.on_read_states) options_.on_read_states(states);
}

void RaftNode::soft_state(const raft::SoftState& state, uint64_t term) {
  term_.store(term, std::memory_order_release);
  leader_.store(state.leader, std::memory_order_release);
  options_.on_soft_state(state, term);
}

void RaftNode::disk_stalled(raft::NodeId to) {
  if (options_.on_disk_stalled) options_.on_disk_stalled(to);
}

}  // namespace mortise::server
