#include "host/wire/codec.h"

namespace mortise::wire {
namespace {
constexpr int kGroupDepthMax = 64;
}

bool FieldReader::read_varint(uint64_t* out) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (p_ == end_) return false;
    auto byte = static_cast<uint8_t>(*p_++);
    if (shift == 63 && byte > 1) return false;  // More than 64 bits.
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *out = value;
      return true;
    }
  }
  return false;
}

bool FieldReader::next(Field* field) {
  if (p_ == end_ || failed_) return false;
  uint64_t tag;
  if (!read_varint(&tag) || tag > UINT32_MAX || tag >> 3 == 0) return fail();
  field->number = static_cast<uint32_t>(tag >> 3);
  field->type = static_cast<Type>(tag & 7);
  return read_value(field, 0) ? true : fail();
}

bool FieldReader::read_value(Field* field, int depth) {
  switch (field->type) {
    case Type::kVarint: return read_varint(&field->varint);
    case Type::kFixed64:
      if (end_ - p_ < 8) return false;
      std::memcpy(&field->varint, p_, 8);
      p_ += 8;
      return true;
    case Type::kFixed32: {
      if (end_ - p_ < 4) return false;
      uint32_t v;
      std::memcpy(&v, p_, 4);
      field->varint = v;
      p_ += 4;
      return true;
    }
    case Type::kBytes: {
      uint64_t size;
      if (!read_varint(&size) || size > static_cast<uint64_t>(end_ - p_)) return false;
      field->bytes = std::string_view(p_, size);
      p_ += size;
      return true;
    }
    case Type::kGroup: return skip_group(field->number, depth);
    default: return false;
  }
}

bool FieldReader::skip_group(uint32_t number, int depth) {
  if (depth >= kGroupDepthMax) return false;
  for (;;) {
    uint64_t tag;
    if (!read_varint(&tag) || tag > UINT32_MAX || tag >> 3 == 0) return false;
    Field inner;
    inner.number = static_cast<uint32_t>(tag >> 3);
    inner.type = static_cast<Type>(tag & 7);
    if (inner.type == Type::kGroupEnd) return inner.number == number;
    if (!read_value(&inner, depth + 1)) return false;
  }
}

bool is_message(std::string_view bytes) {
  FieldReader reader(bytes);
  Field field;
  while (reader.next(&field)) {
  }
  return !reader.failed();
}

void append_varint_field(std::string* out, uint32_t number, uint64_t v) {
  if (v == 0) return;
  char buffer[20];
  out->append(buffer, write_varint_field(buffer, number, v) - buffer);
}

void append_bytes_head(std::string* out, uint32_t number, size_t size) {
  char buffer[20];
  out->append(buffer, write_varint(write_tag(buffer, number, Type::kBytes), size) - buffer);
}

void append_bytes_field(std::string* out, uint32_t number, std::string_view bytes) {
  append_bytes_head(out, number, bytes.size());
  out->append(bytes);
}

}  // namespace mortise::wire
