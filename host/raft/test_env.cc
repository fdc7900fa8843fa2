#include "host/raft/test_env.h"

#include <utility>

#include "host/base/check.h"
#include "host/raft/membership_codec.h"

namespace mortise::raft::testing {
namespace {

std::string num(uint64_t n) { return std::to_string(n); }

std::string ids_text(const std::vector<NodeId>& ids) {
  std::string out = "(";
  for (const NodeId id : ids) out += (out.size() > 1 ? " " : "") + num(id);
  return out + ")";
}

std::string escape(const std::string& data) {
  std::string out = "\"";
  for (const char c : data) {
    static constexpr char kHex[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += std::string("\\x") + kHex[byte >> 4] + kHex[byte & 15];
    }
  }
  return out + "\"";
}

const char* to_text(ProgressState state) {
  switch (state) {
    case ProgressState::kProbe: return "probe";
    case ProgressState::kReplicate: return "replicate";
    case ProgressState::kSnapshot: return "snapshot";
  }
  return "?";
}

}  // namespace

std::string describe(const Entry& entry) {
  std::string out = num(entry.term) + "/" + num(entry.index);
  if (entry.type == EntryType::kNormal) return out + " " + escape(entry.data);
  out += std::string(" ") + to_string(entry.type);
  const Result<MembershipChange> change = decode_membership(entry.type, entry.data);
  if (!change.ok()) return out + " malformed";
  for (const SingleChange& single : change.value().changes) {
    static constexpr const char* kNames[] = {" add ", " remove ", " update ", " learner "};
    out += kNames[static_cast<int>(single.type)] + num(single.node);
  }
  return out;
}

std::string describe(const Message& m) {
  std::string out = num(m.from) + "->" + num(m.to) + " " + to_string(m.type);
  if (m.term != 0) out += " term=" + num(m.term);
  if (m.log_term != 0 || m.index != 0) out += " at=" + num(m.log_term) + "/" + num(m.index);
  if (m.commit != 0) out += " commit=" + num(m.commit);
  if (m.reject) out += " reject hint=" + num(m.reject_hint);
  if (!m.context.empty()) out += " context=" + escape(m.context);
  if (m.snapshot) {
    out += " snapshot=" + num(m.snapshot->term) + "/" + num(m.snapshot->index) + " " +
           describe(m.snapshot->conf_state);
  }
  for (size_t i = 0; i < m.entries.size(); ++i) {
    out += (i == 0 ? " [" : ", ") + describe(*m.entries[i]);
  }
  return m.entries.empty() ? out : out + "]";
}

std::string describe(const Ready& ready) {
  std::string out = "ready " + num(ready.number) + (ready.must_sync ? " sync" : "") + "\n";
  if (ready.soft_state) {
    out += "  soft leader=" + num(ready.soft_state->leader) + " " +
           to_string(ready.soft_state->role) + "\n";
  }
  if (ready.hard_state) {
    out += "  hard term=" + num(ready.hard_state->term) + " vote=" + num(ready.hard_state->vote) +
           " commit=" + num(ready.hard_state->commit) + "\n";
  }
  if (ready.snapshot) {
    out += "  snapshot " + num(ready.snapshot->term) + "/" + num(ready.snapshot->index) + " " +
           describe(ready.snapshot->conf_state) + "\n";
  }
  for (const EntryRef& entry : ready.entries) out += "  write " + describe(*entry) + "\n";
  for (const EntryRef& entry : ready.committed) out += "  apply " + describe(*entry) + "\n";
  for (const ReadState& read : ready.read_states) {
    out += "  read " + num(read.token) + " at " + num(read.index) + "\n";
  }
  for (const Message& m : ready.messages) out += "  send " + describe(m) + "\n";
  for (const Message& m : ready.messages_after_persist) out += "  then " + describe(m) + "\n";
  return out;
}

std::string describe(const ConfState& conf) {
  std::string out = "voters=" + ids_text(conf.voters);
  if (!conf.voters_outgoing.empty()) out += "&&" + ids_text(conf.voters_outgoing);
  if (!conf.learners.empty()) out += " learners=" + ids_text(conf.learners);
  if (!conf.learners_next.empty()) out += " learners_next=" + ids_text(conf.learners_next);
  if (conf.auto_leave) out += " auto_leave";
  return out;
}

std::string describe(const Inspection& in) {
  const BasicState& b = in.basic;
  std::string out = std::string(to_string(b.role)) + " term=" + num(b.term) +
                    " vote=" + num(b.vote) + " leader=" + num(b.leader);
  if (b.transferee != kNoNode) out += " transferee=" + num(b.transferee);
  out += " applied=" + num(b.applied) + " committed=" + num(b.committed) +
         " durable=" + num(b.durable_index) + " last=" + num(b.last_index);
  if (in.uncommitted_bytes != 0) out += " uncommitted_bytes=" + num(in.uncommitted_bytes);
  if (in.pending_reads != 0) out += " reads=" + num(in.pending_reads);
  if (in.readys_in_flight != 0) out += " in_flight=" + num(in.readys_in_flight);
  out += "\n  " + describe(in.conf_state) + "\n";
  for (const PeerInspection& peer : in.peers) {
    out += "  " + num(peer.id) + ": " + to_text(peer.state) + " match=" + num(peer.match) +
           " next=" + num(peer.next);
    if (peer.pending_snapshot != 0) out += " snapshot=" + num(peer.pending_snapshot);
    if (peer.inflight_messages != 0) out += " inflight=" + num(peer.inflight_messages);
    if (peer.learner) out += " learner";
    if (peer.paused) out += " paused";
    if (!peer.recent_active) out += " inactive";
    out += "\n";
  }
  return out;
}

Status Env::add(const Options& options) {
  const NodeId id = options.config.id;
  Node& node = nodes_[id];
  node.options = options;
  node.disk_hard = options.hard;
  node.confs[0] = options.conf;
  std::vector<EntryRef> entries;
  for (const NodeId member : options.bootstrap) {
    MembershipChange change;
    change.changes.push_back({ChangeType::kAddNode, member});
    entries.push_back(std::make_shared<const Entry>(
        Entry{1, entries.size() + 1, EntryType::kConfChange, encode_membership(change)}));
  }
  for (const uint64_t term : options.log_terms) {
    entries.push_back(
        std::make_shared<const Entry>(Entry{term, entries.size() + 1, EntryType::kNormal, "old"}));
  }
  if (!options.bootstrap.empty()) node.disk_hard = {1, kNoNode, entries.size()};
  MORTISE_RETURN_IF_ERROR(node.disk.append(entries));
  node.applied = options.config.applied;
  return restart(id);
}

std::vector<NodeId> Env::ids() const {
  std::vector<NodeId> out;
  for (const auto& [id, node] : nodes_) out.push_back(id);
  return out;
}

Status Env::restart(NodeId id) {
  Node& node = nodes_.at(id);
  MORTISE_CHECK(node.core == nullptr, "restart of a running member");
  node.view = std::make_unique<MemoryLog>(node.disk);
  node.view->set_hard_state(node.disk_hard);
  node.view->set_conf_state(std::prev(node.confs.upper_bound(node.applied))->second);
  node.view->set_snapshot(node.snapshot);
  Config config = node.options.config;
  config.applied = node.applied;
  Result<Core> core = Core::create(config, *node.view, node.options.seed + 1000 * node.lives++);
  if (!core.ok()) return core.status();
  node.slot.emplace(std::move(core).value());
  node.core = &*node.slot;
  return Status();
}

void Env::crash(NodeId id, uint64_t durable_applied) {
  Node& node = nodes_.at(id);
  node.slot.reset();
  node.core = nullptr;
  node.writing.clear();
  node.applying.clear();
  MORTISE_CHECK(durable_applied <= node.applied, "applied index of the future");
  node.applied = std::max(durable_applied, node.applied_floor);
  node.persisted = 0;
}

void Env::send(std::vector<Message> messages) {
  for (Message& m : messages) network_.push_back(std::move(m));
}

std::optional<Ready> Env::take_ready(NodeId id) {
  Node& node = nodes_.at(id);
  if (!node.core->has_ready()) return std::nullopt;
  Ready ready = node.core->ready();
  if (ready.soft_state && ready.soft_state->role == Role::kLeader) {
    const auto [at, is_new] = leaders_.try_emplace(node.core->basic().term, id);
    MORTISE_CHECK(is_new || at->second == id, "two leaders in one term");
  }
  if (node.options.early_view) write(node, *node.view, ready);
  send(ready.messages);
  if (ready.snapshot || !ready.committed.empty()) {
    node.applying.push_back({ready.number, ready.snapshot, ready.committed});
  }
  node.writing.push_back(ready);
  return ready;
}

void Env::write(Node& node, MemoryLog& log, const Ready& ready) {
  if (ready.snapshot) {
    log.reset(ready.snapshot->index, ready.snapshot->term);
    node.snapshot = ready.snapshot;
    node.view->set_snapshot(ready.snapshot);
  }
  const Status status = log.append(ready.entries);
  MORTISE_CHECK(status.ok(), status.message());
}

uint64_t Env::persist(NodeId id, size_t count) {
  Node& node = nodes_.at(id);
  uint64_t number = 0;
  std::vector<Message> after;
  for (; count > 0 && !node.writing.empty(); --count) {
    Ready ready = std::move(node.writing.front());
    node.writing.pop_front();
    write(node, node.disk, ready);
    if (!node.options.early_view) write(node, *node.view, ready);
    if (ready.hard_state) node.disk_hard = *ready.hard_state;
    if (ready.snapshot) {
      // An installed snapshot is durable together with its place in the log.
      MORTISE_CHECK(ready.snapshot->index > node.applied, "snapshot behind the applied index");
      node.applied_floor = ready.snapshot->index;
      node.confs[ready.snapshot->index] = ready.snapshot->conf_state;
    }
    number = ready.number;
    for (Message& m : ready.messages_after_persist) after.push_back(std::move(m));
  }
  if (number != 0) {
    node.persisted = number;
    node.core->advance({.persisted = number, .applied = {}});
    send(std::move(after));
  }
  return number;
}

void Env::check_applied(const Entry& entry) {
  const auto [at, is_new] = applied_.try_emplace(entry.index, entry);
  MORTISE_CHECK(
      is_new || (at->second.term == entry.term && at->second.data == entry.data),
      "applied " + describe(entry) + " where " + describe(at->second) + " was applied before");
}

uint64_t Env::apply(NodeId id, size_t count) {
  Node& node = nodes_.at(id);
  for (; count > 0 && !node.applying.empty(); --count) {
    if (node.applying.front().snapshot && node.applying.front().number > node.persisted) break;
    const Node::ToApply batch = std::move(node.applying.front());
    node.applying.pop_front();
    if (batch.snapshot) {
      node.applied = batch.snapshot->index;
    }
    for (const EntryRef& entry : batch.entries) {
      MORTISE_CHECK(entry->index == node.applied + 1, "entry to apply out of order");
      const std::optional<uint64_t> written = node.disk.term(entry->index);
      // A snapshot written meanwhile takes the place of the entries that it covers.
      MORTISE_CHECK(entry->index < node.disk.first_index() || written == entry->term,
                    "entry to apply is not on the disk");
      check_applied(*entry);
      node.applied = entry->index;
      if (entry->type == EntryType::kNormal) continue;
      Result<MembershipChange> change = decode_membership(entry->type, entry->data);
      MORTISE_CHECK(change.ok(), change.status().message());
      Result<ConfState> conf = node.core->apply_membership(change.value());
      if (!conf.ok()) apply_error_ = conf.status();
      if (conf.ok()) node.confs[entry->index] = std::move(conf).value();
    }
    node.core->advance({.persisted = {}, .applied = node.applied});
  }
  return node.applied;
}

void Env::compact(NodeId id, uint64_t index) {
  Node& node = nodes_.at(id);
  MORTISE_CHECK(index <= node.applied, "compact beyond the applied index");
  // A snapshot that waits to be applied has taken the place of the log.
  const std::optional<uint64_t> term = node.view->term(node.applied);
  if (!term) return;
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->index = node.applied;
  snapshot->term = *term;
  snapshot->conf_state = std::prev(node.confs.upper_bound(node.applied))->second;
  node.snapshot = snapshot;
  node.applied_floor = node.applied;
  node.view->set_snapshot(snapshot);
  node.view->compact(index);
  if (index <= node.disk.last_index()) node.disk.compact(index);
}

Status Env::deliver(const Message& message) {
  const auto to = nodes_.find(message.to);
  const auto from = nodes_.find(message.from);
  if (to == nodes_.end() || to->second.core == nullptr || to->second.cut) return Status();
  if (from != nodes_.end() && from->second.cut) return Status();
  return to->second.core->step(message);
}

}  // namespace mortise::raft::testing
