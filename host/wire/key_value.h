// mvccpb.KeyValue as bytes. What is stored, hashed and sent is the same encoding that etcd writes:
// fields in order, zero ones left out.
#pragma once

#include "host/wire/codec.h"

namespace mortise::wire {

// Fields of a KeyValue. Views point into the bytes it was decoded from.
struct KeyValue {
  std::string_view key;
  int64_t create_revision = 0;
  int64_t mod_revision = 0;
  int64_t version = 0;
  std::string_view value;
  int64_t lease = 0;
};

bool decode_key_value(std::string_view bytes, KeyValue* out);
size_t key_value_size(const KeyValue& kv);
char* write_key_value(char* p, const KeyValue& kv);
void append_key_value(std::string* out, const KeyValue& kv);

}  // namespace mortise::wire
