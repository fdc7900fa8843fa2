#include "host/bbolt/tree_builder.h"

namespace mortise::bbolt {
namespace {

// A leaf of up to this size is stored in the bucket's own value.
constexpr size_t kInlineBytesMax = kPageBytes / 4;

// Positions count from the data's start; now from each element's own start.
template <typename Element>
void make_relative(std::vector<Element>* elements) {
  for (size_t i = 0; i < elements->size(); ++i) {
    (*elements)[i].pos += static_cast<uint32_t>((elements->size() - i) * sizeof(Element));
  }
}

template <typename Element>
std::string_view view_of(const std::vector<Element>& elements) {
  return {reinterpret_cast<const char*>(elements.data()), elements.size() * sizeof(Element)};
}

}  // namespace

uint64_t PageStream::append(PageFlags flags, size_t count, std::string_view elements,
                            std::string_view data) {
  size_t bytes = sizeof(PageHeader) + elements.size() + data.size();
  size_t pages = (bytes + kPageBytes - 1) / kPageBytes;
  PageHeader header{next_id_, flags, static_cast<uint16_t>(count),
                    static_cast<uint32_t>(pages - 1)};
  next_id_ += pages;
  if (out_ == nullptr) return header.id;
  out_->prepare(pages * kPageBytes);
  out_->append(bytes_of(header));
  out_->append(elements);
  out_->append(data);
  size_t rest = pages * kPageBytes - bytes;
  std::memset(out_->prepare(rest), 0, rest);
  out_->commit(rest);
  return header.id;
}

Status TreeBuilder::add(std::string_view key, std::string_view value, uint32_t flags) {
  if (key.empty() || key.size() > kKeyBytesMax || value.size() > kValueBytesMax) {
    return invalid("a row with a key of " + std::to_string(key.size()) + " bytes and a value of " +
                   std::to_string(value.size()) + " does not fit bbolt's format");
  }
  if (has_rows_ && key <= last_key_) return invalid("rows for a bbolt file are not in order");
  last_key_.assign(key);
  has_rows_ = true;
  size_t row_bytes = sizeof(LeafElement) + key.size() + value.size();
  if (!leaf_.elements.empty() && leaf_.bytes() + row_bytes > kPageBytes) close_leaf();
  leaf_.elements.push_back({flags, static_cast<uint32_t>(leaf_.data.size()),
                            static_cast<uint32_t>(key.size()),
                            static_cast<uint32_t>(value.size())});
  leaf_.data.append(key);
  leaf_.data.append(value);
  return Status();
}

void TreeBuilder::close_leaf() {
  std::string first_key(
      leaf_.data.view().substr(0, leaf_.elements.empty() ? 0 : leaf_.elements.front().key_size));
  make_relative(&leaf_.elements);
  uint64_t id =
      pages_->append(kLeaf, leaf_.elements.size(), view_of(leaf_.elements), leaf_.data.view());
  leaf_.elements.clear();
  leaf_.data.truncate(0);
  add_child(0, first_key, id);
}

void TreeBuilder::Branch::add(std::string_view key, uint64_t child) {
  elements.push_back(
      {static_cast<uint32_t>(keys.size()), static_cast<uint32_t>(key.size()), child});
  keys.append(key);
}

void TreeBuilder::add_child(size_t level, std::string_view key, uint64_t child) {
  if (level == branches_.size()) branches_.emplace_back();
  Branch& branch = branches_[level];
  // bbolt stops a writer that finds a branch page with one child. So the page that is done leaves
  // its last child to the next one, which then has two at least.
  constexpr size_t kChildrenMin = 3;
  if (branch.elements.size() >= kChildrenMin &&
      branch.bytes() + sizeof(BranchElement) + key.size() > kPageBytes) {
    BranchElement last = branch.elements.back();
    std::string last_key(branch.keys.view().substr(last.pos));
    branch.elements.pop_back();
    branch.keys.truncate(last.pos);
    close_branch(level);
    branch.add(last_key, last.child);
  }
  branch.add(key, child);
}

void TreeBuilder::close_branch(size_t level) {
  Branch& branch = branches_[level];
  std::string first_key(branch.first_key());
  make_relative(&branch.elements);
  uint64_t id =
      pages_->append(kBranch, branch.elements.size(), view_of(branch.elements), branch.keys.view());
  branch.elements.clear();
  branch.keys.truncate(0);
  add_child(level + 1, first_key, id);
}

uint64_t TreeBuilder::finish_root() {
  if (!leaf_.elements.empty() || branches_.empty()) close_leaf();
  // A level with one child that has no level above it is the tree's root.
  for (size_t level = 0;; ++level) {
    const Branch& branch = branches_[level];
    if (level + 1 == branches_.size() && branch.elements.size() == 1) {
      return branch.elements[0].child;
    }
    close_branch(level);
  }
}

std::string TreeBuilder::finish_bucket() {
  std::string value;
  if (branches_.empty() && leaf_.bytes() <= kInlineBytesMax) {
    make_relative(&leaf_.elements);
    value += bytes_of(BucketHeader{0, 0});
    value += bytes_of(PageHeader{0, kLeaf, static_cast<uint16_t>(leaf_.elements.size()), 0});
    value += view_of(leaf_.elements);
    value += leaf_.data.view();
  } else {
    value += bytes_of(BucketHeader{finish_root(), 0});
  }
  return value;
}

}  // namespace mortise::bbolt
