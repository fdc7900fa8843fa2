#include "tests/sim/simulation.h"

#include "host/raft/membership.h"
#include "tests/sim/process.h"

namespace mortise::sim {

Simulation::Simulation(const Options& options)
    : options_(options), env_(options.seed, options.trace), random_(env_.fork()), oracle_(&env_) {
  if (options_.members == 0) options_.members = random_.percent(60) ? 3 : 5;
  Network::Hooks hooks;
  hooks.deliver = [this](raft::NodeId to, raft::Message message) {
    const auto found = machines_.find(to);
    if (found == machines_.end() || !found->second->up()) {
      if (message.snapshot) network_->answer_snapshot(message.from, to, false);
      return;
    }
    Machine* machine = found->second.get();
    machine->run(machine->life(), [machine, message = std::move(message)]() mutable {
      machine->process()->deliver(std::move(message));
    });
  };
  hooks.unreachable = [this](raft::NodeId from, raft::NodeId to) {
    const auto found = machines_.find(from);
    if (found == machines_.end()) return;
    Machine* machine = found->second.get();
    machine->run(machine->life(), [machine, to] { machine->process()->report_unreachable(to); });
  };
  hooks.snapshot_sent = [this](raft::NodeId from, raft::NodeId to, bool ok) {
    const auto found = machines_.find(from);
    if (found == machines_.end()) return;
    Machine* machine = found->second.get();
    machine->run(machine->life(),
                 [machine, to, ok] { machine->process()->report_snapshot(to, ok); });
  };
  network_ = std::make_unique<Network>(&env_, hooks);
  site_.env = &env_;
  site_.oracle = &oracle_;
  site_.network = network_.get();
  site_.options = options_;
  site_.catchup_entries = random_.percent(50) ? random_.between(5, 50) : 1000;
  site_.release_every = random_.between(20, 400);
  site_.message_bytes_max = random_.percent(70) ? random_.between(1, 200) : uint64_t{1} << 20;
  oracle_.on_revoked([this](int64_t lease) { check_revoked(lease); });
  site_.committed = [this](raft::NodeId member) { check_completeness(member); };
  site_.voted = [this](raft::NodeId member) { nemesis_->voted(member); };
  site_.elected = [this](raft::NodeId member) { nemesis_->elected(member); };
}

Simulation::~Simulation() = default;

void Simulation::add_founders() {
  for (uint32_t id = 1; id <= options_.members; ++id) site_.founders.push_back(id);
  for (const raft::NodeId id : site_.founders) {
    machines_[id] = std::make_unique<Machine>(&site_, id, /*founder=*/true);
    env_.after(random_.below(kSecond), [machine = machines_[id].get()] { machine->start(); });
  }
}

Machine* Simulation::pick(Random* random) {
  std::vector<Machine*> up;
  for (const auto& [id, machine] : machines_) {
    if (machine->up()) up.push_back(machine.get());
  }
  if (up.empty()) return nullptr;
  // Many clients stay with the leader.
  if (random->percent(40)) {
    for (Machine* machine : up) {
      if (machine->process()->basic().role == raft::Role::kLeader) return machine;
    }
  }
  return up[random->below(up.size())];
}

void Simulation::add_clients() {
  const uint64_t clients = random_.between(2, 8);
  for (uint64_t id = 1; id <= clients; ++id) {
    clients_.push_back(std::make_unique<Client>(&site_, &history_, id,
                                                [this](Random* random) { return pick(random); }));
    env_.after(kSecond, [client = clients_.back().get()] { client->start(); });
  }
}

void Simulation::add_watchers() {
  watches_.resize(3);
  for (size_t i = 0; i < watches_.size(); ++i) {
    watches_[i].watcher = std::make_shared<Watcher>(&env_, &oracle_, 2);
    rewatch(i);
  }
}

// A watcher whose member is gone, or that is tired of it, goes to another one.
void Simulation::rewatch(size_t number) {
  env_.after(random_.between(50, 1500) * kMillisecond, [this, number] { rewatch(number); });
  Watch& watch = watches_[number];
  const auto at = machines_.find(watch.at);
  const bool connected =
      at != machines_.end() && at->second->up() && at->second->life() == watch.life;
  if (connected && random_.percent(90)) return;
  Machine* machine = pick(&random_);
  if (machine == nullptr || machine->paused()) return;
  if (connected) at->second->process()->detach(watch.watcher.get());
  watch.at = machine->id();
  watch.life = machine->life();
  machine->process()->attach(watch.watcher);
}

// Whoever could be elected has all that is committed. Said of the members as they are now: with
// what is on the others' disks, could this member win an election?
void Simulation::check_completeness(raft::NodeId member) {
  if (!operator_->untouched()) return;
  Process* process = machines_.at(member)->process();
  if (process == nullptr) return;
  const uint64_t committed = process->basic().committed;
  if (committed <= complete_to_) return;
  const auto term = process->log().term(committed);
  if (!term) return;
  complete_to_ = committed;
  for (const auto& [id, machine] : machines_) {
    if (!machine->up()) continue;
    const raft::MemoryLog& log = machine->process()->log();
    if (committed < log.first_index() || log.term(committed) == term) continue;
    const uint64_t last_term = log.term(log.last_index()).value_or(0);
    uint64_t votes = 1;
    for (const auto& [other_id, other] : machines_) {
      if (other_id == id) continue;
      const Machine::LogEnd end = other->durable_end();
      const bool grants =
          last_term > end.term || (last_term == end.term && log.last_index() >= end.index);
      votes += grants ? 1 : 0;
    }
    if (votes > machines_.size() / 2) {
      env_.fail("member " + std::to_string(id) + " could be elected without entry " +
                std::to_string(committed) + ", which member " + std::to_string(member) +
                " holds for committed");
      return;
    }
  }
}

void Simulation::check_revoked(int64_t lease) {
  const auto found = history_.leases.find(lease);
  if (found == history_.leases.end()) return;
  const Micros passed = env_.now() - found->second.renewed;
  // A member's clock may be that much too fast.
  if (passed * (1000 + kDriftPermilleMax) / 1000 + kMillisecond >= found->second.ttl) return;
  env_.fail("lease " + std::to_string(lease) + " is revoked " + std::to_string(passed) +
            " us after its renewal; its TTL is " + std::to_string(found->second.ttl) + " us");
}

void Simulation::run_until(Micros end) {
  while (env_.step(end)) {
  }
}

void Simulation::probe_all() {
  for (const auto& [id, machine] : machines_) {
    if (!machine->up() || probed_[id]) continue;
    clients_[0]->probe(machine.get(), [this, id = id](bool ok) { probed_[id] = ok; });
  }
}

std::string Simulation::unwell(const Machine& machine, raft::NodeId leads) const {
  const std::string who = "member " + std::to_string(machine.id());
  if (machine.health() == Health::kRemoved) return {};
  if (!machine.up()) return who + " is not up";
  auto& process = *const_cast<Machine&>(machine).process();
  if (process.basic().leader != leads || leads == raft::kNoNode) {
    return who + " follows " + std::to_string(process.basic().leader) + ", the leader is " +
           std::to_string(leads);
  }
  const auto probed = probed_.find(machine.id());
  if (probed == probed_.end() || !probed->second) return who + " does not answer";
  if (process.applied() != oracle_.last_index()) {
    return who + " has applied " + std::to_string(process.applied()) + " of " +
           std::to_string(oracle_.last_index());
  }
  return {};
}

std::string Simulation::unwell() const {
  if (!operator_->idle()) return "a membership change does not end";
  raft::NodeId leads = raft::kNoNode;
  for (const auto& [id, machine] : machines_) {
    if (!machine->up()) continue;
    if (machine->process()->basic().role == raft::Role::kLeader) leads = id;
  }
  for (const auto& [id, machine] : machines_) {
    std::string problem = unwell(*machine, leads);
    if (!problem.empty()) return problem;
  }
  if (!oracle_.model().leases().empty()) return "a lease does not run out";
  for (const Watch& watch : watches_) {
    if (watch.watcher->next_revision() <= oracle_.model().revision()) {
      return "a watcher lacks events from " + std::to_string(watch.watcher->next_revision());
    }
  }
  return {};
}

void Simulation::recover() {
  env_.trace("faults end");
  nemesis_->stop();
  operator_->pause(true);
  const Micros began = env_.now();
  // Clients go on for a while, so that it is seen that they can.
  run_until(began + 3 * kSecond);
  for (const auto& client : clients_) client->stop();
  std::string problem;
  do {
    probe_all();
    run_until(env_.now() + 500 * kMillisecond);
    problem = unwell();
  } while (!env_.failed() && !problem.empty() && env_.now() < began + kRecoveryMax);
  if (!problem.empty()) env_.fail("after the faults: " + problem);
  if (env_.failed()) return;
  for (const auto& [id, machine] : machines_) {
    if (machine->up()) {
      oracle_.state_hash(id, oracle_.last_index(), machine->process()->final_hash());
    }
  }
}

Report Simulation::run() {
  add_founders();
  operator_ = std::make_unique<Operator>(&site_, &machines_);
  nemesis_ = std::make_unique<Nemesis>(&site_, &machines_, operator_.get());
  operator_->start();
  nemesis_->start();
  add_clients();
  add_watchers();
  run_until(options_.duration);
  Report report;
  const Micros began = env_.now();
  if (!env_.failed()) recover();
  report.recovery = env_.now() - began;
  report.failure = env_.failure();
  report.trace_hash = env_.trace_hash();
  report.events = env_.events();
  report.simulated = env_.now();
  report.entries = oracle_.last_index();
  report.revision = oracle_.model().revision();
  report.answered_writes = history_.answered_writes;
  report.answered_reads = history_.answered_reads;
  report.unknown = history_.unknown;
  report.dropped = history_.dropped;
  for (const Watch& watch : watches_) report.watched_events += watch.watcher->events();
  report.membership_changes = operator_->changes();
  report.snapshots = site_.snapshots;
  report.refused = site_.refused;
  report.faults = nemesis_->counts();
  return report;
}

}  // namespace mortise::sim
