#include "host/bbolt/image_writer.h"

namespace mortise::bbolt {
namespace {

// Two meta pages, then an empty list of free pages: every page of the file is in use.
constexpr uint64_t kFreelistId = 2;
constexpr uint64_t kFirstTreePage = 3;
// bbolt takes the meta page with the larger id of a transaction and writes the next one over the
// other, so both are the same but for that.
constexpr uint64_t kTxid = 2;

constexpr size_t kRowWorkBytes = 64;  // What a row costs beside its bytes.

void append_meta_page(uint64_t id, uint64_t page_count, uint64_t root_id, ByteBuffer* out) {
  Meta meta{};
  meta.magic = kMagic;
  meta.version = kVersion;
  meta.page_bytes = kPageBytes;
  meta.root.root = root_id;
  meta.freelist = kFreelistId;
  meta.page_count = page_count;
  meta.txid = kTxid - id;
  meta.checksum = meta_checksum(meta);
  PageStream(id, out).append(kMeta, 0, {}, bytes_of(meta));
}

}  // namespace

ImageWriter::Pass::Pass(ByteBuffer* out) : pages(kFirstTreePage, out), root(&pages) {}

Status ImageWriter::Pass::step(RowSource* rows, size_t* work) {
  std::string_view key, value;
  switch (rows->next(&key, &value)) {
    case RowSource::Item::kRow:
      *work += kRowWorkBytes + key.size() + value.size();
      if (!tree) return internal_error("rows for a bbolt file begin without a bucket");
      return tree->add(key, value);
    case RowSource::Item::kBucket:
      *work += kRowWorkBytes;
      MORTISE_RETURN_IF_ERROR(close_bucket());
      bucket.assign(key);
      tree.emplace(&pages);
      return Status();
    case RowSource::Item::kEnd:
      MORTISE_RETURN_IF_ERROR(close_bucket());
      root_id = root.finish_root();
      return Status();
    case RowSource::Item::kFailed: break;
  }
  return rows->status();
}

Status ImageWriter::Pass::close_bucket() {
  if (!tree) return Status();
  std::string value = tree->finish_bucket();
  tree.reset();
  return root.add(bucket, value, kBucketElement);
}

Status ImageWriter::lay_out(size_t work_bytes, bool* done) {
  if (!pass_ && !laid_out_) {
    MORTISE_RETURN_IF_ERROR(rows_->rewind());
    pass_.emplace(nullptr);
  }
  for (size_t work = 0; !laid_out_ && work < work_bytes;) {
    MORTISE_RETURN_IF_ERROR(pass_->step(rows_, &work));
    if (pass_->root_id == 0) continue;
    laid_out_ = true;
    page_count_ = pass_->pages.next_id();
    root_id_ = pass_->root_id;
    MORTISE_RETURN_IF_ERROR(begin_second_pass());
  }
  *done = laid_out_;
  return Status();
}

Status ImageWriter::begin_second_pass() {
  MORTISE_RETURN_IF_ERROR(rows_->rewind());
  append_meta_page(0, page_count_, root_id_, &ready_);
  append_meta_page(1, page_count_, root_id_, &ready_);
  PageStream(kFreelistId, &ready_).append(kFreelist, 0, {}, {});
  pass_.emplace(&ready_);
  return Status();
}

// Makes `bytes` that can be read, or all that are left.
Status ImageWriter::fill(size_t bytes) {
  size_t work = 0;
  while (ready_.size() - ready_from_ < bytes && pass_->root_id == 0) {
    MORTISE_RETURN_IF_ERROR(pass_->step(rows_, &work));
  }
  uint64_t pages = pass_->pages.next_id();
  bool ended = pass_->root_id != 0;
  if (pages > page_count_ || (ended && (pages != page_count_ || pass_->root_id != root_id_))) {
    return internal_error("the rows for a bbolt file changed while it was written");
  }
  return Status();
}

Status ImageWriter::read(size_t bytes, ByteBuffer* out) {
  MORTISE_CHECK(laid_out_, "a bbolt file is read before it is laid out");
  MORTISE_RETURN_IF_ERROR(fill(bytes));
  std::string_view ready = ready_.view().substr(ready_from_, bytes);
  out->append(ready);
  bytes_read_ += ready.size();
  ready_from_ += ready.size();
  // What is left is moved to the front once it is the smaller part, so each byte moves once.
  size_t left = ready_.size() - ready_from_;
  if (left <= ready_from_) {
    if (left > 0) std::memmove(ready_.data(), ready_.data() + ready_from_, left);
    ready_.truncate(left);
    ready_from_ = 0;
  }
  return Status();
}

}  // namespace mortise::bbolt
