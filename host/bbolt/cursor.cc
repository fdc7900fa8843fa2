#include "host/bbolt/file.h"

namespace mortise::bbolt {
namespace {

constexpr size_t kDepthMax = 64;  // Of one tree. Even with two children a page that is enough.

}  // namespace

Status PageSet::add(uint64_t id, uint64_t overflow) {
  for (uint64_t end = id + overflow; id <= end; ++id) {
    if (contains(id)) return page_error(id, "is referenced more than once");
    words_[id / 64] |= uint64_t{1} << (id % 64);
  }
  return Status();
}

bool Cursor::fail(Status status) {
  status_ = std::move(status);
  path_.clear();
  return false;
}

bool Cursor::next(Row* row) {
  while (!path_.empty()) {
    Level& level = path_.back();
    if (level.at == level.page.count()) {
      path_.pop_back();
      continue;
    }
    size_t i = level.at++;
    if (level.page.is_leaf()) {
      PageView::Leaf leaf = level.page.leaf(i);
      *row = {leaf.key, leaf.value, leaf.is_bucket};
      return true;
    }
    bool last = i + 1 == level.page.count();
    Status status =
        enter(level.page.child(i), level.page.key(i), last ? level.upper : level.page.key(i + 1));
    if (!status.ok()) return fail(std::move(status));
  }
  return false;
}

std::optional<uint64_t> Cursor::offset_of(std::string_view value) const {
  if (path_.empty() || !path_.back().offset) return std::nullopt;
  return *path_.back().offset + static_cast<uint64_t>(value.data() - path_.back().bytes);
}

// Keys of the page are at or above `lower` and below `upper`.
Status Cursor::enter(uint64_t id, std::string_view lower, std::string_view upper) {
  if (path_.size() == kDepthMax) return page_error(id, "lies too deep");
  MORTISE_ASSIGN_OR_RETURN(PageHeader header, file_->header(id));
  if (header.flags != kLeaf && header.flags != kBranch) {
    return page_error(id, "is neither a branch nor a leaf");
  }
  MORTISE_RETURN_IF_ERROR(reached_->add(id, header.overflow));
  Level& level = path_.emplace_back();
  MORTISE_ASSIGN_OR_RETURN(std::string_view bytes, file_->run(header, &level.copy));
  level.offset = id * file_->page_bytes();
  level.bytes = bytes.data();
  auto page =
      header.flags == kLeaf ? PageView::parse_leaf(bytes, id) : PageView::parse_branch(bytes, id);
  if (!page.ok()) return page.status();
  level.page = *page;
  level.upper = upper;
  size_t count = level.page.count();
  if (count == 0) return Status();
  if (level.page.key(0) < lower || (!upper.empty() && level.page.key(count - 1) >= upper)) {
    return page_error(id, "has keys that belong to another page");
  }
  return Status();
}

Status Cursor::enter_inline(std::string_view page, uint64_t where) {
  Level& level = path_.emplace_back();
  level.copy.assign(page);
  MORTISE_ASSIGN_OR_RETURN(level.page, PageView::parse_leaf(level.copy, where));
  if (load<PageHeader>(level.copy.data()).flags != kLeaf) {
    return corruption("a bucket that a bbolt file keeps in its row is not a leaf");
  }
  return Status();
}

}  // namespace mortise::bbolt
