#include "tests/sim/client.h"

namespace mortise::sim {
namespace {

namespace pb = ::etcdserverpb;
constexpr uint64_t kKeys = 12;
constexpr Micros kTimeout = 3 * kSecond;

std::string num(int64_t n) { return std::to_string(n); }

}  // namespace

Client::Client(Site* site, History* history, uint64_t id, std::function<Machine*(Random*)> pick)
    : site_(site),
      env_(site->env),
      oracle_(site->oracle),
      history_(history),
      id_(id),
      random_(site->env->fork()),
      pick_(std::move(pick)) {}

std::string Client::key() { return "k" + std::to_string(random_.below(kKeys)); }

std::string Client::value() {
  std::string out = std::to_string(id_) + "." + std::to_string(next_value_++);
  if (random_.percent(5)) out.append(random_.below(3000), 'x');
  return out;
}

void Client::rest() {
  busy_ = false;
  if (stopped_) return;
  env_->after(random_.skewed(kMillisecond, 150 * kMillisecond), [this] { act(); });
}

void Client::act() {
  if (stopped_) return;
  Machine* machine = pick_(&random_);
  if (machine == nullptr || machine->process() == nullptr) {
    rest();
    return;
  }
  busy_ = true;
  const uint64_t number = ++number_;
  env_->after(kTimeout, [this, number] {
    if (!busy_ || number != number_) return;
    ++history_->unknown;
    rest();
  });
  const uint64_t choice = random_.below(100);
  if (choice < 40) {
    put(machine);
  } else if (choice < 48) {
    remove(machine);
  } else if (choice < 60) {
    txn(machine);
  } else if (choice < 62) {
    compact(machine);
  } else if (choice < 70) {
    use_lease(machine);
  } else {
    read(machine);
  }
}

bool Client::end(uint64_t number) {
  if (!busy_ || number != number_) return false;
  rest();
  return true;
}

void Client::write(Machine* machine, uint32_t field, const std::string& bytes,
                   std::function<void(const apply::ApplyResult&)> then) {
  const uint64_t request_id = site_->next_request_id++;
  const Asked asked = ask();
  // The request may meet a process that stands still.
  machine->run(machine->life(), [this, machine, request_id, field, bytes, asked, number = number_,
                                 then = std::move(then)] {
    machine->process()->propose(
        request_id, wire::encode_raft_request(request_id, field, bytes),
        [this, request_id, asked, number, then](const apply::ApplyResult* result) {
          if (!end(number)) return;
          if (result == nullptr) {
            ++history_->dropped;
            return;
          }
          ++history_->answered_writes;
          answered(asked, request_id);
          if (then) then(*result);
        });
  });
}

void Client::answered(const Asked& asked, uint64_t request_id) {
  const Outcome* outcome = oracle_->outcome(request_id);
  if (outcome == nullptr) return;  // The oracle has complained.
  if (outcome->index <= asked.index) {
    env_->fail("request " + std::to_string(request_id) + " took place at index " +
               std::to_string(outcome->index) + ", though one at " + std::to_string(asked.index) +
               " had been answered before it was made");
  }
  if (outcome->revision < asked.revision ||
      (outcome->changed && outcome->revision == asked.revision)) {
    env_->fail("request " + std::to_string(request_id) + " has revision " + num(outcome->revision) +
               ", though " + num(asked.revision) + " had been shown before it was made");
  }
  history_->index = std::max(history_->index, outcome->index);
  history_->revision = std::max(history_->revision, outcome->revision);
}

void Client::put(Machine* machine) {
  pb::PutRequest request;
  request.set_key(key());
  request.set_value(value());
  request.set_prev_kv(random_.percent(30));
  if (lease_ != 0 && random_.percent(30)) request.set_lease(lease_);
  write(machine, wire::kRaftPut, request.SerializeAsString());
}

void Client::probe(Machine* machine, std::function<void(bool)> done) {
  pb::PutRequest request;
  request.set_key("probe");
  request.set_value(value());
  const uint64_t request_id = site_->next_request_id++;
  const Asked asked = ask();
  machine->process()->propose(
      request_id,
      wire::encode_raft_request(request_id, wire::kRaftPut, request.SerializeAsString()),
      [this, asked, request_id, done = std::move(done)](const apply::ApplyResult* result) {
        if (result != nullptr) answered(asked, request_id);
        done(result != nullptr);
      });
}

void Client::remove(Machine* machine) {
  pb::DeleteRangeRequest request;
  request.set_key(key());
  if (random_.percent(20)) request.set_range_end(request.key() + "\xff");
  request.set_prev_kv(random_.percent(30));
  write(machine, wire::kRaftDeleteRange, request.SerializeAsString());
}

// A key changes if nobody has changed it since this client looked, or so.
void Client::txn(Machine* machine) {
  pb::TxnRequest request;
  const std::string name = key();
  pb::Compare* compare = request.add_compare();
  compare->set_key(name);
  if (random_.percent(50)) {
    compare->set_target(pb::Compare::MOD);
    compare->set_result(pb::Compare::LESS);
    compare->set_mod_revision(history_->revision - static_cast<int64_t>(random_.below(20)));
  } else {
    compare->set_target(pb::Compare::VERSION);
    compare->set_result(pb::Compare::EQUAL);
    compare->set_version(static_cast<int64_t>(random_.below(3)));
  }
  pb::PutRequest* put = request.add_success()->mutable_request_put();
  put->set_key(name);
  put->set_value(value());
  if (random_.percent(30)) request.add_success()->mutable_request_range()->set_key("k3");
  request.add_failure()->mutable_request_range()->set_key(name);
  if (random_.percent(20)) {
    request.add_failure()->mutable_request_delete_range()->set_key(name);
  }
  write(machine, wire::kRaftTxn, request.SerializeAsString());
}

void Client::compact(Machine* machine) {
  pb::CompactionRequest request;
  request.set_revision(history_->revision - static_cast<int64_t>(random_.below(100)));
  write(machine, wire::kRaftCompaction, request.SerializeAsString());
}

void Client::read(Machine* machine) {
  pb::RangeRequest request;
  request.set_key(key());
  if (random_.percent(30)) {
    request.set_key("k");
    request.set_range_end("l");
  }
  request.set_serializable(random_.percent(20));
  const Asked asked = ask();
  machine->run(machine->life(), [this, machine, request, asked, number = number_] {
    machine->process()->read(request,
                             [this, request, asked, number](const Process::ReadAnswer& answer) {
                               if (!end(number)) return;
                               check(asked, request, answer);
                             });
  });
}

void Client::check(const Asked& asked, const pb::RangeRequest& request,
                   const Process::ReadAnswer& answer) {
  if (!answer.rpc.ok()) {
    ++history_->dropped;
    return;
  }
  ++history_->answered_reads;
  const std::string what = "a read at revision " + num(answer.revision);
  if (!request.serializable()) {
    if (answer.revision < asked.revision) {
      env_->fail(what + " is stale: " + num(asked.revision) + " had been shown before it was made");
    }
    history_->revision = std::max(history_->revision, answer.revision);
  }
  const auto expected = oracle_->range(request.key(), request.range_end(), answer.revision);
  bool equal = static_cast<size_t>(answer.response.kvs_size()) == expected.size() &&
               answer.response.count() == static_cast<int64_t>(expected.size());
  for (size_t i = 0; equal && i < expected.size(); ++i) {
    equal = answer.response.kvs(static_cast<int>(i)).SerializeAsString() ==
            expected[i].SerializeAsString();
  }
  if (!equal) env_->fail(what + " shows what was not there then");
}

// Grants a lease, keeps it alive for a while, and lets it run out.
void Client::use_lease(Machine* machine) {
  if (lease_ == 0) {
    pb::LeaseGrantRequest request;
    const auto id = static_cast<int64_t>(id_ * 100000 + number_);
    const uint64_t ttl = random_.between(2, 10);
    request.set_id(id);
    request.set_ttl(static_cast<int64_t>(ttl));
    const Micros asked_at = env_->now();
    write(machine, wire::kRaftLeaseGrant, request.SerializeAsString(),
          [this, id, ttl, asked_at](const apply::ApplyResult& result) {
            if (!result.rpc.ok()) return;
            history_->leases[id] = {ttl * kSecond, asked_at};
            lease_ = id;
            lease_until_ = env_->now() + random_.below(15 * kSecond);
          });
    return;
  }
  const int64_t id = lease_;
  if (env_->now() > lease_until_) lease_ = 0;
  const Micros asked_at = env_->now();
  machine->run(machine->life(), [this, machine, id, asked_at, number = number_] {
    machine->process()->keep_alive(id, [this, id, asked_at, number](bool renewed) {
      const auto lease = history_->leases.find(id);
      if (renewed && lease != history_->leases.end()) lease->second.renewed = asked_at;
      end(number);
    });
  });
}

}  // namespace mortise::sim
