// A short list of watcher numbers. Most keys have one watcher, so one is kept without an
// allocation.
//
// Owned by the index's entries; same thread as the index. Order means nothing.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace mortise::watch_interval {

class WatcherList {
 public:
  WatcherList() noexcept = default;
  WatcherList(const WatcherList&) = delete;
  WatcherList& operator=(const WatcherList&) = delete;
  ~WatcherList() {
    if (capacity_ > 1) delete[] many_;
  }

  uint32_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  const uint64_t* begin() const noexcept { return capacity_ > 1 ? many_ : &one_; }
  const uint64_t* end() const noexcept { return begin() + size_; }

  // The position of the new watcher, which holds until a removal moves it.
  uint32_t add(uint64_t watcher) {
    if (size_ == capacity_) grow();
    data()[size_] = watcher;
    return size_++;
  }

  // Takes out the watcher at `position`; the last one moves there. True if one did, and then which.
  bool remove(uint32_t position, uint64_t& moved) noexcept {
    uint64_t* all = data();
    const bool moves = position != --size_;
    if (moves) moved = all[position] = all[size_];
    if (size_ <= 1 && capacity_ > 1) {
      const uint64_t last = all[0];
      delete[] many_;
      one_ = last;
      capacity_ = 1;
    }
    return moves;
  }

 private:
  uint64_t* data() noexcept { return capacity_ > 1 ? many_ : &one_; }

  void grow() {
    const uint32_t capacity = capacity_ * 2;
    auto* bigger = new uint64_t[capacity];
    std::memcpy(bigger, data(), size_ * sizeof(uint64_t));
    if (capacity_ > 1) delete[] many_;
    many_ = bigger;
    capacity_ = capacity;
  }

  union {
    uint64_t one_ = 0;
    uint64_t* many_;
  };
  uint32_t size_ = 0;
  uint32_t capacity_ = 1;  // One: in place.
};

}  // namespace mortise::watch_interval
