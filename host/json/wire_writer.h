// Writes a message front to back although the length of what is nested comes before it.
//
// Each length gets room of a fixed size. What is too much of it is taken out at the end, in one
// pass over the bytes, so deep nesting costs no more than flat: each byte is moved once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "host/base/byte_buffer.h"
#include "host/wire/codec.h"

namespace mortise::json {

class WireWriter {
 public:
  // Where a nested message, map entry or packed list began.
  struct Mark {
    size_t begin = 0;   // Of the tag.
    size_t room = 0;    // Of the length, which the body follows.
    size_t length = 0;  // Its index in lengths_.
    size_t outer = 0;   // The index of the one around it.
  };

  explicit WireWriter(ByteBuffer* out) : out_(out) {}

  void varint(std::string_view tag, uint64_t value) {
    char* p = out_->prepare(tag.size() + kVarintBytesMax);
    char* end = wire::write_varint(wire::write_raw(p, tag), value);
    out_->commit(static_cast<size_t>(end - p));
  }
  void packed_varint(uint64_t value) { varint({}, value); }
  // `size` bytes of the value in the machine's order, which is that of the format.
  void fixed(std::string_view tag, uint64_t value, size_t size) {
    char* p = out_->prepare(tag.size() + sizeof value);
    std::memcpy(wire::write_raw(p, tag), &value, sizeof value);
    out_->commit(tag.size() + size);
  }
  void bytes(std::string_view tag, std::string_view value) {
    char* p = out_->prepare(tag.size() + kVarintBytesMax + value.size());
    char* end = wire::write_raw(wire::write_varint(wire::write_raw(p, tag), value.size()), value);
    out_->commit(static_cast<size_t>(end - p));
  }

  Mark begin(std::string_view tag) {
    Mark mark{out_->size(), out_->size() + tag.size(), lengths_.size(), innermost_};
    innermost_ = mark.length;
    lengths_.push_back({mark.room, 0, 0});
    wire::write_raw(out_->prepare(tag.size() + kLengthBytesMax), tag);
    out_->commit(tag.size() + kLengthBytesMax);
    return mark;
  }
  bool is_empty(const Mark& mark) const { return out_->size() == mark.room + kLengthBytesMax; }
  void end(const Mark& mark);
  // As if begin() had not been.
  void undo(const Mark& mark) {
    out_->truncate(mark.begin);
    lengths_.resize(mark.length);
    innermost_ = mark.outer;
  }
  // Once, when all that began has ended.
  void finish();

 private:
  static constexpr size_t kVarintBytesMax = 10;
  static constexpr size_t kLengthBytesMax = 5;
  struct Length {
    size_t room;
    size_t spare;  // How much too large the rooms inside are.
    size_t value;
  };
  static constexpr size_t kNone = SIZE_MAX;

  ByteBuffer* out_;
  std::vector<Length> lengths_;  // In the order of where they stand.
  size_t innermost_ = kNone;     // Of those that have begun and not ended.
};

}  // namespace mortise::json
