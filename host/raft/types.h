// The values that pass between the raft core and its caller: entries, hard state, messages, the
// membership, a Ready, limits. Plain structs with the meaning (and the numbers) of etcd's raftpb,
// so that the peer layer maps them field by field; nothing here knows how they are encoded.
//
// Threads: values. An EntryRef or SnapshotRef is immutable and may be shared between threads.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace mortise::raft {

using NodeId = uint64_t;
inline constexpr NodeId kNoNode = 0;
inline constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

// Both directions of the peer protocol and the WAL; an unknown value makes the message malformed.
enum class EntryType : uint8_t { kNormal = 0, kConfChange = 1, kConfChangeV2 = 2 };

// One slot of the log. Empty data of type kNormal is what a new leader appends; it says nothing to
// the state machine, but its index counts as applied like any other.
struct Entry {
  uint64_t term = 0;
  uint64_t index = 0;
  EntryType type = EntryType::kNormal;
  std::string data;
};
using EntryRef = std::shared_ptr<const Entry>;

// What an entry weighs against every limit in bytes: its data and the cost of keeping it.
inline constexpr uint64_t kEntryOverheadBytes = 48;
inline uint64_t entry_bytes(const Entry& entry) { return entry.data.size() + kEntryOverheadBytes; }

// Must survive a restart. `vote` is whom this member voted for in `term`.
struct HardState {
  uint64_t term = 0;
  NodeId vote = kNoNode;
  uint64_t commit = 0;
  bool operator==(const HardState&) const = default;
};

enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

// Never persisted.
struct SoftState {
  NodeId leader = kNoNode;
  Role role = Role::kFollower;
  bool operator==(const SoftState&) const = default;
};

// The membership as it is persisted. Lists are sorted and without duplicates. While
// `voters_outgoing` is not empty the configuration is joint: decisions need a majority of both
// lists.
struct ConfState {
  std::vector<NodeId> voters;
  std::vector<NodeId> learners;
  std::vector<NodeId> voters_outgoing;
  std::vector<NodeId> learners_next;  // Outgoing voters that become learners on leaving joint.
  bool auto_leave = false;
  bool operator==(const ConfState&) const = default;
};

enum class ChangeType : uint8_t { kAddNode = 0, kRemoveNode = 1, kUpdateNode = 2, kAddLearner = 3 };
enum class Transition : uint8_t { kAuto = 0, kJointImplicit = 1, kJointExplicit = 2 };

struct SingleChange {
  ChangeType type = ChangeType::kAddNode;
  NodeId node = kNoNode;  // kNoNode makes the change one without effect.
};

// A change of the membership, one entry of the log. With `v2` false it is a raftpb.ConfChange (one
// change exactly); with `v2` true a ConfChangeV2. No changes and kAuto leaves a joint
// configuration.
struct MembershipChange {
  bool v2 = false;
  uint64_t id = 0;  // The proposer's request id; only v1 carries it.
  Transition transition = Transition::kAuto;
  std::vector<SingleChange> changes;
  std::string context;
};

// The state up to and including `index`. `data` is the caller's; the core only hands it on.
struct Snapshot {
  uint64_t index = 0;
  uint64_t term = 0;
  ConfState conf_state;
  std::string data;
};
using SnapshotRef = std::shared_ptr<const Snapshot>;

// Numbers of raftpb.MessageType. Those missing are messages of a member to itself.
enum class MessageType : uint8_t {
  kProp = 2,
  kApp = 3,
  kAppResp = 4,
  kVote = 5,
  kVoteResp = 6,
  kSnap = 7,
  kHeartbeat = 8,
  kHeartbeatResp = 9,
  kTransferLeader = 13,
  kTimeoutNow = 14,
  kReadIndex = 15,
  kReadIndexResp = 16,
  kPreVote = 17,
  kPreVoteResp = 18,
};

struct Message {
  MessageType type = MessageType::kProp;
  bool reject = false;
  NodeId to = kNoNode;
  NodeId from = kNoNode;
  uint64_t term = 0;  // 0 for kProp and kReadIndex, which are forwarded as if local.
  uint64_t log_term = 0;
  uint64_t index = 0;
  uint64_t commit = 0;
  uint64_t reject_hint = 0;
  std::vector<EntryRef> entries;
  SnapshotRef snapshot;  // Looked at in kSnap only.
  std::string context;
};

// Names a read of this member's own; comes back in a ReadState. On the wire: 8 bytes, big endian.
using ReadToken = uint64_t;
struct ReadState {
  uint64_t index = 0;
  ReadToken token = 0;
};

// Limits carry their unit in the name. A limit in bytes always lets one entry through.
struct Config {
  NodeId id = kNoNode;
  // The last index whose effects the state machine holds. The log's ConfState is as of this index.
  uint64_t applied = 0;
  // An election starts after election_ticks to 2 * election_ticks - 1 ticks without a leader.
  uint32_t election_ticks = 10;
  uint32_t heartbeat_ticks = 1;
  bool pre_vote = true;
  bool check_quorum = true;
  uint64_t message_entries_bytes_max = uint64_t{1} << 20;
  uint32_t inflight_messages_max = 512;
  uint64_t inflight_bytes_max = kNoLimit;
  // Appended by this leader and not committed. Beyond it, proposals are dropped.
  uint64_t uncommitted_bytes_max = kNoLimit;
  // Handed out in Ready::committed and not yet acknowledged as applied.
  uint64_t unapplied_bytes_max = uint64_t{64} << 20;
  // Reads that wait for a quorum or for the leader's first commit. Beyond it, reads are dropped.
  uint32_t pending_reads_max = 16384;
};

// One round of work for the caller; see Core. Self-contained: it outlives later calls and may
// change threads.
struct Ready {
  uint64_t number = 0;                  // 1, 2, 3, ... without gaps; names this batch of writes.
  std::optional<SoftState> soft_state;  // Leader and role, if changed.
  std::optional<HardState> hard_state;  // Term, vote and commit, if changed.
  SnapshotRef snapshot;                 // If set, install before `entries`.
  std::vector<EntryRef> entries;        // To write. Contiguous; replaces what is at those indexes.
  std::vector<EntryRef> committed;      // To apply, in index order; each once per process life.
  std::vector<Message> messages;
  std::vector<Message> messages_after_persist;
  std::vector<ReadState> read_states;  // Linearizable once applied >= ReadState::index.
  bool must_sync = false;  // False if the writes are only a newer commit index, or none.

  bool has_writes() const { return hard_state.has_value() || snapshot || !entries.empty(); }
};

// Finished work. `persisted` is a Ready number, covering it and all before it. It is not a (term,
// index): an entry can be written, replaced and written again under one pair.
struct Progress {
  std::optional<uint64_t> persisted;
  std::optional<uint64_t> applied;
};

const char* to_string(EntryType type);
const char* to_string(Role role);
const char* to_string(MessageType type);

}  // namespace mortise::raft
