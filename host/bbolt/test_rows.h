// Buckets in memory, for tests: written to a file's bytes and read back.
#pragma once

#include <map>
#include <string>

#include "host/bbolt/file.h"
#include "host/bbolt/image_writer.h"

namespace mortise::bbolt {

using Rows = std::map<std::string, std::string>;
using Buckets = std::map<std::string, Rows>;

class MapRows : public RowSource {
 public:
  explicit MapRows(const Buckets& buckets) : buckets_(buckets) {}
  Status rewind() override {
    bucket_ = buckets_.begin();
    opened_ = false;
    return Status();
  }
  Item next(std::string_view* key, std::string_view* value) override;
  Status status() const override { return Status(); }

 private:
  const Buckets& buckets_;
  Buckets::const_iterator bucket_;
  Rows::const_iterator row_;
  bool opened_ = false;
};

// The file's bytes, taken in pieces of `piece` bytes.
std::string write_image(const Buckets& buckets, size_t piece = 32 << 10);
// All that is in the file, after check().
Result<Buckets> read_image(std::string_view image);

// "0 meta 0+0" for each page: id, kind, elements + overflow.
std::string describe_pages(std::string_view image);

}  // namespace mortise::bbolt
