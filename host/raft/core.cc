#include "host/raft/core.h"

#include "host/raft/machine.h"

namespace mortise::raft {
namespace {

Status validate(const Config& config) {
  if (config.id == kNoNode) return invalid("raft: the member id must not be 0");
  if (config.heartbeat_ticks == 0) return invalid("raft: heartbeat_ticks must not be 0");
  if (config.election_ticks <= config.heartbeat_ticks) {
    return invalid("raft: election_ticks must be greater than heartbeat_ticks");
  }
  if (config.election_ticks > 1u << 30) return invalid("raft: election_ticks is too large");
  if (config.inflight_messages_max == 0 || config.inflight_bytes_max == 0) {
    return invalid("raft: the inflight limits must not be 0");
  }
  return Status();
}

}  // namespace

Core::Core(std::unique_ptr<Machine> machine) : machine_(std::move(machine)) {}
Core::Core(Core&&) noexcept = default;
Core& Core::operator=(Core&&) noexcept = default;
Core::~Core() = default;

Result<Core> Core::create(const Config& config, const LogView& log, uint64_t seed) {
  MORTISE_RETURN_IF_ERROR(validate(config));
  HardState hard = log.initial_hard_state();
  const uint64_t base = log.first_index() - 1;
  const uint64_t last = log.last_index();
  const std::string bounds =
      " outside the log [" + std::to_string(base) + ", " + std::to_string(last) + "]";
  if (config.applied < base || config.applied > last) {
    return corruption("raft: applied index " + std::to_string(config.applied) + bounds);
  }
  // The commit index need not be synced, so what is durable may lag behind what was applied; but
  // only committed entries were ever applied.
  hard.commit = std::max(hard.commit, config.applied);
  if (hard.commit > last) {
    return corruption("raft: commit index " + std::to_string(hard.commit) + bounds);
  }
  if (!log.term(last)) return corruption("raft: the log does not know the term of its last entry");
  if (*log.term(last) > hard.term) {
    return corruption("raft: the last entry has term " + std::to_string(*log.term(last)) +
                      ", the hard state only " + std::to_string(hard.term));
  }
  Result<ConfState> conf = normalize(log.initial_conf_state());
  if (!conf.ok()) return corruption("raft: " + conf.status().message());
  return Core(std::make_unique<Machine>(config, log, hard, std::move(conf).value(), seed));
}

Status Core::step(Message message) { return machine_->step(std::move(message)); }
void Core::tick() { machine_->tick(); }
Status Core::campaign() { return machine_->campaign(); }
Status Core::propose(std::string&& data) { return machine_->propose(std::move(data)); }
Status Core::propose(std::span<std::string> batch) { return machine_->propose(batch); }
Status Core::propose_membership(const MembershipChange& change) {
  return machine_->propose_membership(change);
}
Status Core::read_index(ReadToken token) { return machine_->read_index(token); }
Status Core::transfer_leadership(NodeId to) { return machine_->transfer_leadership(to); }
void Core::report_unreachable(NodeId peer) { machine_->report_unreachable(peer); }
void Core::report_snapshot(NodeId peer, bool sent) { machine_->report_snapshot(peer, sent); }
bool Core::has_ready() const { return machine_->has_ready(); }
Ready Core::ready() { return machine_->ready(); }
void Core::advance(const Progress& progress) { machine_->advance(progress); }
Result<ConfState> Core::apply_membership(const MembershipChange& change) {
  return machine_->apply_membership(change);
}
BasicState Core::basic() const { return machine_->basic(); }
Inspection Core::inspect() const { return machine_->inspect(); }

}  // namespace mortise::raft
