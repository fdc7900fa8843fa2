// What the write-ahead log stores: raft entries, the hard state and snapshot marks. Plain values
// that depend on nothing; host/raft has types of its own and the host converts between them.
#pragma once

#include <cstdint>
#include <string_view>

namespace mortise::wal {

// One raft entry. Writing an entry with index i drops every entry with an index >= i written
// before. `data` is borrowed; each function that takes an EntryRecord says for how long.
struct EntryRecord {
  uint64_t term = 0;
  uint64_t index = 0;  // From 1.
  uint8_t type = 0;    // The raft core's entry type; not interpreted here.
  std::string_view data;
};

struct HardState {
  uint64_t term = 0;
  uint64_t vote = 0;
  uint64_t commit = 0;
  bool operator==(const HardState&) const = default;
};

// A point of the log that a snapshot or the synced backend covers: entries up to `index` are not
// needed any more. With `replaces_log` the snapshot came from a leader and took the log's place:
// every entry written before the mark is dropped, and the next one has index + 1.
struct SnapshotMark {
  uint64_t index = 0;
  uint64_t term = 0;
  bool replaces_log = false;
  bool operator==(const SnapshotMark&) const = default;
};

}  // namespace mortise::wal
