// Lays the rows of one bucket out in pages: leaves from left to right, each branch page behind the
// last of its children. So a tree of any size is written from sorted rows with one open page for
// each level, and nothing is gone back to.
//
// Used by ImageWriter, on one thread. Errors are those of the rows: out of order, or too large for
// the format.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/byte_buffer.h"
#include "host/base/status.h"
#include "host/bbolt/format.h"

namespace mortise::bbolt {

// The pages of a file in their order. Numbers them, and keeps their bytes if there is a place.
class PageStream {
 public:
  // `out`, if not null, outlives the stream.
  PageStream(uint64_t next_id, ByteBuffer* out) : next_id_(next_id), out_(out) {}

  // Appends one page and those that it overflows into; returns its id. `elements` and `data` are
  // what stands behind the header.
  uint64_t append(PageFlags flags, size_t count, std::string_view elements, std::string_view data);
  uint64_t next_id() const { return next_id_; }

 private:
  uint64_t next_id_;
  ByteBuffer* out_;
};

class TreeBuilder {
 public:
  // `pages` outlives the builder.
  explicit TreeBuilder(PageStream* pages) : pages_(pages) {}

  // `flags` are those of the element. kInvalid: the row cannot be stored behind the one before.
  Status add(std::string_view key, std::string_view value, uint32_t flags = 0);
  // The end of the rows. The value under which the tree is found as a bucket: a small one is in it.
  std::string finish_bucket();
  // The end of the rows. The id of the tree's first page, which always exists.
  uint64_t finish_root();

 private:
  struct Leaf {
    std::vector<LeafElement> elements;  // pos counts from the page's data until the page is done.
    ByteBuffer data;
    size_t bytes() const { return sizeof(PageHeader) + elements.size() * 16 + data.size(); }
  };
  struct Branch {
    std::vector<BranchElement> elements;
    ByteBuffer keys;
    size_t bytes() const { return sizeof(PageHeader) + elements.size() * 16 + keys.size(); }
    std::string_view first_key() const { return keys.view().substr(0, elements[0].key_size); }
    void add(std::string_view key, uint64_t child);
  };

  void finish_positions();
  void close_leaf();
  void close_branch(size_t level);
  void add_child(size_t level, std::string_view key, uint64_t child);

  PageStream* const pages_;
  std::string last_key_;
  bool has_rows_ = false;
  Leaf leaf_;
  std::deque<Branch> branches_;  // By height; a reference outlives the next level's making.
};

}  // namespace mortise::bbolt
