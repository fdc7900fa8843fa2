#include "host/wire/kv_requests.h"

namespace mortise::wire {
namespace {

int64_t i64(const Field& f) { return static_cast<int64_t>(f.varint); }
int32_t i32(const Field& f) { return static_cast<int32_t>(f.varint); }

bool decode_op(std::string_view bytes, RequestOp* out, int depth) {
  *out = std::monostate();
  FieldReader reader(bytes);
  Field f;
  while (reader.next(&f)) {
    if (f.type != Type::kBytes) continue;
    switch (f.number) {
      case 1:
        if (!decode(f.bytes, &out->emplace<RangeRequest>())) return false;
        break;
      case 2:
        if (!decode(f.bytes, &out->emplace<PutRequest>())) return false;
        break;
      case 3:
        if (!decode(f.bytes, &out->emplace<DeleteRangeRequest>())) return false;
        break;
      case 4: {
        auto txn = std::make_unique<TxnRequest>();
        if (!decode(f.bytes, txn.get(), depth + 1)) return false;
        *out = std::move(txn);
        break;
      }
      default: break;
    }
  }
  return !reader.failed();
}

}  // namespace

bool decode(std::string_view bytes, RangeRequest* out) {
  *out = RangeRequest();
  FieldReader reader(bytes);
  Field f;
  while (reader.next(&f)) {
    if (f.is_bytes(1)) out->key = f.bytes;
    if (f.is_bytes(2)) out->range_end = f.bytes;
    if (f.type != Type::kVarint) continue;
    switch (f.number) {
      case 3: out->limit = i64(f); break;
      case 4: out->revision = i64(f); break;
      case 5: out->sort_order = i32(f); break;
      case 6: out->sort_target = i32(f); break;
      case 7: out->serializable = f.varint != 0; break;
      case 8: out->keys_only = f.varint != 0; break;
      case 9: out->count_only = f.varint != 0; break;
      case 10: out->min_mod_revision = i64(f); break;
      case 11: out->max_mod_revision = i64(f); break;
      case 12: out->min_create_revision = i64(f); break;
      case 13: out->max_create_revision = i64(f); break;
      default: break;
    }
  }
  return !reader.failed();
}

bool decode(std::string_view bytes, PutRequest* out) {
  *out = PutRequest();
  FieldReader reader(bytes);
  Field f;
  while (reader.next(&f)) {
    if (f.is_bytes(1)) out->key = f.bytes;
    if (f.is_bytes(2)) out->value = f.bytes;
    if (f.is_varint(3)) out->lease = i64(f);
    if (f.is_varint(4)) out->prev_kv = f.varint != 0;
    if (f.is_varint(5)) out->ignore_value = f.varint != 0;
    if (f.is_varint(6)) out->ignore_lease = f.varint != 0;
  }
  return !reader.failed();
}

bool decode(std::string_view bytes, DeleteRangeRequest* out) {
  *out = DeleteRangeRequest();
  FieldReader reader(bytes);
  Field f;
  while (reader.next(&f)) {
    if (f.is_bytes(1)) out->key = f.bytes;
    if (f.is_bytes(2)) out->range_end = f.bytes;
    if (f.is_varint(3)) out->prev_kv = f.varint != 0;
  }
  return !reader.failed();
}

bool decode(std::string_view bytes, Compare* out) {
  *out = Compare();
  FieldReader reader(bytes);
  Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) out->result = i32(f);
    if (f.is_varint(2)) out->target = i32(f);
    if (f.is_bytes(3)) out->key = f.bytes;
    if (f.is_bytes(64)) out->range_end = f.bytes;
    bool number = f.type == Type::kVarint &&
                  (f.number == 4 || f.number == 5 || f.number == 6 || f.number == 8);
    if (number || f.is_bytes(7)) {
      out->operand_field = f.number;
      out->number = number ? i64(f) : 0;
      out->value = number ? std::string_view() : f.bytes;
    }
  }
  return !reader.failed();
}

bool decode(std::string_view bytes, TxnRequest* out, int depth) {
  *out = TxnRequest();
  if (depth > kTxnDepthMax) return false;
  FieldReader reader(bytes);
  Field f;
  while (reader.next(&f)) {
    if (f.type != Type::kBytes) continue;
    if (f.number == 1 && !decode(f.bytes, &out->compare.emplace_back())) return false;
    if (f.number == 2 && !decode_op(f.bytes, &out->success.emplace_back(), depth)) return false;
    if (f.number == 3 && !decode_op(f.bytes, &out->failure.emplace_back(), depth)) return false;
  }
  return !reader.failed();
}

}  // namespace mortise::wire
