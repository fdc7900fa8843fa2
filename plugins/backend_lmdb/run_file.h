// Run files: the content of one frozen memtable, sorted, durable before LMDB sees any of it, so
// that LMDB can take it in in several transactions and a crash between them is repaired from here.
// The layout is in docs/formats/backend_lmdb.md.
//
// One thread for each object. All errors name the file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/backend_lmdb/files.h"

namespace mortise::lmdb {

struct RunHeader {
  uint64_t run = 0;
  uint64_t index = 0;  // The position after it.
  uint64_t term = 0;
};

// One row to be written: the newest state of a key.
struct Entry {
  uint32_t keyspace = 0;
  bool tombstone = false;
  std::string_view key;
  std::string_view value;
};

// Rows in order, keyspaces ascending. A mark is a place to come back to: spans end with the next
// call.
class EntrySource {
 public:
  virtual ~EntrySource() = default;
  // `more` is false at the end.
  virtual Status next(Entry& entry, bool& more) = 0;
  // Remembers the place before the next row.
  virtual void mark() = 0;
  virtual Status rewind() = 0;
  // Rows of the keyspace in all, for estimates.
  virtual uint64_t count(uint32_t keyspace) const = 0;
};

// Writes `source` to the end as the run file of `header`, and makes it durable.
Status write_run(const std::string& directory, const RunHeader& header, EntrySource& source);

class RunReader : public EntrySource {
 public:
  // Reads the file through and checks it.
  static Status open(const std::string& directory, uint64_t run, RunReader& out);

  const RunHeader& header() const { return header_; }
  Status next(Entry& entry, bool& more) override;
  void mark() override { mark_ = offset(); }
  Status rewind() override { return seek(mark_); }
  uint64_t count(uint32_t keyspace) const override { return counts_[keyspace]; }

 private:
  uint64_t offset() const { return buffer_offset_ + at_; }
  Status seek(uint64_t offset);
  // Makes `size` bytes available at at_; `enough` is false at the end of the rows.
  Status fill(size_t size, bool& enough);
  Status damaged(std::string_view how) const;

  std::string path_;
  File file_;
  RunHeader header_;
  std::vector<uint64_t> counts_;
  std::vector<char> buffer_;
  uint64_t buffer_offset_ = 0;
  size_t at_ = 0;
  uint64_t end_ = 0;
  uint64_t mark_ = 0;
};

}  // namespace mortise::lmdb
