#include "tests/sim/oracle.h"

#include <algorithm>

namespace mortise::sim {
namespace {

namespace pb = ::etcdserverpb;

std::string num(uint64_t n) { return std::to_string(n); }

uint64_t content_of(const raft::Entry& entry) {
  uint64_t hash = 14695981039346656037u + static_cast<uint64_t>(entry.type);
  for (const char c : entry.data) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash;
}

// As the server's answers are: a header in front, which is not part of the body.
template <typename Response>
std::string body_of(Response response) {
  response.clear_header();
  return response.SerializeAsString();
}

template <typename Request>
Request parse(std::string_view bytes) {
  Request out;
  MORTISE_CHECK(out.ParseFromString(std::string(bytes)), "a client's request does not parse");
  return out;
}

}  // namespace

void Oracle::leads(raft::NodeId member, uint64_t term) {
  const auto [at, is_new] = leaders_.try_emplace(term, member);
  if (is_new || at->second == member) return;
  env_->fail("two leaders in term " + num(term) + ": " + num(at->second) + " and " + num(member));
}

void Oracle::votes(raft::NodeId voter, uint64_t term, raft::NodeId candidate) {
  const auto [at, is_new] = votes_.try_emplace({voter, term}, candidate);
  if (is_new || at->second == candidate) return;
  env_->fail("member " + num(voter) + " votes twice in term " + num(term) + ": for " +
             num(at->second) + " and for " + num(candidate));
}

void Oracle::appended(raft::NodeId member, const raft::Entry& entry,
                      std::optional<uint64_t> term_before) {
  const uint64_t before = term_before.value_or(0);
  const Place place{before, content_of(entry)};
  const auto [at, is_new] = log_[entry.index].try_emplace(entry.term, place);
  if (is_new) return;
  if (at->second.content != place.content || (term_before && at->second.term_before != before)) {
    env_->fail("logs differ: member " + num(member) + " has another entry at index " +
               num(entry.index) + " of term " + num(entry.term) + ", or another one before it");
  }
}

void Oracle::applying(raft::NodeId member, const raft::Entry& entry,
                      std::optional<uint64_t> durable) {
  const std::string who = "member " + num(member) + " applies entry " + num(entry.index);
  if (durable && entry.index > *durable) {
    env_->fail(who + ", its log is on disk up to " + num(*durable) + " only");
    return;
  }
  const uint64_t content = content_of(entry);
  if (entry.index <= entries_.size()) {
    const Applied& before = entries_[entry.index - 1];
    if (before.term != entry.term || before.content != content) {
      env_->fail("a committed entry changes: " + who + " of term " + num(entry.term) +
                 ", others had one of term " + num(before.term));
    }
    return;
  }
  if (entry.index != entries_.size() + 1) {
    env_->fail(who + ", nobody has applied " + num(entries_.size() + 1));
    return;
  }
  entries_.push_back({entry.term, content});
  carry_out(entry);
}

void Oracle::carry_out(const raft::Entry& entry) {
  if (entry.type != raft::EntryType::kNormal || entry.data.empty()) return;
  wire::RaftRequest request;
  MORTISE_CHECK(wire::decode(entry.data, &request), "a log entry does not parse");
  Outcome outcome;
  outcome.index = entry.index;
  const int64_t before = model_.revision();
  outcome.rpc = carry_out(request, &outcome);
  outcome.revision = model_.revision();
  outcome.changed = outcome.revision != before;
  if (!outcomes_.try_emplace(request.id, std::move(outcome)).second) {
    env_->fail("request " + num(request.id) + " is in the log twice");
  }
}

RpcStatus Oracle::carry_out(const wire::RaftRequest& request, Outcome* outcome) {
  RpcStatus rpc;
  switch (request.field) {
    case wire::kRaftPut: {
      pb::PutResponse response;
      rpc = model_.put(parse<pb::PutRequest>(request.request), &response);
      outcome->body = body_of(response);
      break;
    }
    case wire::kRaftDeleteRange: {
      pb::DeleteRangeResponse response;
      rpc = model_.delete_range(parse<pb::DeleteRangeRequest>(request.request), &response);
      outcome->body = body_of(response);
      break;
    }
    case wire::kRaftTxn: {
      pb::TxnResponse response;
      rpc = model_.txn(parse<pb::TxnRequest>(request.request), &response);
      outcome->body = body_of(response);
      break;
    }
    case wire::kRaftCompaction:
      return model_.compact(parse<pb::CompactionRequest>(request.request).revision());
    case wire::kRaftLeaseGrant: {
      const auto grant = parse<pb::LeaseGrantRequest>(request.request);
      if (model_.leases().contains(grant.id())) return rpc_errors::kLeaseExists;
      model_.grant(grant.id());
      pb::LeaseGrantResponse response;
      response.set_id(grant.id());
      response.set_ttl(grant.ttl());
      outcome->body = body_of(response);
      break;
    }
    case wire::kRaftLeaseRevoke: {
      const auto revoke = parse<pb::LeaseRevokeRequest>(request.request);
      if (!model_.leases().contains(revoke.id())) return rpc_errors::kLeaseNotFound;
      model_.revoke(revoke.id());
      if (on_revoked_) on_revoked_(revoke.id());
      break;
    }
    default: break;  // Nothing that the model knows.
  }
  return rpc;
}

const Outcome* Oracle::outcome(uint64_t request_id) const {
  const auto found = outcomes_.find(request_id);
  return found == outcomes_.end() ? nullptr : &found->second;
}

void Oracle::result(raft::NodeId member, uint64_t request_id, const apply::ApplyResult& result) {
  const Outcome* expected = outcome(request_id);
  const std::string who =
      "member " + num(member) + " answers request " + num(request_id) + " with ";
  if (expected == nullptr) {
    env_->fail(who + "a result, and nobody has applied it");
  } else if (result.rpc.code() != expected->rpc.code() ||
             result.rpc.message() != expected->rpc.message()) {
    env_->fail(who + "\"" + result.rpc.message() + "\", not \"" + expected->rpc.message() + "\"");
  } else if (result.revision != expected->revision) {
    env_->fail(who + "revision " + num(static_cast<uint64_t>(result.revision)) + ", not " +
               num(static_cast<uint64_t>(expected->revision)));
  } else if (result.rpc.ok() && result.body.view() != expected->body) {
    env_->fail(who + "another response than the model's");
  }
}

std::vector<testing::KeyValue> Oracle::range(const std::string& key, const std::string& end,
                                             int64_t revision) const {
  std::vector<testing::KeyValue> out;
  const auto& log = model_.log();
  std::map<std::string, const testing::Model::Version*> newest;
  for (size_t i = place_of(revision + 1); i-- > 0;) {
    const std::string& name = log[i].kv.key();
    const bool inside = end.empty() ? name == key : name >= key && name < end;
    if (inside) newest.try_emplace(name, &log[i]);
    if (end.empty() && !newest.empty()) break;
  }
  for (const auto& [name, version] : newest) {
    if (!version->tombstone) out.push_back(version->kv);
  }
  return out;
}

size_t Oracle::place_of(int64_t revision) const {
  const auto& log = model_.log();
  const auto at = std::partition_point(log.begin(), log.end(),
                                       [&](const auto& v) { return v.main < revision; });
  return static_cast<size_t>(at - log.begin());
}

bool Oracle::matches(size_t place, const mvcc::Event& event, std::string* difference) const {
  if (place >= model_.log().size()) {
    *difference =
        "an event at revision " + std::to_string(event.revision.main) + " that nothing has made";
    return false;
  }
  const testing::Model::Version& wanted = model_.log()[place];
  testing::KeyValue kv = wanted.kv;
  if (wanted.tombstone) kv.set_mod_revision(wanted.main);
  const bool equal = event.revision.main == wanted.main && event.revision.sub == wanted.sub &&
                     event.is_delete == wanted.tombstone && event.key == wanted.kv.key() &&
                     event.key_value == kv.SerializeAsString();
  if (equal) return true;
  *difference = "event " + std::to_string(event.revision.main) + "/" +
                std::to_string(event.revision.sub) + " of key " + std::string(event.key) +
                ", where the history has " + std::to_string(wanted.main) + "/" +
                std::to_string(wanted.sub) + " of key " + wanted.kv.key();
  return false;
}

void Oracle::events(raft::NodeId member, const mvcc::EventBatch& batch) {
  std::string difference;
  size_t place = place_of(batch.first_revision);
  for (const mvcc::Event& event : batch.events) {
    if (!matches(place++, event, &difference)) {
      env_->fail("member " + num(member) + " has " + difference);
      return;
    }
  }
  if (place != place_of(batch.last_revision + 1)) {
    env_->fail("member " + num(member) + " has no event for a change up to revision " +
               std::to_string(batch.last_revision));
  }
}

void Oracle::state_hash(raft::NodeId member, uint64_t index, uint64_t hash) {
  const auto [at, is_new] = hashes_.try_emplace(index, std::pair{hash, member});
  if (is_new || at->second.first == hash) return;
  env_->fail("members " + num(at->second.second) + " and " + num(member) +
             " differ in their state at index " + num(index));
}

}  // namespace mortise::sim
