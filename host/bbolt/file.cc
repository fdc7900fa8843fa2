#include "host/bbolt/file.h"

namespace mortise::bbolt {
namespace {

constexpr size_t kMetaEnd = sizeof(PageHeader) + sizeof(Meta);
constexpr int kBucketDepthMax = 16;  // etcd has no buckets in buckets.

bool is_page_size(uint32_t bytes) {
  return bytes >= kPageBytesMin && bytes <= kPageBytesMax && (bytes & (bytes - 1)) == 0;
}

// The meta page at `offset`; what is wrong with it goes to *problem.
bool read_meta(const Source& source, uint64_t offset, Meta* meta, std::string* problem) {
  if (offset + kMetaEnd > source.size()) {
    *problem = "the file is too short";
    return false;
  }
  std::string copy;
  auto bytes = source.view(offset, kMetaEnd, &copy);
  if (!bytes.ok()) {
    *problem = bytes.status().message();
    return false;
  }
  *meta = load<Meta>(bytes->data() + sizeof(PageHeader));
  if (meta->magic != kMagic) {
    *problem = "not a bbolt file";
  } else if (meta->version != kVersion) {
    *problem = "version " + std::to_string(meta->version) + " of the format is not known";
  } else if (meta->checksum != meta_checksum(*meta)) {
    *problem = "the checksum does not fit";
  } else if (!is_page_size(meta->page_bytes)) {
    *problem = "a page size of " + std::to_string(meta->page_bytes) + " bytes";
  } else {
    return true;
  }
  return false;
}

// The one of the two that bbolt would take.
Result<Meta> newest_meta(const Source& source) {
  Meta first, second;
  std::string first_problem, second_problem;
  bool has_first = read_meta(source, 0, &first, &first_problem);
  bool has_second = false;
  // Without the first page the page size is not known.
  uint32_t from = has_first ? first.page_bytes : kPageBytesMin;
  uint32_t to = has_first ? first.page_bytes : kPageBytesMax;
  for (uint32_t size = from; size <= to && !has_second; size *= 2) {
    has_second = read_meta(source, size, &second, &second_problem) && second.page_bytes == size;
  }
  if (!has_first && !has_second) return page_error(0, first_problem);
  return !has_second || (has_first && first.txid > second.txid) ? first : second;
}

}  // namespace

Result<File> File::open(const Source* source) {
  MORTISE_ASSIGN_OR_RETURN(Meta meta, newest_meta(*source));
  uint64_t pages = source->size() / meta.page_bytes;
  if (meta.page_count > pages) {
    return corruption("the bbolt file has " + std::to_string(pages) + " pages of the " +
                      std::to_string(meta.page_count) + " that it should have");
  }
  File file(source, meta);
  MORTISE_ASSIGN_OR_RETURN(PageHeader root, file.header(meta.root.root));
  if (root.flags != kLeaf && root.flags != kBranch) {
    return page_error(meta.root.root, "is the root and neither a branch nor a leaf");
  }
  return file;
}

Result<PageHeader> File::header(uint64_t id) const {
  if (id < 2 || id >= page_count()) return page_error(id, "is referenced and does not exist");
  std::string copy;
  MORTISE_ASSIGN_OR_RETURN(std::string_view bytes,
                           source_->view(id * page_bytes(), sizeof(PageHeader), &copy));
  auto header = load<PageHeader>(bytes.data());
  if (header.id != id) return page_error(id, "says that it is page " + std::to_string(header.id));
  if (header.overflow >= page_count() - id) return page_error(id, "overflows the file");
  return header;
}

Result<std::string_view> File::run(const PageHeader& header, std::string* copy) const {
  uint64_t bytes = (uint64_t{header.overflow} + 1) * page_bytes();
  if (bytes > kRunBytesMax && header.overflow > 0) {
    return page_error(header.id, "has " + std::to_string(bytes) + " bytes, more than are read");
  }
  return source_->view(header.id * page_bytes(), bytes, copy);
}

std::shared_ptr<PageSet> File::new_set() const { return std::make_shared<PageSet>(page_count()); }

Result<Cursor> File::tree(uint64_t root, std::shared_ptr<PageSet> reached) const {
  Cursor cursor(this, reached ? std::move(reached) : new_set());
  MORTISE_RETURN_IF_ERROR(cursor.enter(root, {}, {}));
  return cursor;
}

Result<Cursor> File::bucket(std::string_view value, std::shared_ptr<PageSet> reached) const {
  if (value.size() < sizeof(BucketHeader)) {
    return corruption("a bucket of a bbolt file has a value of " + std::to_string(value.size()) +
                      " bytes");
  }
  auto header = load<BucketHeader>(value.data());
  if (header.root != 0) return tree(header.root, std::move(reached));
  Cursor cursor(this, nullptr);
  MORTISE_RETURN_IF_ERROR(cursor.enter_inline(value.substr(sizeof(BucketHeader)), 0));
  return cursor;
}

Result<Cursor> File::find(std::string_view name) const {
  MORTISE_ASSIGN_OR_RETURN(Cursor all, buckets());
  Row row;
  while (all.next(&row)) {
    if (row.is_bucket && row.key == name) return bucket(row.value);
  }
  if (!all.status().ok()) return all.status();
  return not_found("the bbolt file has no bucket \"" + std::string(name) + "\"");
}

Status File::check() const {
  auto reached = new_set();
  MORTISE_RETURN_IF_ERROR(reached->add(0, 1));
  MORTISE_ASSIGN_OR_RETURN(Cursor cursor, tree(meta_.root.root, reached));
  MORTISE_RETURN_IF_ERROR(check_bucket(std::move(cursor), reached, 0));
  if (!has_freelist()) return Status();  // Then what is not reached is free.
  MORTISE_RETURN_IF_ERROR(check_freelist(reached.get()));
  for (uint64_t id = 0; id < page_count(); ++id) {
    if (!reached->contains(id)) return page_error(id, "is neither used nor free");
  }
  return Status();
}

Status File::check_bucket(Cursor cursor, const std::shared_ptr<PageSet>& reached, int depth) const {
  if (depth > kBucketDepthMax) return corruption("buckets of the bbolt file are nested too deep");
  Row row;
  while (cursor.next(&row)) {
    if (!row.is_bucket) continue;
    MORTISE_ASSIGN_OR_RETURN(Cursor inner, bucket(row.value, reached));
    MORTISE_RETURN_IF_ERROR(check_bucket(std::move(inner), reached, depth + 1));
  }
  return cursor.status();
}

// Adds the list's own pages and those that it names.
Status File::check_freelist(PageSet* reached) const {
  MORTISE_ASSIGN_OR_RETURN(PageHeader header, this->header(meta_.freelist));
  if (header.flags != kFreelist) return page_error(header.id, "is not a list of free pages");
  MORTISE_RETURN_IF_ERROR(reached->add(header.id, header.overflow));
  std::string copy;
  MORTISE_ASSIGN_OR_RETURN(std::string_view bytes, run(header, &copy));
  std::string_view ids = bytes.substr(sizeof(PageHeader));
  uint64_t count = header.count;
  if (header.count == kFreelistCountOverflow) {
    count = load<uint64_t>(ids.data());
    ids.remove_prefix(sizeof count);
  }
  if (count > ids.size() / 8) return page_error(header.id, "names more free pages than it holds");
  for (uint64_t i = 0; i < count; ++i) {
    auto id = load<uint64_t>(ids.data() + i * 8);
    if (id < 2 || id >= page_count()) {
      return page_error(header.id, "names page " + std::to_string(id) + " as free");
    }
    if (reached->contains(id)) return page_error(id, "is both used and free, or free twice");
    MORTISE_RETURN_IF_ERROR(reached->add(id, 0));
  }
  return Status();
}

}  // namespace mortise::bbolt
