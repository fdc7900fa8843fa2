// One page of a foreign file, with all that it overflows into, after everything in it has been
// checked: sizes, positions, order of keys. So its elements can be taken as they are.
//
// Used by File, Cursor and check_file. Errors are kCorruption and name the page.
#pragma once

#include <string>
#include <string_view>

#include "host/base/status.h"
#include "host/bbolt/format.h"

namespace mortise::bbolt {

// A run of pages larger than this is refused; etcd's values are far smaller.
constexpr uint64_t kRunBytesMax = uint64_t{1} << 30;

Status page_error(uint64_t id, const std::string& what);

class PageView {
 public:
  struct Leaf {
    std::string_view key;
    std::string_view value;
    bool is_bucket;
  };
  PageView() = default;
  // `bytes` are the whole run, `where` names it in errors; both outlive the view.
  static Result<PageView> parse_leaf(std::string_view bytes, uint64_t where);
  static Result<PageView> parse_branch(std::string_view bytes, uint64_t where);

  bool is_leaf() const { return is_leaf_; }
  size_t count() const { return count_; }
  std::string_view key(size_t i) const;
  Leaf leaf(size_t i) const;       // REQUIRES is_leaf()
  uint64_t child(size_t i) const;  // REQUIRES !is_leaf()

 private:
  PageView(std::string_view bytes, bool is_leaf);
  const char* element(size_t i) const { return bytes_.data() + sizeof(PageHeader) + i * 16; }
  Status check_elements(uint64_t where) const;
  Status check_element(size_t i, uint64_t where) const;

  std::string_view bytes_;
  size_t count_ = 0;
  bool is_leaf_ = true;
};

}  // namespace mortise::bbolt
