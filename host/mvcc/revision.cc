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

size_t write_history_value(char* p, HistoryValue value) {
  *p = value.tombstone ? 1 : 0;
  return static_cast<size_t>(wire::write_varint(p + 1, static_cast<uint64_t>(value.sub)) - p);
}

bool decode_history_value(std::string_view bytes, HistoryValue* value) {
  if (bytes.size() < 2 || bytes.size() > kHistoryValueBytesMax) return false;
  value->tombstone = (bytes[0] & 1) != 0;
  uint64_t sub = 0;
  for (size_t i = 1; i < bytes.size(); ++i) {
    sub |= static_cast<uint64_t>(bytes[i] & 0x7f) << (7 * (i - 1));
  }
  value->sub = static_cast<int64_t>(sub);
  return true;
}

}  // namespace mortise::mvcc
