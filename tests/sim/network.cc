#include "tests/sim/network.h"

#include "host/peer/codec.h"

namespace mortise::sim {

std::string describe(const raft::Message& m) {
  std::string out = std::to_string(m.from) + ">" + std::to_string(m.to) + " " +
                    raft::to_string(m.type) + " t" + std::to_string(m.term) + " " +
                    std::to_string(m.log_term) + "/" + std::to_string(m.index) + " c" +
                    std::to_string(m.commit);
  if (m.reject) out += " no, " + std::to_string(m.reject_hint);
  if (!m.entries.empty()) out += " +" + std::to_string(m.entries.size());
  if (m.snapshot) out += " snapshot " + std::to_string(m.snapshot->index);
  return out;
}

void Network::lose(raft::NodeId from, const raft::Message& message) {
  if (message.type == raft::MessageType::kSnap) {
    answer_snapshot(from, message.to, false);
    return;
  }
  // A transport sees a broken connection sooner or later, and not for each message.
  if (!random_.percent(20)) return;
  env_->after(random_.between(kMillisecond, 200 * kMillisecond),
              [this, from, to = message.to] { hooks_.unreachable(from, to); });
}

void Network::answer_snapshot(raft::NodeId from, raft::NodeId to, bool ok) {
  env_->after(random_.skewed(quality_.delay_min, 100 * kMillisecond),
              [this, from, to, ok] { hooks_.snapshot_sent(from, to, ok && passes(to, from)); });
}

// As it comes out at the other end of a connection; a snapshot's data goes beside the message.
raft::Message Network::transmitted(const raft::Message& message) {
  std::string bytes;
  peer::append_message(message, &bytes);
  Result<raft::Message> out = peer::decode_message(bytes);
  if (!out.ok()) {
    env_->fail("a message does not decode: " + out.status().message());
    return message;
  }
  if (message.snapshot) out->snapshot = message.snapshot;
  return std::move(out).value();
}

void Network::arrive(raft::NodeId from, raft::Message message, Micros delay) {
  env_->after(delay, [this, from, message = std::move(message)]() mutable {
    if (!passes(from, message.to)) {
      lose(from, message);
      return;
    }
    hooks_.deliver(message.to, std::move(message));
  });
}

void Network::send(raft::NodeId from, raft::Message message) {
  if (!passes(from, message.to) || random_.permille(quality_.lost_permille)) {
    env_->trace("lost " + describe(message));
    lose(from, message);
    return;
  }
  message = transmitted(message);
  Micros delay = random_.skewed(quality_.delay_min, quality_.delay_max);
  if (random_.permille(quality_.late_permille)) delay += random_.below(quality_.late_max);
  if (message.snapshot) delay += message.snapshot->data.size() * 10;  // 100 KB a second.
  const bool may_double =
      message.type != raft::MessageType::kProp && message.type != raft::MessageType::kSnap;
  if (may_double && random_.permille(quality_.doubled_permille)) {
    arrive(from, message, delay + random_.below(quality_.late_max));
  }
  arrive(from, std::move(message), delay);
}

}  // namespace mortise::sim
