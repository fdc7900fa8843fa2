#include "host/watch/request.h"

#include "host/wire/codec.h"

namespace mortise::watch {
namespace {

constexpr uint64_t kNoPut = 0;
constexpr uint64_t kNoDelete = 1;

// Enums are 32 bits on the wire's far side: what is above is cut off.
void set_filter(uint64_t filter, CreateRequest* out) {
  const auto value = static_cast<uint32_t>(filter);
  if (value == kNoPut) out->no_put = true;
  if (value == kNoDelete) out->no_delete = true;
}

bool parse_packed_filters(std::string_view bytes, CreateRequest* out) {
  uint64_t value = 0;
  int shift = 0;
  for (char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    shift += 7;
    if (shift > 70) return false;
    if (byte >= 0x80) continue;
    set_filter(value, out);
    value = 0;
    shift = 0;
  }
  return shift == 0;
}

bool parse(std::string_view bytes, CreateRequest* out) {
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_bytes(1)) out->key = f.bytes;
    if (f.is_bytes(2)) out->range_end = f.bytes;
    if (f.is_varint(3)) out->start_revision = static_cast<int64_t>(f.varint);
    if (f.is_varint(4)) out->progress_notify = f.varint != 0;
    if (f.is_varint(5)) set_filter(f.varint, out);
    if (f.is_bytes(5) && !parse_packed_filters(f.bytes, out)) return false;
    if (f.is_varint(6)) out->prev_kv = f.varint != 0;
    if (f.is_varint(7)) out->watch_id = static_cast<int64_t>(f.varint);
    if (f.is_varint(8)) out->fragment = f.varint != 0;
  }
  return !reader.failed();
}

bool parse(std::string_view bytes, CancelRequest* out) {
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) out->watch_id = static_cast<int64_t>(f.varint);
  }
  return !reader.failed();
}

bool parse(std::string_view bytes, ProgressRequest*) {
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) continue;
  return !reader.failed();
}

// A member of the union: the last kind wins, and two of the same kind are merged.
template <typename T>
bool parse_member(std::string_view bytes, Request* request) {
  if (!std::holds_alternative<T>(*request)) *request = T();
  return parse(bytes, std::get_if<T>(request));
}

}  // namespace

Request parse_request(std::string_view bytes) {
  Request request;
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    bool ok = true;
    if (f.is_bytes(1)) ok = parse_member<CreateRequest>(f.bytes, &request);
    if (f.is_bytes(2)) ok = parse_member<CancelRequest>(f.bytes, &request);
    if (f.is_bytes(3)) ok = parse_member<ProgressRequest>(f.bytes, &request);
    if (!ok) return MalformedRequest();
  }
  if (reader.failed()) return MalformedRequest();
  auto* create = std::get_if<CreateRequest>(&request);
  if (create != nullptr && create->key.empty()) create->key.assign(1, '\0');
  return request;
}

}  // namespace mortise::watch
