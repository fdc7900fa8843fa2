#include "host/wire/key_value.h"

namespace mortise::wire {

bool decode_key_value(std::string_view bytes, KeyValue* out) {
  *out = KeyValue();
  FieldReader reader(bytes);
  Field f;
  while (reader.next(&f)) {
    if (f.type == Type::kBytes) {
      if (f.number == 1) out->key = f.bytes;
      if (f.number == 5) out->value = f.bytes;
    } else if (f.type == Type::kVarint) {
      auto v = static_cast<int64_t>(f.varint);
      switch (f.number) {
        case 2: out->create_revision = v; break;
        case 3: out->mod_revision = v; break;
        case 4: out->version = v; break;
        case 6: out->lease = v; break;
        default: break;
      }
    }
  }
  return !reader.failed();
}

size_t key_value_size(const KeyValue& kv) {
  return optional_bytes_field_size(1, kv.key.size()) +
         varint_field_size(2, static_cast<uint64_t>(kv.create_revision)) +
         varint_field_size(3, static_cast<uint64_t>(kv.mod_revision)) +
         varint_field_size(4, static_cast<uint64_t>(kv.version)) +
         optional_bytes_field_size(5, kv.value.size()) +
         varint_field_size(6, static_cast<uint64_t>(kv.lease));
}

char* write_key_value(char* p, const KeyValue& kv) {
  p = write_optional_bytes_field(p, 1, kv.key);
  p = write_varint_field(p, 2, static_cast<uint64_t>(kv.create_revision));
  p = write_varint_field(p, 3, static_cast<uint64_t>(kv.mod_revision));
  p = write_varint_field(p, 4, static_cast<uint64_t>(kv.version));
  p = write_optional_bytes_field(p, 5, kv.value);
  return write_varint_field(p, 6, static_cast<uint64_t>(kv.lease));
}

void append_key_value(std::string* out, const KeyValue& kv) {
  size_t at = out->size();
  out->resize(at + key_value_size(kv));
  write_key_value(out->data() + at, kv);
}

}  // namespace mortise::wire
