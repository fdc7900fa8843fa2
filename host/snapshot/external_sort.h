// Sorts rows that need not fit into memory: what fits is sorted and written to a file, and the
// files are merged when the rows are read.
//
//   ExternalSort sort(directory, 64 << 20);
//   sort.add(key, value); ...
//   sort.rewind();
//   while (sort.next(&key, &value)) ...
//
// On one thread at a time. Files have no names, so none is left behind. Errors: those of the files;
// after one the sort is of no use.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/arena.h"
#include "host/base/status.h"

namespace mortise::snapshot {

class SortedRun;

class ExternalSort {
 public:
  // `directory` is where files are made once `memory_bytes` are not enough.
  ExternalSort(std::string directory, size_t memory_bytes);
  ~ExternalSort();
  ExternalSort(const ExternalSort&) = delete;
  ExternalSort& operator=(const ExternalSort&) = delete;

  Status add(std::string_view key, std::string_view value);
  // To the first row, as often as one likes; nothing is added after that.
  Status rewind();
  // By keys in bytewise order. Views live until the next call. False at the end or on failure.
  bool next(std::string_view* key, std::string_view* value);
  const Status& status() const { return status_; }
  size_t run_count() const { return runs_.size(); }

 private:
  struct Row {
    const char* bytes;
    uint32_t key_size;
    uint32_t value_size;
    std::string_view key() const { return {bytes, key_size}; }
  };
  void sort_memory();
  Status spill();
  bool next_of_runs(std::string_view* key, std::string_view* value);
  bool fail(Status status);

  const std::string directory_;
  const size_t memory_bytes_;
  Arena arena_;
  std::vector<Row> rows_;
  std::vector<std::unique_ptr<SortedRun>> runs_;
  bool complete_ = false;
  size_t at_ = 0;                 // In rows_, where all of them fit.
  std::vector<SortedRun*> heap_;  // The one with the smallest row is the first.
  bool step_due_ = false;         // The first one's row has been handed out.
  Status status_;
};

}  // namespace mortise::snapshot
