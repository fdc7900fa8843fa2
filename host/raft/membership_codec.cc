#include "host/raft/membership_codec.h"

#include <string_view>

#include "host/base/check.h"

namespace mortise::raft {
namespace {

constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kBytes = 2;
constexpr uint32_t kFixed32 = 5;

void put_varint(std::string* out, uint64_t value) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

void put_number(std::string* out, uint32_t field, uint64_t value) {
  put_varint(out, field << 3 | kVarint);
  put_varint(out, value);
}

void put_bytes(std::string* out, uint32_t field, std::string_view value) {
  put_varint(out, field << 3 | kBytes);
  put_varint(out, value.size());
  out->append(value);
}

// One field at a time; `number` or `bytes` is set, by wire type.
class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  // False at the end and on malformed input; `ok()` tells them apart.
  bool next() {
    if (in_.empty() || !ok_) return false;
    uint64_t tag = 0;
    uint64_t size = 0;
    if (!varint(&tag) || (tag >> 3) == 0 || (tag >> 3) > 0x1fffffff) return ok_ = false;
    field = static_cast<uint32_t>(tag >> 3);
    wire = static_cast<uint32_t>(tag & 7);
    switch (wire) {
      case kVarint: return ok_ = varint(&number);
      case kFixed64: return ok_ = take(8);
      case kFixed32: return ok_ = take(4);
      case kBytes: return ok_ = varint(&size) && take(size);
      default: return ok_ = false;
    }
  }
  bool ok() const { return ok_; }

  uint32_t field = 0;
  uint32_t wire = 0;
  uint64_t number = 0;
  std::string_view bytes;

 private:
  bool varint(uint64_t* out) {
    *out = 0;
    for (uint32_t shift = 0; shift < 64 && !in_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(in_.front());
      in_.remove_prefix(1);
      *out |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool take(uint64_t size) {
    if (size > in_.size()) return false;
    bytes = in_.substr(0, size);
    in_.remove_prefix(size);
    return true;
  }

  std::string_view in_;
  bool ok_ = true;
};

bool set_type(uint64_t number, SingleChange* out) {
  if (number > static_cast<uint64_t>(ChangeType::kAddLearner)) return false;
  out->type = static_cast<ChangeType>(number);
  return true;
}

Status decode_v1(std::string_view data, MembershipChange* out) {
  SingleChange single;
  Reader reader(data);
  bool known = true;
  while (reader.next()) {
    if (reader.field == 1 && reader.wire == kVarint) out->id = reader.number;
    if (reader.field == 2 && reader.wire == kVarint) known &= set_type(reader.number, &single);
    if (reader.field == 3 && reader.wire == kVarint) single.node = reader.number;
    if (reader.field == 4 && reader.wire == kBytes) out->context = reader.bytes;
  }
  if (!reader.ok() || !known) return invalid("malformed membership change");
  out->changes.push_back(single);
  return Status();
}

Status decode_v2(std::string_view data, MembershipChange* out) {
  Reader reader(data);
  bool known = true;
  while (reader.next()) {
    if (reader.field == 1 && reader.wire == kVarint) {
      known &= reader.number <= static_cast<uint64_t>(Transition::kJointExplicit);
      out->transition = static_cast<Transition>(reader.number);
    } else if (reader.field == 2 && reader.wire == kBytes) {
      SingleChange single;
      Reader inner(reader.bytes);
      while (inner.next()) {
        if (inner.field == 1 && inner.wire == kVarint) known &= set_type(inner.number, &single);
        if (inner.field == 2 && inner.wire == kVarint) single.node = inner.number;
      }
      known &= inner.ok();
      out->changes.push_back(single);
    } else if (reader.field == 3 && reader.wire == kBytes) {
      out->context = reader.bytes;
    }
  }
  if (!reader.ok() || !known) return invalid("malformed membership change");
  return Status();
}

}  // namespace

EntryType membership_entry_type(const MembershipChange& change) {
  return change.v2 ? EntryType::kConfChangeV2 : EntryType::kConfChange;
}

std::string encode_membership(const MembershipChange& change) {
  std::string out;
  if (!change.v2) {
    MORTISE_CHECK(change.changes.size() == 1, "a v1 membership change is one change exactly");
    if (change.id != 0) put_number(&out, 1, change.id);
    put_number(&out, 2, static_cast<uint64_t>(change.changes[0].type));
    put_number(&out, 3, change.changes[0].node);
    if (!change.context.empty()) put_bytes(&out, 4, change.context);
    return out;
  }
  if (change.transition != Transition::kAuto) {
    put_number(&out, 1, static_cast<uint64_t>(change.transition));
  }
  for (const SingleChange& single : change.changes) {
    std::string inner;
    put_number(&inner, 1, static_cast<uint64_t>(single.type));
    put_number(&inner, 2, single.node);
    put_bytes(&out, 2, inner);
  }
  if (!change.context.empty()) put_bytes(&out, 3, change.context);
  return out;
}

Result<MembershipChange> decode_membership(EntryType type, const std::string& data) {
  MembershipChange out;
  if (type == EntryType::kConfChange) {
    MORTISE_RETURN_IF_ERROR(decode_v1(data, &out));
  } else if (type == EntryType::kConfChangeV2) {
    out.v2 = true;
    MORTISE_RETURN_IF_ERROR(decode_v2(data, &out));
  } else {
    return invalid("entry is not a membership change");
  }
  return out;
}

}  // namespace mortise::raft
