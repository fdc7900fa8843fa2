// Writes a log as etcd does, for tests.
#pragma once

#include <fstream>
#include <string>

#include "host/base/crc32c.h"
#include "host/etcd_dir/wal_reader.h"
#include "host/wire/codec.h"

namespace mortise::etcd_dir {

// Numbers are written even if they are 0, as etcd up to 3.6 does.
inline void append_number(std::string* out, uint32_t field, uint64_t v) {
  char buffer[20];
  char* p = wire::write_varint(wire::write_tag(buffer, field, wire::Type::kVarint), v);
  out->append(buffer, static_cast<size_t>(p - buffer));
}

inline std::string encode_entry(uint64_t term, uint64_t index, std::string_view data,
                                uint64_t type = 0) {
  std::string out;
  append_number(&out, 1, type);
  append_number(&out, 2, term);
  append_number(&out, 3, index);
  if (!data.empty()) wire::append_bytes_field(&out, 4, data);
  return out;
}

inline std::string encode_state(uint64_t term, uint64_t vote, uint64_t commit) {
  std::string out;
  append_number(&out, 1, term);
  append_number(&out, 2, vote);
  append_number(&out, 3, commit);
  return out;
}

inline std::string encode_snapshot(uint64_t index, uint64_t term) {
  std::string out;
  append_number(&out, 1, index);
  append_number(&out, 2, term);
  return out;
}

// One segment after the other.
class TestLog {
 public:
  explicit TestLog(std::string dir) : dir_(std::move(dir)) {
    append_number(&metadata_, 1, 0x11);
    append_number(&metadata_, 2, 0x22);
    begin(0);
    add(kSnapshotRecord, encode_snapshot(0, 0));
  }

  void add(uint64_t type, std::string_view data) {
    crc_ = crc32c(crc_, data);
    frame(type, data);
  }
  void add_entry(uint64_t term, uint64_t index, std::string_view data = "data") {
    add(kEntryRecord, encode_entry(term, index, data));
  }
  void add_state(uint64_t term, uint64_t commit) {
    add(kStateRecord, encode_state(term, 0x11, commit));
  }
  // Writes the segment, with `zeros` behind what is in it, and begins one whose first entry will
  // have the index.
  void cut(uint64_t index, size_t zeros = 0) {
    write(zeros);
    ++sequence_;
    begin(index);
  }
  void write(size_t zeros = 4096) const {
    std::ofstream(path(), std::ios::binary) << bytes_ << std::string(zeros, '\0');
  }
  std::string path() const {
    char name[64];
    std::snprintf(name, sizeof name, "/%016llx-%016llx.wal",
                  static_cast<unsigned long long>(sequence_),
                  static_cast<unsigned long long>(first_index_));
    return dir_ + name;
  }
  // Of the segment that is being written.
  std::string& bytes() { return bytes_; }

 private:
  void begin(uint64_t index) {
    first_index_ = index;
    bytes_.clear();
    frame(kChecksumRecord, "");
    add(kMetadataRecord, metadata_);
  }
  void frame(uint64_t type, std::string_view data) {
    std::string record;
    append_number(&record, 1, type);
    append_number(&record, 2, crc_);
    if (!data.empty()) wire::append_bytes_field(&record, 3, data);
    const uint64_t padding = (8 - record.size() % 8) % 8;
    uint64_t length = record.size();
    if (padding != 0) length |= (0x80 | padding) << 56;
    bytes_.append(reinterpret_cast<const char*>(&length), 8);
    bytes_ += record;
    bytes_.append(padding, '\0');
  }

  std::string dir_;
  std::string metadata_;
  uint64_t sequence_ = 0;
  uint64_t first_index_ = 0;
  uint32_t crc_ = 0;
  std::string bytes_;
};

}  // namespace mortise::etcd_dir
