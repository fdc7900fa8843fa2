// The protobuf wire format, as far as the hot path needs it: requests are read as views of the
// bytes they came in, stored values are spliced into responses without being parsed. Everything
// else uses the generated classes of proto/.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace mortise::wire {

enum class Type : uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kGroup = 3,
  kGroupEnd = 4,
  kFixed32 = 5
};

// One field as it stands in a message.
struct Field {
  uint32_t number = 0;
  Type type = Type::kVarint;
  uint64_t varint = 0;     // kVarint, kFixed64, kFixed32.
  std::string_view bytes;  // kBytes; points into the message.

  // Protobuf treats a known number with another wire type as an unknown field.
  bool is_varint(uint32_t n) const { return number == n && type == Type::kVarint; }
  bool is_bytes(uint32_t n) const { return number == n && type == Type::kBytes; }
};

// Walks the fields of one message. Malformed bytes end the walk with failed() set.
class FieldReader {
 public:
  explicit FieldReader(std::string_view message)
      : p_(message.data()), end_(message.data() + message.size()) {}
  bool next(Field* field);
  bool failed() const { return failed_; }

 private:
  bool fail() {
    failed_ = true;
    return false;
  }
  bool read_varint(uint64_t* out);
  bool skip_group(uint32_t number, int depth);
  bool read_value(Field* field, int depth);

  const char* p_;
  const char* end_;
  bool failed_ = false;
};

// Is it a message at all, whatever its fields?
bool is_message(std::string_view bytes);

constexpr size_t varint_size(uint64_t v) {
  size_t n = 1;
  for (; v >= 0x80; v >>= 7) ++n;
  return n;
}

inline char* write_varint(char* p, uint64_t v) {
  for (; v >= 0x80; v >>= 7) *p++ = static_cast<char>(v | 0x80);
  *p++ = static_cast<char>(v);
  return p;
}
// Writes number << 3 | type. Numbers up to 15 take one byte.
inline char* write_tag(char* p, uint32_t number, Type type) {
  return write_varint(p, number << 3 | static_cast<uint32_t>(type));
}
inline char* write_raw(char* p, std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(p, bytes.data(), bytes.size());
  return p + bytes.size();
}

constexpr size_t tag_size(uint32_t number) { return varint_size(uint64_t{number} << 3); }
// Sizes and writers of proto3 fields: zero and empty are left out.
constexpr size_t varint_field_size(uint32_t number, uint64_t v) {
  return v == 0 ? 0 : tag_size(number) + varint_size(v);
}
inline size_t bytes_field_size(uint32_t number, size_t size) {
  return tag_size(number) + varint_size(size) + size;
}
inline size_t optional_bytes_field_size(uint32_t number, size_t size) {
  return size == 0 ? 0 : bytes_field_size(number, size);
}
inline char* write_varint_field(char* p, uint32_t number, uint64_t v) {
  if (v == 0) return p;
  return write_varint(write_tag(p, number, Type::kVarint), v);
}
inline char* write_bytes_field(char* p, uint32_t number, std::string_view bytes) {
  return write_raw(write_varint(write_tag(p, number, Type::kBytes), bytes.size()), bytes);
}
inline char* write_optional_bytes_field(char* p, uint32_t number, std::string_view bytes) {
  return bytes.empty() ? p : write_bytes_field(p, number, bytes);
}

void append_varint_field(std::string* out, uint32_t number, uint64_t v);
void append_bytes_field(std::string* out, uint32_t number, std::string_view bytes);
// The tag and length of a bytes field whose `size` bytes the caller appends next.
void append_bytes_head(std::string* out, uint32_t number, size_t size);

}  // namespace mortise::wire
