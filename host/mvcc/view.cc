#include "host/mvcc/view.h"

#include <cstring>

namespace mortise::mvcc {

void write_state(char* p, const State& state) {
  std::memcpy(p, &state.revision, 8);
  std::memcpy(p + 8, &state.compacted, 8);
}

Result<State> read_state(const store::Reader& reader) {
  State state;
  bool found;
  std::string_view value;
  MORTISE_RETURN_IF_ERROR(reader.get(store::kMeta, kStateKey, &found, &value));
  if (!found) return state;
  if (value.size() != kStateBytes) return corruption("the store's state row has a wrong size");
  std::memcpy(&state.revision, value.data(), 8);
  std::memcpy(&state.compacted, value.data() + 8, 8);
  return state;
}

Result<View> View::open(const store::Store& store) {
  View view;
  MORTISE_ASSIGN_OR_RETURN(view.reader_, store.reader());
  MORTISE_ASSIGN_OR_RETURN(view.state_, read_state(view.reader_));
  return view;
}

Result<CurrentScan> CurrentScan::open(const ReadContext& context, std::string_view lower,
                                      std::string_view upper, uint32_t cursor_flags) {
  CurrentScan scan;
  MORTISE_ASSIGN_OR_RETURN(scan.cursor_, context.reader->cursor(store::kCurrent, cursor_flags));
  MORTISE_RETURN_IF_ERROR(scan.cursor_.seek(lower, upper));
  if (context.overlay != nullptr && !context.overlay->empty()) {
    scan.overlay_ = context.overlay;
    scan.at_ = context.overlay->lower_bound(lower);
    scan.end_ = upper.empty() ? context.overlay->end() : context.overlay->lower_bound(upper);
    scan.step_cursor();
  }
  return scan;
}

bool CurrentScan::next(std::string_view* key, std::string_view* key_value) {
  if (overlay_ == nullptr) return cursor_.next(key, key_value);
  if (step_due_) step_cursor();
  step_due_ = false;
  for (;;) {
    bool has_pending = at_ != end_;
    if (!has_row_ && !has_pending) return false;
    int order = !has_row_ ? 1 : !has_pending ? -1 : row_key_.compare(at_->first);
    if (order < 0) {
      // The row's spans live until the cursor moves, so the step waits for the next call.
      *key = row_key_;
      *key_value = row_value_;
      step_due_ = true;
      return true;
    }
    if (order == 0) step_cursor();
    auto pending = at_++;
    if (pending->second.data() == nullptr) continue;
    *key = pending->first;
    *key_value = pending->second;
    return true;
  }
}

Status get_current(const ReadContext& context, std::string_view key, bool* found,
                   std::string_view* key_value) {
  if (context.overlay != nullptr) {
    if (auto it = context.overlay->find(key); it != context.overlay->end()) {
      *found = it->second.data() != nullptr;
      *key_value = it->second;
      return Status();
    }
  }
  return context.reader->get(store::kCurrent, key, found, key_value);
}

KeyRange key_range(std::string_view key, std::string_view range_end) {
  KeyRange range;
  range.lower = key;
  range.single = range_end.empty();
  if (range.single) return range;
  if (range_end == std::string_view("\0", 1)) return range;
  range.upper = range_end;
  range.empty = range_end <= key;
  return range;
}

}  // namespace mortise::mvcc
