#include "host/json/wire_writer.h"

namespace mortise::json {

void WireWriter::end(const Mark& mark) {
  Length& length = lengths_[mark.length];
  length.value = out_->size() - mark.room - kLengthBytesMax - length.spare;
  innermost_ = mark.outer;
  if (innermost_ == kNone) return;
  lengths_[innermost_].spare += length.spare + kLengthBytesMax - wire::varint_size(length.value);
}

void WireWriter::finish() {
  if (lengths_.empty()) return;
  char* const base = out_->data();
  char* to = base + lengths_.front().room;
  for (size_t i = 0; i < lengths_.size(); ++i) {
    to = wire::write_varint(to, lengths_[i].value);
    const size_t from = lengths_[i].room + kLengthBytesMax;
    const size_t end = i + 1 < lengths_.size() ? lengths_[i + 1].room : out_->size();
    std::memmove(to, base + from, end - from);
    to += end - from;
  }
  out_->truncate(static_cast<size_t>(to - base));
}

}  // namespace mortise::json
