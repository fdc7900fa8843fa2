// The file format of bbolt, version 2, as etcd keeps its data in it: numbers and structs of the
// file, little endian. docs/formats/bbolt.md describes the format.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace mortise::bbolt {

static_assert(std::endian::native == std::endian::little,
              "structs are read and written as they stand in memory");

constexpr uint32_t kMagic = 0xed0cdaed;
constexpr uint32_t kVersion = 2;
constexpr uint64_t kNoFreelist = UINT64_MAX;

// Of files that we write. Readers take any power of two in between.
constexpr uint32_t kPageBytes = 4096;
constexpr uint32_t kPageBytesMin = 1024;
constexpr uint32_t kPageBytesMax = 16 << 20;

constexpr size_t kKeyBytesMax = 32768;
constexpr size_t kValueBytesMax = (size_t{1} << 31) - 2;

enum PageFlags : uint16_t { kBranch = 0x01, kLeaf = 0x02, kMeta = 0x04, kFreelist = 0x10 };
constexpr uint32_t kBucketElement = 0x01;

// What stands at the head of each page. `overflow` pages behind it belong to it.
struct PageHeader {
  uint64_t id;
  uint16_t flags;
  uint16_t count;
  uint32_t overflow;
};

// A page's elements follow its header; the bytes they speak of follow the last element. `pos`
// counts from the element's own start.
struct LeafElement {
  uint32_t flags;
  uint32_t pos;
  uint32_t key_size;
  uint32_t value_size;
};
struct BranchElement {
  uint32_t pos;
  uint32_t key_size;
  uint64_t child;
};

// The value of an element that is a bucket. With root 0 the bucket's only page follows.
struct BucketHeader {
  uint64_t root;
  uint64_t sequence;
};

// Behind the header of pages 0 and 1.
struct Meta {
  uint32_t magic;
  uint32_t version;
  uint32_t page_bytes;
  uint32_t flags;
  BucketHeader root;
  uint64_t freelist;
  uint64_t page_count;  // Pages from here on were never used.
  uint64_t txid;
  uint64_t checksum;
};

static_assert(sizeof(PageHeader) == 16 && sizeof(LeafElement) == 16 && sizeof(BranchElement) == 16);
static_assert(sizeof(BucketHeader) == 16 && sizeof(Meta) == 64);

// Where 65535 and more pages are free, their number is the first id of the list.
constexpr uint16_t kFreelistCountOverflow = 0xffff;

template <typename T>
T load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}
template <typename T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// FNV-1a with 64 bits over the fields in front of the checksum.
inline uint64_t meta_checksum(const Meta& meta) {
  uint64_t hash = 0xcbf29ce484222325;
  for (char c : bytes_of(meta).substr(0, offsetof(Meta, checksum))) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  }
  return hash;
}

}  // namespace mortise::bbolt
