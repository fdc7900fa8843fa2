#include "host/bbolt/test_rows.h"

namespace mortise::bbolt {

RowSource::Item MapRows::next(std::string_view* key, std::string_view* value) {
  if (bucket_ == buckets_.end()) return Item::kEnd;
  if (!opened_) {
    opened_ = true;
    row_ = bucket_->second.begin();
    *key = bucket_->first;
    return Item::kBucket;
  }
  if (row_ == bucket_->second.end()) {
    ++bucket_;
    opened_ = false;
    return next(key, value);
  }
  *key = row_->first;
  *value = row_->second;
  ++row_;
  return Item::kRow;
}

std::string write_image(const Buckets& buckets, size_t piece) {
  MapRows rows(buckets);
  ImageWriter writer(&rows);
  for (bool done = false; !done;) {
    Status status = writer.lay_out(piece, &done);
    MORTISE_CHECK(status.ok(), status.message());
  }
  std::string image;
  while (!writer.at_end()) {
    ByteBuffer bytes;
    Status status = writer.read(piece, &bytes);
    MORTISE_CHECK(status.ok(), status.message());
    image += bytes.view();
    MORTISE_CHECK(bytes.size() == piece || writer.at_end(), "a short piece in the middle");
  }
  MORTISE_CHECK(image.size() == writer.size(), "the size was not what was announced");
  return image;
}

Result<Buckets> read_image(std::string_view image) {
  MemorySource source(image);
  MORTISE_ASSIGN_OR_RETURN(File file, File::open(&source));
  MORTISE_RETURN_IF_ERROR(file.check());
  MORTISE_ASSIGN_OR_RETURN(Cursor all, file.buckets());
  Buckets out;
  Row bucket, row;
  while (all.next(&bucket)) {
    if (!bucket.is_bucket) return corruption("a row outside of buckets");
    Rows& rows = out[std::string(bucket.key)];
    MORTISE_ASSIGN_OR_RETURN(Cursor cursor, file.bucket(bucket.value));
    while (cursor.next(&row)) rows.emplace(row.key, row.value);
    if (!cursor.status().ok()) return cursor.status();
  }
  if (!all.status().ok()) return all.status();
  return out;
}

std::string describe_pages(std::string_view image) {
  std::string out;
  for (size_t id = 0; id < image.size() / kPageBytes;) {
    auto header = load<PageHeader>(image.data() + id * kPageBytes);
    const char* kind = header.flags == kMeta       ? "meta"
                       : header.flags == kBranch   ? "branch"
                       : header.flags == kLeaf     ? "leaf"
                       : header.flags == kFreelist ? "freelist"
                                                   : "unknown";
    out += std::to_string(header.id) + " " + kind + " " + std::to_string(header.count) + "+" +
           std::to_string(header.overflow) + "\n";
    id += header.overflow + 1;
  }
  return out;
}

}  // namespace mortise::bbolt
