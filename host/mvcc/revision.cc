#include "host/mvcc/revision.h"

#include <algorithm>
#include <cstring>

#include "host/wire/codec.h"

namespace mortise::mvcc {

size_t write_revision(char* p, Revision revision, bool tombstone) {
  put_u64_be(p, static_cast<uint64_t>(revision.main));
  p[8] = '_';
  put_u64_be(p + 9, static_cast<uint64_t>(revision.sub));
  if (!tombstone) return kRevisionBytes;
  p[17] = 't';
  return kRevisionBytesMax;
}

std::string encode_revision(Revision revision, bool tombstone) {
  char buffer[kRevisionBytesMax];
  return std::string(buffer, write_revision(buffer, revision, tombstone));
}

bool decode_revision(std::string_view bytes, Revision* revision, bool* tombstone) {
  if (bytes.size() != kRevisionBytes && bytes.size() != kRevisionBytesMax) return false;
  *tombstone = bytes.size() == kRevisionBytesMax;
  if (bytes[8] != '_' || (*tombstone && bytes[17] != 't')) return false;
  revision->main = static_cast<int64_t>(get_u64_be(bytes.data()));
  revision->sub = static_cast<int64_t>(get_u64_be(bytes.data() + 9));
  return true;
}

namespace {

constexpr size_t kNumberBytesMax = 9;  // Of 63 bits, 7 to a byte.
static_assert(kHistoryValueBytesMax == 1 + 3 * kNumberBytesMax);

size_t escaped_size(std::string_view key) {
  return key.size() + static_cast<size_t>(std::count(key.begin(), key.end(), '\0'));
}

char* write_escaped(char* p, std::string_view key) {
  while (!key.empty()) {
    const void* zero = std::memchr(key.data(), 0, key.size());
    size_t run = zero ? static_cast<const char*>(zero) - key.data() : key.size();
    p = wire::write_raw(p, key.substr(0, run));
    if (zero == nullptr) break;
    *p++ = '\0';
    *p++ = '\xff';
    key.remove_prefix(run + 1);
  }
  return p;
}

}  // namespace

std::string history_prefix(std::string_view user_key) {
  std::string out(escaped_size(user_key) + 2, '\0');
  write_escaped(out.data(), user_key);
  return out;
}

size_t history_key_size(std::string_view user_key) { return escaped_size(user_key) + 10; }

void write_history_key(char* p, std::string_view user_key, int64_t main) {
  p = write_escaped(p, user_key);
  *p++ = '\0';
  *p++ = '\0';
  put_u64_be(p, static_cast<uint64_t>(main));
}

std::string history_key(std::string_view user_key, int64_t main) {
  std::string out(history_key_size(user_key), '\0');
  write_history_key(out.data(), user_key, main);
  return out;
}

bool split_history_key(std::string_view row, std::string_view* prefix, int64_t* main) {
  if (row.size() < 10) return false;
  *prefix = row.substr(0, row.size() - 8);
  *main = static_cast<int64_t>(get_u64_be(row.data() + row.size() - 8));
  return true;
}

bool decode_history_prefix(std::string_view prefix, std::string* user_key) {
  user_key->clear();
  if (prefix.size() < 2) return false;
  prefix.remove_suffix(2);
  for (size_t i = 0; i < prefix.size(); ++i) {
    user_key->push_back(prefix[i]);
    if (prefix[i] != '\0') continue;
    if (++i >= prefix.size() || prefix[i] != '\xff') return false;
  }
  return true;
}

size_t write_history_value(char* p, const HistoryValue& value) {
  const char* start = p;
  *p++ = value.tombstone ? 1 : 0;
  p = wire::write_varint(p, static_cast<uint64_t>(value.sub));
  // What came in a snapshot may have one of them alone.
  if (!value.tombstone && value.create_revision > 0 && value.version > 0) {
    p = wire::write_varint(p, static_cast<uint64_t>(value.create_revision));
    p = wire::write_varint(p, static_cast<uint64_t>(value.version));
  }
  return static_cast<size_t>(p - start);
}

namespace {

// Takes a number of at most 63 bits in its shortest form from the front of `bytes`.
bool take_number(std::string_view* bytes, int64_t* number) {
  uint64_t v = 0;
  for (size_t i = 0; i < std::min(bytes->size(), kNumberBytesMax); ++i) {
    auto byte = static_cast<uint8_t>((*bytes)[i]);
    v |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if ((byte & 0x80) != 0) continue;
    *number = static_cast<int64_t>(v);
    bytes->remove_prefix(i + 1);
    return byte != 0 || i == 0;
  }
  return false;
}

}  // namespace

bool decode_history_value(std::string_view bytes, HistoryValue* value) {
  *value = HistoryValue();
  if (bytes.empty() || static_cast<uint8_t>(bytes[0]) > 1) return false;
  value->tombstone = bytes[0] == 1;
  bytes.remove_prefix(1);
  if (!take_number(&bytes, &value->sub)) return false;
  if (bytes.empty()) return true;
  return !value->tombstone && take_number(&bytes, &value->create_revision) &&
         take_number(&bytes, &value->version) && bytes.empty() && value->create_revision > 0 &&
         value->version > 0;
}

}  // namespace mortise::mvcc
