// Start, failure, and the inputs and outputs of the replica.
#include "tests/sim/process.h"

#include "host/raft/membership_codec.h"
#include "tests/sim/watcher.h"

namespace mortise::sim {
namespace {

constexpr uint64_t kClusterId = 0xc1;
constexpr uint64_t kSegmentBytes = 16 << 10;

// The log's entries above what the store holds.
class LogSink final : public wal::RecoverySink {
 public:
  explicit LogSink(uint64_t applied) : applied_(applied) {}
  void drop_from(uint64_t index) override {
    while (!entries.empty() && entries.back()->index >= index) entries.pop_back();
  }
  Status append(const wal::EntryRecord& record) override {
    if (record.index <= applied_) return Status();
    raft::Entry entry{record.term, record.index, static_cast<raft::EntryType>(record.type),
                      std::string(record.data)};
    entries.push_back(std::make_shared<const raft::Entry>(std::move(entry)));
    return Status();
  }
  std::vector<raft::EntryRef> entries;

 private:
  const uint64_t applied_;
};

raft::MembershipChange founding(raft::NodeId id) {
  membership::ChangeContext context;
  context.member.id = id;
  context.member.name = "m" + std::to_string(id);
  context.member.peer_urls = {"http://m" + std::to_string(id)};
  raft::MembershipChange change;
  change.changes = {{raft::ChangeType::kAddNode, id}};
  change.context = membership::encode_change_context(context);
  return change;
}

}  // namespace

Process::Process(Machine* machine)
    : machine_(machine),
      env_(machine->site().env),
      oracle_(machine->site().oracle),
      life_(machine->life()),
      random_(machine->random().next()) {}

Process::~Process() = default;

Result<std::unique_ptr<Process>> Process::start(Machine* machine) {
  std::unique_ptr<Process> process(new Process(machine));
  MORTISE_RETURN_IF_ERROR(process->open_log());
  process->after(process->random_.below(kTick), [p = process.get()] { p->tick(); });
  process->after(process->random_.below(kSecond), [p = process.get()] { p->chores(); });
  // What recovery left to be done.
  process->after(0, [p = process.get()] {
    auto view = mvcc::View::open(*p->state_->store);
    auto finished = mvcc::finished_compaction(view->reader());
    p->compaction_finished_ = finished.value();
    if (view->state().compacted > *finished) p->start_compaction(view->state().compacted, true);
    p->work();
  });
  return process;
}

Status Process::open_state() {
  auto state = std::make_unique<State>();
  state->store = machine_->stores().open(machine_->store_name());
  lease::LessorOptions lessor;
  lessor.makes_checkpoints = env_->seed() % 2 == 0;
  lessor.now = [this] { return machine_->local_now(); };
  state->lessor = std::make_unique<lease::Lessor>(lessor);
  state->cluster = std::make_unique<membership::Cluster>(kClusterId, machine_->id());
  state->alarms = std::make_unique<apply::Alarms>();
  state->applier = std::make_unique<apply::Applier>(state->store.get(), state->lessor.get(),
                                                    state->cluster.get(), state->alarms.get(),
                                                    &waiters_, hooks());
  MORTISE_RETURN_IF_ERROR(state->applier->open());
  state_ = std::move(state);
  return Status();
}

// All founders write the same entries, which are committed from the start.
Status Process::found(wal::Wal* wal) const {
  wal::BatchBuffer batch;
  uint64_t index = 0;
  for (const raft::NodeId id : machine_->site().founders) {
    const std::string data = raft::encode_membership(founding(id));
    batch.add_entry({1, ++index, static_cast<uint8_t>(raft::EntryType::kConfChange), data});
  }
  batch.set_hard_state({1, 0, index});
  return wal->append(batch);
}

Status Process::make_replica(uint64_t applied, std::unique_ptr<raft::MemoryLog> log) {
  replica::Options replica;
  replica.core.id = machine_->id();
  replica.core.applied = applied;
  replica.core.election_ticks = kElectionTicks;
  replica.core.pre_vote = machine_->site().options.bug != Bug::kNoPreVote;
  replica.core.message_entries_bytes_max = machine_->site().message_bytes_max;
  replica.seed = random_.next();
  replica.catchup_entries = machine_->site().catchup_entries;
  MORTISE_ASSIGN_OR_RETURN(replica_, replica::Replica::create(replica, std::move(log), this));
  return Status();
}

// Opens the log; a founder's new one gets its first entries.
Result<std::unique_ptr<wal::Wal>> Process::open_wal(wal::RecoverySink* sink) {
  wal::Options options;
  options.dir = "wal";
  options.cluster_id = kClusterId;
  options.member_id = machine_->id();
  options.segment_bytes = kSegmentBytes;
  options.file_system = &machine_->disk();
  MORTISE_ASSIGN_OR_RETURN(auto wal, wal::Wal::open(options, *sink));
  const wal::Recovered& recovered = wal->recovered();
  const bool empty = recovered.last_index == 0 && !recovered.snapshot && !recovered.hard_state;
  if (!empty || !machine_->founder()) return wal;
  MORTISE_RETURN_IF_ERROR(found(wal.get()));
  wal.reset();
  return wal::Wal::open(options, *sink);
}

Status Process::open_log() {
  MORTISE_RETURN_IF_ERROR(open_state());
  LogSink sink(applied());
  MORTISE_ASSIGN_OR_RETURN(auto wal, open_wal(&sink));
  const wal::Recovered recovered = wal->recovered();
  if (recovered.snapshot && recovered.snapshot->index > applied()) {
    // The log was replaced, and the process ended before the store was.
    raft::Snapshot wanted;
    wanted.index = recovered.snapshot->index;
    MORTISE_RETURN_IF_ERROR(switch_store(std::make_shared<const raft::Snapshot>(wanted)));
    std::erase_if(sink.entries, [&](const auto& entry) { return entry->index <= applied(); });
  }
  for (const std::string& name : machine_->stores().names()) {
    if (name != machine_->store_name()) machine_->stores().remove(name);
  }
  uint64_t applied = 0, applied_term = 0;
  MORTISE_RETURN_IF_ERROR(state_->store->applied(&applied, &applied_term));
  if (!sink.entries.empty() && sink.entries.front()->index != applied + 1) {
    return corruption("the log begins at " + std::to_string(sink.entries.front()->index) +
                      ", the store ends at " + std::to_string(applied));
  }
  const uint64_t last =
      std::max(recovered.last_index, recovered.snapshot ? recovered.snapshot->index : 0);
  if (!recovered.has_no_index() && last < applied) {
    return corruption("the log ends at " + std::to_string(last) + ", the store at " +
                      std::to_string(applied));
  }
  auto log = std::make_unique<raft::MemoryLog>(applied, applied_term);
  MORTISE_RETURN_IF_ERROR(log->append(sink.entries));
  raft::HardState hard;
  if (recovered.hard_state) {
    hard = {recovered.hard_state->term, recovered.hard_state->vote, recovered.hard_state->commit};
  }
  hard.commit = std::max(hard.commit, applied);
  hard.term = std::max(hard.term, applied_term);
  log->set_hard_state(hard);
  MORTISE_ASSIGN_OR_RETURN(auto reader, state_->store->reader());
  MORTISE_ASSIGN_OR_RETURN(auto conf_state, apply::read_conf_state(reader));
  log->set_conf_state(conf_state);
  durable_ = {0, log->last_index(), *log->term(log->last_index())};

  MORTISE_RETURN_IF_ERROR(make_replica(applied, std::move(log)));
  LogBugs bugs;
  bugs.acknowledge_before_sync = machine_->site().options.bug == Bug::kAcknowledgeBeforeSync;
  bugs.forget_votes = machine_->site().options.bug == Bug::kVoteTwice;
  LogWriter::Hooks writer;
  writer.persisted = [this](uint64_t number) {
    machine_->run(life_, [this, number] { was_persisted(number); });
  };
  writer.failed = [this](const Status& status) { fail(status); };
  writer_ = std::make_unique<LogWriter>(env_, Random(random_.next()), &machine_->disk(),
                                        &machine_->speed(), bugs, std::move(wal), writer);
  return Status();
}

void Process::after(Micros delay, std::function<void()> action) {
  env_->after(delay, [machine = machine_, life = life_, action = std::move(action)]() mutable {
    machine->run(life, std::move(action));
  });
}

void Process::work() {
  const Status status = replica_->work();
  if (!status.ok()) fail(status);
  const uint64_t committed = replica_->basic().committed;
  if (std::exchange(committed_, committed) != committed) {
    machine_->site().committed(machine_->id());
  }
}

// A full or failing disk ends the process, as it ends a server. Anything else is not to be.
void Process::fail(const Status& status) {
  env_->trace("process " + std::to_string(machine_->id()) + " ends: " + status.message());
  const bool explained = status.code() == StatusCode::kNoSpace || status.code() == StatusCode::kIo;
  if (!explained) {
    env_->fail("member " + std::to_string(machine_->id()) + " fails: " + status.message());
  }
  env_->after(0, [machine = machine_, life = life_] {
    if (machine->life() == life) machine->crash(false);
  });
}

void Process::tick() {
  replica_->tick();
  work();
  after(machine_->real(kTick), [this] { tick(); });
}

// Inputs.

void Process::deliver(raft::Message message) {
  if (message.type == raft::MessageType::kSnap) {
    receive_snapshot(std::move(message));
    return;
  }
  const Status status = replica_->step(std::move(message));
  if (!status.ok() && status.code() != StatusCode::kDropped) {
    env_->fail("member " + std::to_string(machine_->id()) +
               " refuses a message: " + status.message());
    return;
  }
  work();
}

void Process::report_unreachable(raft::NodeId peer) {
  replica_->report_unreachable(peer);
  work();
}

void Process::report_snapshot(raft::NodeId peer, bool sent) {
  replica_->report_snapshot(peer, sent);
  work();
}

namespace {

// Takes the result of a proposal from the applier.
class ProposalWaiter final : public apply::Waiter {
 public:
  ProposalWaiter(Oracle* oracle, raft::NodeId member, uint64_t id, Process::Proposed done)
      : oracle_(oracle), member_(member), id_(id), done_(std::move(done)) {}
  void complete(apply::ApplyResult result) override {
    oracle_->result(member_, id_, result);
    if (done_) done_(&result);
  }

 private:
  Oracle* const oracle_;
  const raft::NodeId member_;
  const uint64_t id_;
  const Process::Proposed done_;
};

}  // namespace

void Process::propose(uint64_t request_id, std::string request, Proposed done) {
  waiters_.add(request_id,
               std::make_unique<ProposalWaiter>(oracle_, machine_->id(), request_id, done),
               apply::WaitList::Clock::time_point::max());
  if (!replica_->propose(std::move(request)).ok()) {
    waiters_.take(request_id);
    if (done) done(nullptr);
    return;
  }
  work();
}

bool Process::propose_membership(const raft::MembershipChange& change) {
  if (!replica_->propose_membership(change).ok()) return false;
  work();
  return true;
}

void Process::transfer_leadership(raft::NodeId to) {
  if (replica_->transfer_leadership(to).ok()) work();
}

// Outputs.

Status Process::submit(const wal::WriteRequest& request) {
  const raft::MemoryLog& log = replica_->log();
  if (request.snapshot) snapshot_submitted_ = request.snapshot->index;
  for (const wal::EntryRecord& entry : request.entries) {
    oracle_->appended(machine_->id(),
                      {entry.term, entry.index, static_cast<raft::EntryType>(entry.type),
                       std::string(entry.data)},
                      log.term(entry.index - 1));
  }
  submitted_.push_back({request.number, log.last_index(), log.term(log.last_index()).value_or(0)});
  if (machine_->site().options.bug == Bug::kApplyBeforeDurable) {
    after(1, [this, number = request.number] {
      replica_->persisted(number);
      work();
    });
  }
  return writer_->submit(request);
}

void Process::defer_hard_state(const wal::HardState& state) { writer_->defer_hard_state(state); }

void Process::was_persisted(uint64_t number) {
  while (!submitted_.empty() && submitted_.front().number <= writer_->written()) {
    durable_ = submitted_.front();
    submitted_.pop_front();
  }
  replica_->persisted(number);
  work();
  if (submitted_.empty()) {
    for (raft::Message& message : std::exchange(held_back_, {})) {
      observe(message);
      machine_->site().network->send(machine_->id(), std::move(message));
    }
  }
}

void Process::observe(const raft::Message& message) const {
  if (message.type == raft::MessageType::kVoteResp && !message.reject) {
    oracle_->votes(machine_->id(), message.term, message.to);
    machine_->site().voted(machine_->id());
  }
  env_->trace(describe(message));
}

// The rule that only entries of the own term are committed by counting, broken in what is told.
void Process::mutate(raft::Message* message) const {
  if (machine_->site().options.bug != Bug::kCommitOldTerms) return;
  if (message->type != raft::MessageType::kApp) return;
  std::vector<uint64_t> matches;
  for (const raft::PeerInspection& peer : replica_->inspect().peers) {
    if (!peer.learner) matches.push_back(peer.match);
  }
  if (matches.empty()) return;
  std::sort(matches.begin(), matches.end());
  const uint64_t counted = matches[(matches.size() - 1) / 2];
  if (counted <= message->commit) return;
  env_->trace("planted: commit " + std::to_string(counted) + " of term " +
              std::to_string(replica_->log().term(counted).value_or(0)));
  message->commit = counted;
}

void Process::send(std::vector<raft::Message> messages) {
  for (raft::Message& message : messages) {
    mutate(&message);
    if (message.type == raft::MessageType::kSnap) {
      message.snapshot = take_snapshot();
    }
    const bool promise = message.type == raft::MessageType::kAppResp ||
                         message.type == raft::MessageType::kVoteResp ||
                         message.type == raft::MessageType::kPreVoteResp;
    if (promise && machine_->site().options.bug == Bug::kApplyBeforeDurable &&
        !submitted_.empty()) {
      held_back_.push_back(std::move(message));
      continue;
    }
    observe(message);
    machine_->site().network->send(machine_->id(), std::move(message));
  }
}

void Process::committed(std::vector<raft::EntryRef> entries) {
  for (raft::EntryRef& entry : entries) to_apply_.push_back({std::move(entry), nullptr});
  schedule_apply();
}

void Process::install(raft::SnapshotRef snapshot) {
  to_apply_.push_back({nullptr, std::move(snapshot)});
  schedule_apply();
}

void Process::soft_state(const raft::SoftState& state, uint64_t term) {
  env_->trace("member " + std::to_string(machine_->id()) + " " + raft::to_string(state.role) +
              " term " + std::to_string(term) + " leader " + std::to_string(state.leader));
  if (state.role == raft::Role::kLeader) {
    oracle_->leads(machine_->id(), term);
    machine_->site().elected(machine_->id());
    state_->lessor->promote(std::chrono::milliseconds(kElectionTimeout / kMillisecond));
  } else {
    state_->lessor->demote();
  }
}

void Process::disk_stalled(raft::NodeId to) {
  env_->trace("member " + std::to_string(machine_->id()) + " hands over to " + std::to_string(to));
}

}  // namespace mortise::sim
