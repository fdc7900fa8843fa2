#include "host/bbolt/page.h"

namespace mortise::bbolt {

Status page_error(uint64_t id, const std::string& what) {
  return corruption("bbolt page " + std::to_string(id) + ": " + what);
}

PageView::PageView(std::string_view bytes, bool is_leaf)
    : bytes_(bytes), count_(load<PageHeader>(bytes.data()).count), is_leaf_(is_leaf) {}

Result<PageView> PageView::parse_leaf(std::string_view bytes, uint64_t where) {
  if (bytes.size() < sizeof(PageHeader)) return page_error(where, "has no room for its header");
  PageView page(bytes, /*is_leaf=*/true);
  MORTISE_RETURN_IF_ERROR(page.check_elements(where));
  return page;
}

Result<PageView> PageView::parse_branch(std::string_view bytes, uint64_t where) {
  if (bytes.size() < sizeof(PageHeader)) return page_error(where, "has no room for its header");
  PageView page(bytes, /*is_leaf=*/false);
  if (page.count() == 0) return page_error(where, "is a branch without children");
  MORTISE_RETURN_IF_ERROR(page.check_elements(where));
  return page;
}

Status PageView::check_elements(uint64_t where) const {
  if (sizeof(PageHeader) + count_ * 16 > bytes_.size()) {
    return page_error(where, std::to_string(count_) + " elements do not fit the page");
  }
  for (size_t i = 0; i < count_; ++i) {
    MORTISE_RETURN_IF_ERROR(check_element(i, where));
    if (i > 0 && key(i) <= key(i - 1)) {
      return page_error(where, "element " + std::to_string(i) + " is out of order");
    }
  }
  return Status();
}

Status PageView::check_element(size_t i, uint64_t where) const {
  uint64_t pos, key_size, value_size = 0;
  uint32_t flags = 0;
  if (is_leaf_) {
    auto e = load<LeafElement>(element(i));
    pos = e.pos;
    key_size = e.key_size;
    value_size = e.value_size;
    flags = e.flags;
  } else {
    auto e = load<BranchElement>(element(i));
    pos = e.pos;
    key_size = e.key_size;
  }
  auto name = [&] { return "element " + std::to_string(i); };
  if (key_size == 0 || key_size > kKeyBytesMax) {
    return page_error(where, name() + " has a key of " + std::to_string(key_size) + " bytes");
  }
  uint64_t begin = sizeof(PageHeader) + i * 16 + pos;
  if (begin < sizeof(PageHeader) + count_ * 16 || begin + key_size + value_size > bytes_.size()) {
    return page_error(where, name() + " points out of the page");
  }
  if ((flags & ~kBucketElement) != 0) return page_error(where, name() + " has unknown flags");
  return Status();
}

std::string_view PageView::key(size_t i) const {
  if (is_leaf_) return leaf(i).key;
  auto e = load<BranchElement>(element(i));
  return {element(i) + e.pos, e.key_size};
}

PageView::Leaf PageView::leaf(size_t i) const {
  auto e = load<LeafElement>(element(i));
  const char* key = element(i) + e.pos;
  return {{key, e.key_size}, {key + e.key_size, e.value_size}, (e.flags & kBucketElement) != 0};
}

uint64_t PageView::child(size_t i) const { return load<BranchElement>(element(i)).child; }

}  // namespace mortise::bbolt
