// Names of stored versions. A revision's main part numbers transactions, its sub part the changes
// in one.
//
// In the revisions keyspace, as etcd writes it: main (8 bytes, big endian), '_', sub (8 bytes, big
// endian), and a 't' behind if the version is a tombstone.
//
// In the key_history keyspace: the user key with 0x00 written as 0x00 0xff, then 0x00 0x00, then
// main. So the rows of one key stand together, keys in their order, revisions ascending:
//   "a" at 5    61 00 00 00 00 00 00 00 00 00 05
//   "a\0" at 4  61 00 ff 00 00 00 00 00 00 00 00 00 04
//   "b" at 2    62 00 00 00 00 00 00 00 00 00 02
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mortise::mvcc {

struct Revision {
  int64_t main = 0;
  int64_t sub = 0;
  friend auto operator<=>(const Revision&, const Revision&) = default;
};

constexpr size_t kRevisionBytes = 17;
constexpr size_t kRevisionBytesMax = 18;  // With the tombstone mark.

inline void put_u64_be(char* p, uint64_t v) {
  v = __builtin_bswap64(v);
  __builtin_memcpy(p, &v, 8);
}
inline uint64_t get_u64_be(const char* p) {
  uint64_t v;
  __builtin_memcpy(&v, p, 8);
  return __builtin_bswap64(v);
}

// Writes 17 or 18 bytes; returns how many.
size_t write_revision(char* p, Revision revision, bool tombstone);
std::string encode_revision(Revision revision, bool tombstone = false);
// False if the bytes are not a revision.
bool decode_revision(std::string_view bytes, Revision* revision, bool* tombstone);

// The part of a history row's name that names the key: all rows of the key start with it.
std::string history_prefix(std::string_view user_key);
size_t history_key_size(std::string_view user_key);
// Writes history_key_size() bytes.
void write_history_key(char* p, std::string_view user_key, int64_t main);
std::string history_key(std::string_view user_key, int64_t main);
// Splits a row's name in its prefix and main; false if it is too short.
bool split_history_key(std::string_view row, std::string_view* prefix, int64_t* main);
// Undoes the escapes of a prefix.
bool decode_history_prefix(std::string_view prefix, std::string* user_key);

// What a history row says of its version. Rows of before there were the last two are read as well:
// then both are 0, and the KeyValue in `revisions` has them. Tombstones have neither.
struct HistoryValue {
  int64_t sub = 0;
  bool tombstone = false;
  int64_t create_revision = 0;
  int64_t version = 0;
  friend bool operator==(const HistoryValue&, const HistoryValue&) = default;
};
constexpr size_t kHistoryValueBytesMax = 28;
size_t write_history_value(char* p, const HistoryValue& value);
// False if these are not the bytes that it was written as.
bool decode_history_value(std::string_view bytes, HistoryValue* value);

}  // namespace mortise::mvcc
