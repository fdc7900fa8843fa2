// The write-ahead log of one member: a directory of segments, written batch by batch, each with one
// write and one sync. A batch is written only after the one before it is on disk; that is what lets
// recovery tell a write cut short by a crash (the newest batch) from damage (any other).
//
// Who calls: the host opens it at start-up and gives it to a Writer (writer.h); tools and tests may
// use it directly. Threads: one at a time; counters() from any. Ownership: owns its files; borrows
// the FileSystem. Only one Wal may have a directory open: the data directory's lock sees to it.
//
// Errors: open() changes nothing on disk when it fails on what it read. It answers kCorruption with
// segment and byte offset for damaged data, kInvalid for another member's log or a newer format,
// kNotFound for a log that is missing and may not be created. After a failed append() the log is
// not trusted: append() repeats the failure for ever, and only a new open() can tell what was
// written.
//
// Invariants: batch numbers have no holes, across segments too; each segment's first batch repeats
// the hard state and the last snapshot mark, so older segments are needed for their entries only.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "host/base/status.h"
#include "host/wal/batch_buffer.h"
#include "host/wal/file.h"
#include "host/wal/record.h"

namespace mortise::wal {

struct Options {
  std::string dir;  // Made if missing, its parent not.
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  // Recovery does not hand out entries below this index.
  uint64_t first_index = 0;
  // Of a new segment; at least kSegmentBytesMin. A batch that is larger gets a larger segment.
  uint64_t segment_bytes = 64 << 20;
  bool create_if_missing = true;
  // Writes are left to the operating system: a power loss may lose acknowledged batches, and the
  // log may then be refused at the next start.
  bool unsafe_no_fsync = false;
  FileSystem* file_system = nullptr;  // Outlives the Wal. Null: the operating system's.
};

// Takes the log's entries in index order while open() reads them. If open() fails, what the sink
// got is meaningless.
class RecoverySink {
 public:
  virtual ~RecoverySink() = default;
  // Forget the entries with this index and above: later writes replaced them.
  virtual void drop_from(uint64_t index) = 0;
  // The next entry: one above the last one held, or any if none is held. `entry.data` lives for
  // the call. An error ends open() with it.
  virtual Status append(const EntryRecord& entry) = 0;
};

struct Recovered {
  bool created = false;  // There was no log; open() made one.
  std::optional<HardState> hard_state;
  std::optional<SnapshotMark> snapshot;  // The last mark; replaces_log is meaningless.
  // Of the entries in the log, those below Options::first_index included. first > last: none.
  uint64_t first_index = 1;
  uint64_t last_index = 0;
  // Nothing that is left tells an index, though something was written: all entries were released.
  bool has_no_index() const { return last_index == 0 && hard_state.has_value(); }
  uint64_t batches = 0;
  // A write cut short by a crash was removed here; empty if none was.
  std::string torn_segment;
  uint64_t torn_offset = 0;
};

// Who wrote a log.
struct Identity {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  uint64_t segments = 0;
};

// Durations of one kind of disk operation. Bucket i counts those of at most 2^i milliseconds; the
// last one the rest.
struct LatencyCounter {
  static constexpr size_t kBuckets = 15;
  std::atomic<uint64_t> count{0};
  std::atomic<uint64_t> total_ns{0};
  std::atomic<uint64_t> buckets[kBuckets] = {};
  void add(uint64_t ns);
};

// Only grow, except the last two. Written by the thread that owns the Wal.
struct Counters {
  std::atomic<uint64_t> batches{0};
  std::atomic<uint64_t> bytes_written{0};
  LatencyCounter write;
  LatencyCounter sync;
  std::atomic<uint64_t> segments_cut{0};
  std::atomic<uint64_t> segments_released{0};
  std::atomic<uint64_t> segments{0};
  std::atomic<uint64_t> last_index{0};
};

class Wal {
 public:
  static Result<std::unique_ptr<Wal>> open(const Options& options, RecoverySink& sink);
  // Whose log is in `dir`, without checking more than the newest segment's header. kNotFound if
  // there is none. `file_system` null: the operating system's.
  static Result<Identity> inspect(const std::string& dir, FileSystem* file_system = nullptr);
  // The last snapshot mark of the log in `dir`, if it has one, after reading and checking all of
  // it; changes nothing. kNotFound if there is no log.
  static Result<std::optional<SnapshotMark>> last_mark(const std::string& dir,
                                                       FileSystem* file_system = nullptr);

  ~Wal();
  Wal(const Wal&) = delete;
  Wal& operator=(const Wal&) = delete;

  const Recovered& recovered() const { return recovered_; }

  // Writes and syncs the batch; on return it is durable. The caller then clears `batch`, whatever
  // the outcome. An empty batch is not written.
  Status append(BatchBuffer& batch);

  // Deletes the segments, oldest first, whose entries all have an index of at most `index`; never
  // the newest. A failure leaves the log usable, and a later call goes on.
  Status release(uint64_t index);

  // Prepares the file of the next segment, so that append() need not, once the present one is half
  // full. Best called when nothing waits. A failure shows at append(), if it persists until then.
  void prepare_next();

  const Counters& counters() const { return counters_; }

 private:
  struct Segment {
    std::string name;
    uint64_t max_index = 0;  // Of the entries in it; 0 if it has none.
  };
  friend class Recovery;

  Wal(const Options& options, FileSystem& file_system);

  std::string path(const std::string& name) const;
  Status start(class Recovery& recovery);
  Status repair(class Recovery& recovery);
  Status write_batch(BatchBuffer& batch);
  Status cut(BatchBuffer& batch);
  Status open_next();
  Status write(File& file, uint64_t offset, std::string_view bytes);
  Status sync(File& file);
  Status sync_dir();
  void note_written(const BatchBuffer& batch);

  const Options options_;
  FileSystem& file_system_;
  Recovered recovered_;
  Status failed_;

  std::deque<Segment> segments_;  // Oldest first; the last is written to.
  uint64_t sequence_ = 0;         // Of the last segment.
  std::unique_ptr<File> file_;
  uint64_t capacity_ = 0;  // Bytes allocated for file_.
  uint64_t offset_ = 0;    // Where the next batch goes.
  uint32_t segment_crc_ = 0;
  uint32_t chain_ = 0;
  uint64_t next_batch_ = 1;
  std::unique_ptr<File> next_file_;  // next.tmp, if prepared.
  uint64_t next_capacity_ = 0;
  bool prepare_failed_ = false;
  bool removal_unsynced_ = false;

  std::optional<HardState> hard_state_;
  std::optional<SnapshotMark> mark_;
  uint64_t last_index_ = 0;  // 0: no entry and no replacing mark yet.
  Counters counters_;
};

}  // namespace mortise::wal
