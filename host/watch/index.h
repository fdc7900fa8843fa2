// The index plugin with RAII and Status. Hub's thread only, after create().
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "host/base/status.h"
#include "host/mvcc/events.h"
#include "mortise/abi/watch.h"

namespace mortise::watch {

struct Match {
  uint64_t watcher;
  uint32_t event;  // Position among the events that were asked about.
};

class Index {
 public:
  static Result<Index> create(const mortise_watch_v1* table, const mortise_host* host,
                              std::string_view config_json);
  Index(Index&& other) noexcept
      : table_(other.table_), handle_(std::exchange(other.handle_, nullptr)), size_(other.size_) {}
  Index& operator=(Index&& other) noexcept {
    std::swap(table_, other.table_);
    std::swap(handle_, other.handle_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Index() {
    if (handle_ != nullptr) table_->destroy(handle_);
  }

  Status add(uint64_t watcher, std::string_view key, std::string_view range_end);
  void remove(uint64_t watcher);
  // Appends to `out` who wants which of events from..to: for each watcher ascending, watchers in
  // any order.
  void match(const std::vector<mvcc::Event>& events, size_t from, size_t to,
             std::vector<Match>* out);
  size_t size() const { return size_; }

 private:
  Index(const mortise_watch_v1* table, mortise_watch* handle) : table_(table), handle_(handle) {}
  const mortise_watch_v1* table_;
  mortise_watch* handle_;
  size_t size_ = 0;
  std::vector<mortise_bytes> keys_;
};

}  // namespace mortise::watch
