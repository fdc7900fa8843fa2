// What the log's tests share: a sink that keeps what it gets, and a plain model of the log.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "host/wal/segment_reader.h"
#include "host/wal/sim_file.h"
#include "host/wal/wal.h"

namespace mortise::wal {

struct OwnedEntry {
  uint64_t term = 0;
  uint64_t index = 0;
  uint8_t type = 0;
  std::string data;
  bool operator==(const OwnedEntry&) const = default;
};

inline std::ostream& operator<<(std::ostream& out, const OwnedEntry& entry) {
  return out << entry.index << "@" << entry.term << " (" << entry.data.size() << " bytes)";
}

struct Sink final : RecoverySink {
  std::vector<OwnedEntry> entries;

  void drop_from(uint64_t index) override {
    while (!entries.empty() && entries.back().index >= index) entries.pop_back();
  }
  Status append(const EntryRecord& entry) override {
    if (!entries.empty()) {
      EXPECT_EQ(entry.index, entries.back().index + 1);
    }
    entries.push_back({entry.term, entry.index, entry.type, std::string(entry.data)});
    return Status();
  }
};

// The content of one batch.
struct Batch {
  std::optional<SnapshotMark> mark;
  std::vector<OwnedEntry> entries;
  std::optional<HardState> state;

  void fill(BatchBuffer& buffer) const {
    if (mark) buffer.add_snapshot_mark(*mark);
    for (const OwnedEntry& e : entries) buffer.add_entry({e.term, e.index, e.type, e.data});
    if (state) buffer.set_hard_state(*state);
  }
};

// What a log must hold after a sequence of batches.
struct Model {
  std::vector<OwnedEntry> entries;
  std::optional<HardState> state;
  std::optional<SnapshotMark> mark;
  uint64_t last_index = 0;

  void apply(const Batch& batch) {
    if (batch.mark) {
      mark = batch.mark;
      if (batch.mark->replaces_log) {
        entries.clear();
        last_index = batch.mark->index;
      }
    }
    for (const OwnedEntry& entry : batch.entries) {
      while (!entries.empty() && entries.back().index >= entry.index) entries.pop_back();
      entries.push_back(entry);
      last_index = entry.index;
    }
    if (batch.state) state = batch.state;
  }
};

inline std::string pattern(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string data(size, '\0');
  for (char& c : data) c = static_cast<char>(random());
  return data;
}

inline OwnedEntry entry(uint64_t index, uint64_t term, size_t size = 20) {
  return {term, index, static_cast<uint8_t>(index % 3), pattern(size, index * 1000 + term)};
}

inline Status append(Wal& wal, const Batch& batch) {
  BatchBuffer buffer;
  batch.fill(buffer);
  return wal.append(buffer);
}

struct Opened {
  Status status;
  std::unique_ptr<Wal> wal;
  Sink sink;
};

inline Opened open_log(const Options& options) {
  Opened opened;
  auto wal = Wal::open(options, opened.sink);
  if (wal.ok()) {
    opened.wal = std::move(*wal);
  } else {
    opened.status = wal.status();
  }
  return opened;
}

inline Options sim_options(SimDisk& disk, uint64_t segment_bytes = 4096) {
  Options options;
  options.dir = "wal";
  options.cluster_id = 0xc1;
  options.member_id = 0x3e;
  options.segment_bytes = segment_bytes;
  options.file_system = &disk;
  return options;
}

inline void expect_same_mark(const std::optional<SnapshotMark>& got,
                             const std::optional<SnapshotMark>& want) {
  ASSERT_EQ(got.has_value(), want.has_value());
  if (!got) return;
  EXPECT_EQ(got->index, want->index);
  EXPECT_EQ(got->term, want->term);
}

// The bounds of each batch in a segment that reads well.
struct Bounds {
  uint64_t begin;
  uint64_t end;
};
inline std::vector<Bounds> batch_bounds(SimDisk& disk, const std::string& path) {
  std::vector<Bounds> bounds;
  auto file = disk.open_file(path, OpenMode::kRead);
  MORTISE_CHECK(file.ok(), "the segment must open");
  SegmentReader reader(**file, path);
  EXPECT_TRUE(reader.read_header().ok());
  while (true) {
    auto step = reader.next();
    EXPECT_TRUE(step.ok());
    if (*step != SegmentReader::Step::kBatch) return bounds;
    bounds.push_back({reader.batch().offset, reader.offset()});
  }
}

}  // namespace mortise::wal
