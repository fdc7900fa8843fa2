#include "tests/sim/nemesis.h"

#include "tests/sim/process.h"

namespace mortise::sim {

Nemesis::Nemesis(Site* site, Machines* machines, Operator* the_operator)
    : site_(site),
      env_(site->env),
      machines_(machines),
      operator_(the_operator),
      random_(site->env->fork()) {
  const std::vector<Fault> all = {
      {"crash", 10, &Nemesis::crash_one},
      {"crash of many", 3, &Nemesis::crash_many},
      {"partition", 8, &Nemesis::partition},
      {"one-way partition", 6, &Nemesis::partition_one_way},
      {"bad network", 6, &Nemesis::bad_network},
      {"slow disk", 4, &Nemesis::slow_disk},
      {"stalled disk", 4, &Nemesis::stalled_disk},
      {"full disk", 3, &Nemesis::full_disk},
      {"flipped bit", 2, &Nemesis::flip_bit},
      {"drift", 3, &Nemesis::drift},
      {"pause", 5, &Nemesis::pause},
      {"membership", 6, &Nemesis::change_membership},
      {"moved leader", 4, &Nemesis::move_leader},
      {"crashing voters", 5, &Nemesis::crash_voters},
      {"falling leaders", 8, &Nemesis::fell_leaders},
      {"calm isolation", 2, &Nemesis::isolate_calmly},
  };
  for (const Fault& fault : all) {
    if (!random_.percent(60)) continue;
    faults_.push_back(fault);
    weights_ += fault.weight;
  }
  pause_max_ = random_.between(1, 12) * kSecond;
}

void Nemesis::start() {
  later(kSecond + random_.below(kSecond), [this] { next(); });
}

void Nemesis::later(Micros delay, std::function<void()> action) {
  env_->after(delay, [this, action = std::move(action)] {
    if (!stopped_) action();
  });
}

void Nemesis::next() {
  later(random_.skewed(10 * kMillisecond, pause_max_), [this] { next(); });
  if (calm_ || weights_ == 0) return;
  uint64_t at = random_.below(weights_);
  for (const Fault& fault : faults_) {
    if (at < fault.weight) {
      env_->trace("fault: " + fault.name);
      ++counts_[fault.name];
      (this->*fault.act)();
      return;
    }
    at -= fault.weight;
  }
}

void Nemesis::heal() {
  voters_crash_until_ = leaders_fall_until_ = 0;
  site_->network->heal();
  site_->network->quality() = NetworkQuality{};
  for (const auto& [id, machine] : *machines_) {
    machine->speed() = DiskSpeed{};
    machine->disk().limit_space(UINT64_MAX);
    if (machine->paused()) env_->after(0, [m = machine.get()] { m->resume(); });
    if (machine->health() == Health::kDown && machine->started()) start_later(machine.get());
  }
}

void Nemesis::stop() {
  stopped_ = true;
  heal();
}

std::vector<Machine*> Nemesis::present() const {
  std::vector<Machine*> out;
  for (const auto& [id, machine] : *machines_) {
    if (machine->health() != Health::kRemoved) out.push_back(machine.get());
  }
  return out;
}

Machine* Nemesis::any_up() {
  std::vector<Machine*> up;
  for (Machine* machine : present()) {
    if (machine->up()) up.push_back(machine);
  }
  // Leaders are where most goes wrong.
  Machine* leads = leader();
  if (leads != nullptr && random_.percent(30)) return leads;
  return up.empty() ? nullptr : up[random_.below(up.size())];
}

Machine* Nemesis::leader() const {
  Machine* out = nullptr;
  for (Machine* machine : present()) {
    if (!machine->up()) continue;
    const raft::BasicState state = machine->process()->basic();
    if (state.role != raft::Role::kLeader) continue;
    if (out == nullptr || state.term > out->process()->basic().term) out = machine;
  }
  return out;
}

// Down for a moment, or for long.
void Nemesis::start_later(Machine* machine) {
  Micros delay = random_.between(kMillisecond, 100 * kMillisecond);
  if (!stopped_ && random_.percent(70)) delay = random_.below(5 * kSecond);
  env_->after(delay, [machine] {
    if (machine->health() == Health::kDown) machine->start();
  });
}

void Nemesis::crash_one() {
  Machine* machine = any_up();
  if (machine == nullptr) return;
  machine->crash(random_.percent(60));
  start_later(machine);
}

void Nemesis::crash_many() {
  const bool power_loss = random_.percent(60);
  for (Machine* machine : present()) {
    if (!machine->up() || random_.percent(25)) continue;
    machine->crash(power_loss);
    start_later(machine);
  }
}

void Nemesis::partition() {
  std::map<raft::NodeId, bool> side;
  for (Machine* machine : present()) side[machine->id()] = random_.percent(50);
  for (const auto& [a, side_a] : side) {
    for (const auto& [b, side_b] : side) {
      if (side_a != side_b) site_->network->cut(a, b);
    }
  }
  later(random_.between(100, 6000) * kMillisecond, [this] { site_->network->heal(); });
}

void Nemesis::partition_one_way() {
  Machine* machine = any_up();
  if (machine == nullptr) return;
  const bool out = random_.percent(50);
  for (Machine* other : present()) {
    if (other == machine || random_.percent(20)) continue;
    const raft::NodeId a = machine->id(), b = other->id();
    site_->network->cut(out ? a : b, out ? b : a);
  }
  later(random_.between(100, 6000) * kMillisecond, [this] { site_->network->heal(); });
}

void Nemesis::bad_network() {
  NetworkQuality& quality = site_->network->quality();
  quality.delay_max = random_.between(1, 60) * kMillisecond;
  quality.lost_permille = random_.below(200);
  quality.doubled_permille = random_.below(100);
  quality.late_permille = random_.below(200);
  quality.late_max = random_.between(5, 1500) * kMillisecond;
  later(random_.between(500, 8000) * kMillisecond,
        [this] { site_->network->quality() = NetworkQuality{}; });
}

void Nemesis::slow_disk() {
  Machine* machine = any_up();
  if (machine == nullptr) return;
  machine->speed().write_max = random_.between(20, 400) * kMillisecond;
  later(random_.between(500, 8000) * kMillisecond,
        [machine] { machine->speed().write_max = DiskSpeed().write_max; });
}

void Nemesis::stalled_disk() {
  Machine* machine = any_up();
  if (machine == nullptr) return;
  machine->speed().stalled_until = env_->now() + random_.between(200, 5000) * kMillisecond;
}

void Nemesis::full_disk() {
  Machine* machine = any_up();
  if (machine == nullptr) return;
  machine->disk().limit_space(random_.below(20000));
  later(random_.between(500, 5000) * kMillisecond, [this, machine] {
    machine->disk().limit_space(UINT64_MAX);
    if (machine->health() == Health::kDown) start_later(machine);
  });
}

// Only while all others are well: a cluster survives the loss of a minority and no more. As in etcd
// votes count by the membership that is applied, so a voter that was removed and is gone counts as
// lost, too, until the others cannot forget its removal any more.
void Nemesis::flip_bit() {
  Machine* at = operator_->newest();
  if (at == nullptr || !operator_->idle()) return;
  const raft::ConfState conf = at->process()->conf_state();
  if (conf.voters.size() < 3) return;
  for (const raft::NodeId id : conf.voters) {
    const auto found = machines_->find(id);
    if (found == machines_->end() || found->second->damaged() || !found->second->up()) return;
    Process* process = found->second->process();
    if (process->conf_state() != conf || !process->sync_store()) return;
  }
  Machine* machine = machines_->at(conf.voters[random_.below(conf.voters.size())]).get();
  machine->crash(random_.percent(50));
  if (machine->flip_bit()) operator_->replace(machine->id());
  start_later(machine);
}

void Nemesis::drift() {
  for (Machine* machine : present()) {
    const auto drift = static_cast<int64_t>(random_.below(2 * kDriftPermilleMax + 1));
    machine->set_drift(drift - static_cast<int64_t>(kDriftPermilleMax));
  }
}

void Nemesis::pause() {
  Machine* machine = any_up();
  if (machine == nullptr) return;
  machine->pause();
  later(random_.between(50, 5000) * kMillisecond, [machine] { machine->resume(); });
}

void Nemesis::change_membership() { operator_->change(); }

void Nemesis::move_leader() {
  Machine* from = any_up();
  Machine* to = any_up();
  if (from == nullptr || from->paused() || to == nullptr) return;
  from->process()->transfer_leadership(to->id());
}

void Nemesis::crash_voters() {
  voters_crash_until_ = env_->now() + random_.between(2, 15) * kSecond;
  if (Machine* leads = leader(); leads != nullptr) cut_off(leads->id(), 3 * kElectionTimeout);
}

void Nemesis::fell_leaders() {
  leaders_fall_until_ = env_->now() + random_.between(5, 30) * kSecond;
  if (Machine* leads = leader(); leads != nullptr) cut_off(leads->id(), 3 * kElectionTimeout);
}

void Nemesis::voted(raft::NodeId id) {
  if (env_->now() >= voters_crash_until_ || random_.percent(50)) return;
  // The vote is on its way; the voter is back in no time.
  env_->after(random_.below(3 * kMillisecond), [this, machine = machines_->at(id).get()] {
    machine->crash(random_.percent(50));
    env_->after(random_.between(1, 20) * kMillisecond, [machine] {
      if (machine->health() == Health::kDown) machine->start();
    });
  });
}

void Nemesis::elected(raft::NodeId id) {
  if (env_->now() >= leaders_fall_until_ || random_.percent(30)) return;
  // At once: the leader's first entry gets no further than to its own disk.
  const Micros delay = random_.percent(50) ? 0 : random_.skewed(0, 2 * kSecond);
  env_->after(delay, [this, id] {
    Machine* machine = machines_->at(id).get();
    if (stopped_ || !machine->up()) return;
    if (random_.percent(70)) {
      cut_off(id, random_.between(1000, 5000) * kMillisecond);
    } else {
      machine->crash(random_.percent(50));
      start_later(machine);
    }
  });
}

void Nemesis::cut_off(raft::NodeId id, Micros how_long) {
  env_->trace("cut off: " + std::to_string(id));
  for (Machine* other : present()) {
    if (other->id() == id) continue;
    site_->network->cut(other->id(), id);
    site_->network->cut(id, other->id());
  }
  later(how_long, [this, id] { site_->network->heal(id); });
}

void Nemesis::isolate_calmly() {
  if (!operator_->idle()) return;
  calm_ = true;
  operator_->pause(true);
  heal();
  later(6 * kSecond, [this] {
    Machine* leads = leader();
    const uint64_t term = leads == nullptr ? 0 : leads->process()->basic().term;
    const bool well = leads != nullptr && operator_->idle() && agree_on(leads->id(), term);
    if (well) {
      isolate_member(leads->id(), term);
    } else {
      calm_ = false;
      operator_->pause(false);
    }
  });
}

bool Nemesis::agree_on(raft::NodeId leads, uint64_t term) const {
  for (Machine* machine : present()) {
    if (!machine->up()) return false;
    const raft::BasicState state = machine->process()->basic();
    if (state.leader != leads || state.term != term) return false;
  }
  return true;
}

void Nemesis::isolate_member(raft::NodeId leads, uint64_t term) {
  std::vector<raft::NodeId> others;
  for (Machine* machine : present()) {
    if (machine->id() != leads) others.push_back(machine->id());
  }
  if (others.size() < 2) {
    calm_ = false;
    operator_->pause(false);
    return;
  }
  const raft::NodeId isolated = others[random_.below(others.size())];
  const Micros how_long = 4 * kElectionTimeout + random_.below(kSecond);
  cut_off(isolated, how_long);
  later(how_long, [this, leads, term, isolated] {
    later(3 * kElectionTimeout,
          [this, leads, term, isolated] { check_undisturbed(leads, term, isolated); });
  });
}

void Nemesis::check_undisturbed(raft::NodeId leads, uint64_t term, raft::NodeId isolated) {
  calm_ = false;
  operator_->pause(false);
  if (agree_on(leads, term)) return;
  env_->fail("member " + std::to_string(isolated) + " was cut off and came back, and member " +
             std::to_string(leads) + " does not lead in term " + std::to_string(term) +
             " any more");
}

}  // namespace mortise::sim
