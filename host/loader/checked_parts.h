// What the checked wrappers are made of. Not used outside of this folder.
#pragma once

#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "host/base/check.h"
#include "host/loader/checked.h"

namespace mortise::loader {

// Holds a place that one call at a time may be in; a second one is a breach.
class Exclusive {
 public:
  class Scope {
   public:
    Scope(Exclusive& place, const char* breach) : place_(place) {
      MORTISE_CHECK(!place_.taken_.exchange(true), breach);
    }
    ~Scope() { place_.taken_.store(false); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Exclusive& place_;
  };
  bool taken() const { return taken_.load(); }

 private:
  std::atomic<bool> taken_{false};
};

// Counts calls that run, so that a close can tell whether it is alone.
class Running {
 public:
  explicit Running(std::atomic<int>& count) : count_(count) { ++count_; }
  ~Running() { --count_; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  std::atomic<int>& count_;
};

// The handles of one kind that are alive. A handle is looked up before it is touched, so that a
// dead one is a message and not a fault.
template <typename Object>
class Handles {
 public:
  void add(Object* object) {
    const std::lock_guard lock(mutex_);
    live_.insert(object);
  }
  Object& get(const void* handle, const char* breach) {
    const std::lock_guard lock(mutex_);
    MORTISE_CHECK(live_.contains(handle), breach);
    return *const_cast<Object*>(static_cast<const Object*>(handle));
  }
  std::unique_ptr<Object> take(const void* handle, const char* breach) {
    const std::lock_guard lock(mutex_);
    MORTISE_CHECK(live_.erase(handle) == 1, breach);
    return std::unique_ptr<Object>(const_cast<Object*>(static_cast<const Object*>(handle)));
  }

 private:
  std::mutex mutex_;
  std::unordered_set<const void*> live_;
};

// A copy of lent bytes. Ends by being overwritten; kept a while, so that a late reader sees the
// poison, unless AddressSanitizer watches, which does better with memory that is really freed.
class Lent {
 public:
  static constexpr unsigned char kPoison = 0xDB;
  ~Lent() { end(); }
  mortise_bytes lend(mortise_bytes original) {
    end();
    MORTISE_CHECK(original.data != nullptr || original.size == 0,
                  "plugin: a span of more than 0 bytes at NULL");
    size_ = original.size;
    copy_ = std::make_unique<uint8_t[]>(size_ + 1);
    if (size_ != 0) std::memcpy(copy_.get(), original.data, size_);
    return {copy_.get(), size_};
  }
  void end() {
    if (copy_ == nullptr) return;
    std::memset(copy_.get(), kPoison, size_);
#ifndef __SANITIZE_ADDRESS__
    bury(std::move(copy_), size_);
#endif
    copy_.reset();
  }

 private:
  static void bury(std::unique_ptr<uint8_t[]> copy, size_t size);
  std::unique_ptr<uint8_t[]> copy_;
  size_t size_ = 0;
};

// A status that the ABI knows, and one that this function may return.
void check_status(mortise_status status, bool may_be_not_found, const char* function);

// A table's create function has no handle to find the wrapped table by, so each wrapped table gets
// a slot with functions of its own. Kind has Table and `static Table make(int slot, const Table&
// original)`.
template <typename Kind>
class Slots {
 public:
  using Table = typename Kind::Table;
  static const Table* wrap(const Table* table) {
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    for (int i = 0; i < kCheckedTablesMax; ++i) {
      if (originals()[i] == table) return &wrapped()[i];
      if (originals()[i] != nullptr) continue;
      originals()[i] = table;
      wrapped()[i] = Kind::make(i, *table);
      return &wrapped()[i];
    }
    MORTISE_CHECK(false, "more checked tables than kCheckedTablesMax");
    return nullptr;
  }
  static const Table& original(int slot) { return *originals()[slot]; }

 private:
  static std::array<const Table*, kCheckedTablesMax>& originals() {
    static std::array<const Table*, kCheckedTablesMax> list{};
    return list;
  }
  static std::array<Table, kCheckedTablesMax>& wrapped() {
    static std::array<Table, kCheckedTablesMax> list{};
    return list;
  }
};

}  // namespace mortise::loader
