// Reads a bbolt file that somebody else has written: a snapshot, or the database of an etcd that
// has stopped. Nothing in it is trusted: every number is checked before it is used, each page is
// reached once at most, and what is wrong is said with the number of the page.
//
//   auto file = File::open(&source);
//   auto keys = file->find("key");
//   Row row;
//   while (keys->next(&row)) ...
//   if (!keys->status().ok()) ...
//
// For restoring and receiving snapshots. A File may be used by many threads, a Cursor by one at a
// time. Memory: the pages on the way down to one row, and a bit for each page of the file.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/status.h"
#include "host/bbolt/page.h"
#include "host/bbolt/source.h"

namespace mortise::bbolt {

class File;

// Pages of one file that have been reached.
class PageSet {
 public:
  explicit PageSet(uint64_t page_count) : words_((page_count + 63) / 64) {}
  bool contains(uint64_t id) const { return (words_[id / 64] >> (id % 64) & 1) != 0; }
  // Pages `id` to `id + overflow`; an error if one has been reached before.
  Status add(uint64_t id, uint64_t overflow);

 private:
  std::vector<uint64_t> words_;
};

struct Row {
  std::string_view key;
  std::string_view value;
  bool is_bucket = false;  // Then the value is for File::bucket().
};

// The rows of one bucket in the order of their keys. Views live until the next call.
class Cursor {
 public:
  Cursor(Cursor&&) noexcept = default;
  Cursor& operator=(Cursor&&) noexcept = default;
  // False at the end or on failure; status() tells which.
  bool next(Row* row);
  const Status& status() const { return status_; }
  // Where the value of the row that next() has just given stands in the source. Nothing for the
  // rows of a small bucket, which is itself a value.
  std::optional<uint64_t> offset_of(std::string_view value) const;

 private:
  friend class File;
  struct Level {
    std::optional<uint64_t> offset;  // Of the page in the source.
    const char* bytes = nullptr;
    std::string copy;
    PageView page;
    size_t at = 0;           // The element that comes next.
    std::string_view upper;  // Keys here are below it; empty: no bound.
  };
  Cursor(const File* file, std::shared_ptr<PageSet> reached)
      : file_(file), reached_(std::move(reached)) {}
  Status enter(uint64_t id, std::string_view lower, std::string_view upper);
  Status enter_inline(std::string_view page, uint64_t where);
  bool fail(Status status);

  const File* file_;
  std::shared_ptr<PageSet> reached_;
  std::deque<Level> path_;  // From the root down; views into a level outlive changes below it.
  Status status_;
};

class File {
 public:
  // `source` outlives the file.
  static Result<File> open(const Source* source);

  uint32_t page_bytes() const { return meta_.page_bytes; }
  uint64_t page_count() const { return meta_.page_count; }
  uint64_t txid() const { return meta_.txid; }
  bool has_freelist() const { return meta_.freelist != kNoFreelist; }
  // The file's own length; what is behind it does not belong to it.
  uint64_t size() const { return page_count() * page_bytes(); }

  // The buckets of the file.
  Result<Cursor> buckets() const { return tree(meta_.root.root, nullptr); }
  // A bucket by the value of its row. It ends with the value only if it is stored elsewhere, so
  // what is needed of the value is copied.
  Result<Cursor> bucket(std::string_view value) const { return bucket(value, nullptr); }
  // kNotFound if the file has no such bucket.
  Result<Cursor> find(std::string_view name) const;

  // Looks at everything: each page is either reached once or free, and what bbolt relies on holds.
  Status check() const;

 private:
  friend class Cursor;
  File(const Source* source, const Meta& meta) : source_(source), meta_(meta) {}

  Result<PageHeader> header(uint64_t id) const;
  // The page and its overflow.
  Result<std::string_view> run(const PageHeader& header, std::string* copy) const;
  std::shared_ptr<PageSet> new_set() const;
  Result<Cursor> tree(uint64_t root, std::shared_ptr<PageSet> reached) const;
  Result<Cursor> bucket(std::string_view value, std::shared_ptr<PageSet> reached) const;
  Status check_bucket(Cursor cursor, const std::shared_ptr<PageSet>& reached, int depth) const;
  Status check_freelist(PageSet* reached) const;

  const Source* source_;
  Meta meta_;
};

}  // namespace mortise::bbolt
