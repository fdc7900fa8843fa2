#include "host/mvcc/key_counter.h"

#include <cstring>

#include "host/mvcc/range.h"
#include "host/mvcc/range_scan.h"

namespace mortise::mvcc {
namespace {

constexpr char kRowPrefix = 'b';

std::string row_name(std::string_view lower) {
  std::string name(1, kRowPrefix);
  name.append(lower);
  return name;
}

bool decode_row(std::string_view row, std::string_view value, std::string_view* lower,
                uint64_t* count) {
  if (row.empty() || row[0] != kRowPrefix || value.size() != 8) return false;
  *lower = row.substr(1);
  std::memcpy(count, value.data(), 8);
  return true;
}

// Keys in [lower, upper), walked; stops at the end of the range.
Status walk(const ReadContext& context, std::string_view lower, std::string_view upper,
            int64_t* count) {
  KeyRange range{.single = false, .empty = false, .lower = lower, .upper = upper};
  MORTISE_ASSIGN_OR_RETURN(auto scan,
                           RangeScan::open(context, range, context.revision, Want::kNothing));
  while (scan.skip()) ++*count;
  return scan.status();
}

}  // namespace

Status KeyCounter::load(const store::Reader& reader) {
  blocks_.clear();
  total_ = 0;
  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader.cursor(store::kKeyCounts));
  MORTISE_RETURN_IF_ERROR(cursor.seek({}, {}));
  std::string_view row, value;
  while (cursor.next(&row, &value)) {
    std::string_view lower;
    uint64_t count;
    if (!decode_row(row, value, &lower, &count)) return corruption("a key count row is malformed");
    blocks_.emplace_hint(blocks_.end(), std::string(lower), count);
    total_ += count;
  }
  blocks_.try_emplace(std::string(), 0);
  return cursor.status();
}

KeyCounter::Blocks::iterator KeyCounter::block_of(std::string_view key) {
  return std::prev(blocks_.upper_bound(key));
}

void KeyCounter::add(std::string_view key, int64_t by) {
  auto block = block_of(key);
  MORTISE_CHECK(by >= 0 || block->second >= static_cast<uint64_t>(-by),
                "a block's key count fell below 0");
  block->second += static_cast<uint64_t>(by);
  total_ += static_cast<uint64_t>(by);
  if (changed_.find(block->first) == changed_.end()) changed_.insert(block->first);
}

Status KeyCounter::split(const ReadContext& context, const std::string& lower) {
  auto block = blocks_.find(lower);
  auto after = std::next(block);
  std::string upper = after == blocks_.end() ? std::string() : after->first;
  MORTISE_ASSIGN_OR_RETURN(auto scan,
                           CurrentScan::open(context, lower, upper, MORTISE_CURSOR_KEYS_ONLY));
  // A block at the end of the key space most likely grows by ascending keys: it is left nearly
  // full.
  const uint64_t piece = upper.empty() ? kBlockKeysMax * 7 / 8 : kBlockKeysMax / 2;
  uint64_t left = block->second;
  uint64_t seen = 0;
  std::string_view key, value;
  while (left > kBlockKeysMax && scan.next(&key, &value)) {
    if (seen < piece) {
      ++seen;
      continue;
    }
    block->second = seen;
    left -= seen;
    block = blocks_.emplace_hint(std::next(block), std::string(key), left);
    changed_.insert(block->first);
    seen = 1;
  }
  return scan.status();
}

void KeyCounter::join(const std::string& lower) {
  auto block = blocks_.find(lower);
  if (block == blocks_.end() || block == blocks_.begin()) return;
  auto before = std::prev(block);
  if (before->second + block->second > kBlockKeysMax / 2) return;
  before->second += block->second;
  changed_.insert(before->first);
  blocks_.erase(block);
}

void KeyCounter::write_row(std::string_view lower, Arena* arena, store::WriteBatch* batch) const {
  std::string_view name = arena->copy(row_name(lower));
  auto block = blocks_.find(lower);
  if (block == blocks_.end()) {
    batch->remove(store::kKeyCounts, name);
    return;
  }
  char* value = arena->allocate(8);
  std::memcpy(value, &block->second, 8);
  batch->put(store::kKeyCounts, name, std::string_view(value, 8));
}

Status KeyCounter::flush(const ReadContext& context, Arena* arena, store::WriteBatch* batch) {
  std::vector<std::string> large, small;
  for (const std::string& lower : changed_) {
    uint64_t count = blocks_.find(lower)->second;
    if (count > kBlockKeysMax) large.push_back(lower);
    if (count < kBlockKeysMin) small.push_back(lower);
  }
  for (const std::string& lower : large) MORTISE_RETURN_IF_ERROR(split(context, lower));
  for (const std::string& lower : small) join(lower);
  for (const std::string& lower : changed_) write_row(lower, arena, batch);
  changed_.clear();
  return Status();
}

Status KeyCounter::visit(std::string_view lower,
                         const std::function<bool(std::string_view, uint64_t)>& visit) const {
  for (auto it = std::prev(blocks_.upper_bound(lower)); it != blocks_.end(); ++it) {
    if (!visit(it->first, it->second)) break;
  }
  return Status();
}

Status StoredBlockCounts::visit(
    std::string_view lower, const std::function<bool(std::string_view, uint64_t)>& visit) const {
  MORTISE_ASSIGN_OR_RETURN(auto back, reader_->cursor(store::kKeyCounts, MORTISE_CURSOR_REVERSE));
  std::string after = row_name(lower);
  after.push_back('\0');  // The row of `lower` itself is below this bound.
  MORTISE_RETURN_IF_ERROR(back.seek({}, after));
  std::string_view row, value;
  std::string first;
  if (back.next(&row, &value)) first.assign(row);
  MORTISE_RETURN_IF_ERROR(back.status());

  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader_->cursor(store::kKeyCounts));
  MORTISE_RETURN_IF_ERROR(cursor.seek(first, {}));
  while (cursor.next(&row, &value)) {
    std::string_view bound;
    uint64_t count;
    if (!decode_row(row, value, &bound, &count)) return corruption("a key count row is malformed");
    if (!visit(bound, count)) break;
  }
  return cursor.status();
}

Status count_current(const ReadContext& context, const KeyRange& range, int64_t* count) {
  *count = 0;
  if (context.counts == nullptr) return walk(context, range.lower, range.upper, count);
  // The block that holds the lower end is walked, and so is the one that holds the upper end; those
  // between count whole. A block's end is known when the next one comes.
  uint64_t visited = 0;
  uint64_t whole = 0;
  uint64_t last_keys = 0;
  std::string first_end;
  std::string last_bound;
  MORTISE_RETURN_IF_ERROR(
      context.counts->visit(range.lower, [&](std::string_view bound, uint64_t keys) {
        if (visited > 0 && !range.upper.empty() && bound >= range.upper) return false;
        if (visited == 1) first_end.assign(bound);
        if (visited > 1) whole += last_keys;
        ++visited;
        last_bound.assign(bound);
        last_keys = keys;
        return true;
      }));
  if (visited <= 1) return walk(context, range.lower, range.upper, count);
  MORTISE_RETURN_IF_ERROR(walk(context, range.lower, first_end, count));
  if (range.upper.empty()) {
    whole += last_keys;
  } else {
    MORTISE_RETURN_IF_ERROR(walk(context, last_bound, range.upper, count));
  }
  *count += static_cast<int64_t>(whole);
  return Status();
}

}  // namespace mortise::mvcc
