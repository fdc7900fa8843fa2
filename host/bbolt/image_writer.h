// Writes a bbolt file as a stream of bytes, from rows that can be read twice.
//
// The first pages of the file say how long it is and where its root is, so the rows are read once
// to lay the pages out and once more to write them. Nothing is kept from the first pass but two
// numbers: a page's place follows from the rows before it. Memory is that of one page for each
// level of the tree and of the largest row. The same rows make the same bytes.
//
//   ImageWriter writer(&rows);
//   for (bool done = false; !done;) writer.lay_out(1 << 20, &done);
//   while (!writer.at_end()) writer.read(32 << 10, &buffer);
//
// The caller decides how much happens at a time, so one thread can serve several writers, and who
// reads slowly costs no work. On one thread at a time. Errors: those of the rows; kInternal if the
// rows of the two passes differ. After an error the writer is of no use.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/byte_buffer.h"
#include "host/base/status.h"
#include "host/bbolt/tree_builder.h"

namespace mortise::bbolt {

// Buckets in the order of their names, each followed by its rows in the order of their keys.
class RowSource {
 public:
  enum class Item { kBucket, kRow, kEnd, kFailed };
  virtual ~RowSource() = default;
  // Back to the first bucket. Called before the first next(), too.
  virtual Status rewind() = 0;
  // A bucket's name is in *key. The views live until the next call.
  virtual Item next(std::string_view* key, std::string_view* value) = 0;
  // Why next() said kFailed.
  virtual Status status() const = 0;
};

class ImageWriter {
 public:
  // `rows` outlives the writer.
  explicit ImageWriter(RowSource* rows) : rows_(rows) {}
  ImageWriter(const ImageWriter&) = delete;
  ImageWriter& operator=(const ImageWriter&) = delete;

  // Goes on with the first pass until about `work_bytes` of rows have been looked at. *done: size()
  // is known and read() may begin.
  Status lay_out(size_t work_bytes, bool* done);
  // Of the whole file, in bytes.
  uint64_t size() const { return page_count_ * kPageBytes; }
  // Appends the next `bytes` of the file, or what is left of it.
  Status read(size_t bytes, ByteBuffer* out);
  uint64_t bytes_read() const { return bytes_read_; }
  bool at_end() const { return bytes_read_ == size(); }

 private:
  // One walk over the rows.
  struct Pass {
    explicit Pass(ByteBuffer* out);
    // The next item of the rows; *work grows by what it cost.
    Status step(RowSource* rows, size_t* work);

    PageStream pages;
    std::optional<TreeBuilder> tree;  // Of the bucket that is open.
    std::string bucket;
    TreeBuilder root;
    uint64_t root_id = 0;  // Known at the end.

   private:
    Status close_bucket();
  };

  Status begin_second_pass();
  Status fill(size_t bytes);

  RowSource* const rows_;
  std::optional<Pass> pass_;
  bool laid_out_ = false;
  uint64_t page_count_ = 0;
  uint64_t root_id_ = 0;
  uint64_t bytes_read_ = 0;
  ByteBuffer ready_;
  size_t ready_from_ = 0;  // Bytes of ready_ that have been read.
};

}  // namespace mortise::bbolt
