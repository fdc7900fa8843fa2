// Reads a log's directory and checks all of it, changing nothing.
//
// Who calls: Wal. Threads: one. Ownership: borrows file system, options and sink. Errors: as
// Wal::open describes.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "host/wal/segment_reader.h"
#include "host/wal/wal.h"

namespace mortise::wal {

class Recovery {
 public:
  Recovery(FileSystem& file_system, const Options& options, RecoverySink& sink)
      : file_system_(file_system), options_(options), sink_(sink) {}

  // kNotFound if the directory does not exist.
  Status list();
  const std::vector<std::string>& leftovers() const { return leftovers_; }  // Unfinished files.
  size_t segment_count() const { return found_.size(); }
  Result<Identity> identity();

  // After list(), with at least one segment.
  Status read();

  // After read(). The newest segment's end:
  struct Tail {
    uint64_t sequence = 0;
    uint64_t offset = 0;  // Behind the last good batch.
    uint64_t last_batch_offset = 0;
    uint32_t segment_crc = 0;
    uint32_t chain = 0;
    uint64_t next_batch = 0;
    bool torn = false;  // There is a torn batch at `offset`.
  };
  const Tail& tail() const { return tail_; }
  std::deque<Wal::Segment> take_segments() { return std::move(segments_); }
  const Recovered& recovered() const { return recovered_; }
  bool log_started() const { return log_started_; }

 private:
  struct Found {
    std::string name;
    SegmentName parsed;
  };

  std::string path(const std::string& name) const { return options_.dir + "/" + name; }
  Status check_header(const SegmentReader& reader, const Found& found);
  Status check_link(const SegmentReader& reader);
  Status read_segment(const Found& found, bool newest);
  Status read_batches(SegmentReader& reader, bool newest);
  Status judge_tail(SegmentReader& reader, bool bad);
  Status apply_batch(const SegmentReader& reader);
  Status apply_record(RecordType type, uint8_t tag, std::string_view body);
  Status apply_entry(uint8_t type, std::string_view body);
  void apply_mark(const SnapshotMark& mark);

  FileSystem& file_system_;
  const Options& options_;
  RecoverySink& sink_;
  std::vector<Found> found_;
  std::vector<std::string> leftovers_;
  std::deque<Wal::Segment> segments_;
  Tail tail_;
  std::string previous_path_;  // Of the segment before; tail_ holds how it ended.
  Recovered recovered_;
  bool log_started_ = false;  // recovered_.last_index is meant.
  uint64_t delivered_last_ = 0;
};

}  // namespace mortise::wal
