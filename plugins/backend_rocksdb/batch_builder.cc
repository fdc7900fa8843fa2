#include "plugins/backend_rocksdb/batch_builder.h"

#include <rocksdb/iterator.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mortise/sdk/bytes.h"

namespace mortise::backend_rocksdb {
namespace {

// A range with more keys than this is deleted by a marker.
constexpr size_t kPointDeletesMax = 1024;
// Looking through the earlier operations of a commit for puts in a range is quadratic in the worst
// case; beyond this many steps ranges are deleted by markers, which need no look.
constexpr size_t kLookBackOpsMax = 1'000'000;

rocksdb::Slice slice(mortise_bytes b) {
  return rocksdb::Slice(reinterpret_cast<const char*>(b.data), b.size);
}
rocksdb::Slice slice(std::string_view v) { return rocksdb::Slice(v.data(), v.size()); }

class Builder {
 public:
  Builder(const Generation& generation, const mortise_write_op* ops, rocksdb::WriteBatch& batch)
      : generation_(generation), ops_(ops), batch_(batch) {}

  Status add(size_t at) {
    const mortise_write_op& op = ops_[at];
    rocksdb::ColumnFamilyHandle* keyspace = generation_.keyspace(op.keyspace);
    rocksdb::Status status;
    switch (op.kind) {
      case MORTISE_OP_PUT: status = batch_.Put(keyspace, slice(op.key), slice(op.value)); break;
      case MORTISE_OP_DELETE: status = batch_.Delete(keyspace, slice(op.key)); break;
      default: return add_range(at);
    }
    return from_rocksdb(status, "cannot add to a commit of", generation_.path());
  }

 private:
  Status add_range(size_t at);
  Status range_end(size_t at, std::string& out) const;
  bool in_range(const mortise_write_op& op, const mortise_write_op& range,
                std::string_view end) const {
    if (op.kind != MORTISE_OP_PUT || op.keyspace != range.keyspace) return false;
    const std::string_view key = sdk::view(op.key);
    return key >= sdk::view(range.key) && key < end;
  }
  // Adds deletes for the range's keys in the store and in this commit so far. False if they are too
  // many; those added do no harm then.
  Status add_point_deletes(size_t at, std::string_view end, bool& complete);

  const Generation& generation_;
  const mortise_write_op* const ops_;
  rocksdb::WriteBatch& batch_;
  size_t looked_back_ = 0;
};

Status Builder::add_range(size_t at) {
  const mortise_write_op& op = ops_[at];
  std::string open_end;
  std::string_view end = sdk::view(op.value);
  if (end.empty()) {
    if (Status status = range_end(at, open_end); !status.ok()) return status;
    end = open_end;
  }
  if (sdk::view(op.key) >= end) return Status();
  bool complete = false;
  if (Status status = add_point_deletes(at, end, complete); !status.ok()) return status;
  if (complete) return Status();
  return from_rocksdb(
      batch_.DeleteRange(generation_.keyspace(op.keyspace), slice(op.key), slice(end)),
      "cannot add to a commit of", generation_.path());
}

// RocksDB knows no range without an end: the end is what follows the greatest key there can be, in
// the store or in this commit before the range.
Status Builder::range_end(size_t at, std::string& out) const {
  const mortise_write_op& range = ops_[at];
  const std::unique_ptr<rocksdb::Iterator> it(
      generation_.db().NewIterator(rocksdb::ReadOptions(), generation_.keyspace(range.keyspace)));
  it->SeekToLast();
  bool found = it->Valid();
  if (found) out.assign(it->key().data(), it->key().size());
  if (!it->status().ok()) return from_rocksdb(it->status(), "cannot read", generation_.path());
  for (size_t i = 0; i < at; ++i) {
    if (ops_[i].kind != MORTISE_OP_PUT || ops_[i].keyspace != range.keyspace) continue;
    const std::string_view key = sdk::view(ops_[i].key);
    if (!found || key > out) out.assign(key);
    found = true;
  }
  if (found) out.push_back('\0');
  return Status();
}

Status Builder::add_point_deletes(size_t at, std::string_view end, bool& complete) {
  const mortise_write_op& range = ops_[at];
  rocksdb::ColumnFamilyHandle* keyspace = generation_.keyspace(range.keyspace);
  looked_back_ += at;
  if (looked_back_ > kLookBackOpsMax) return Status();
  rocksdb::ReadOptions options;
  const rocksdb::Slice upper = slice(end);
  options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> it(generation_.db().NewIterator(options, keyspace));
  size_t count = 0;
  rocksdb::Status added;
  for (it->Seek(slice(range.key)); it->Valid() && added.ok(); it->Next()) {
    if (++count > kPointDeletesMax) return Status();
    added = batch_.Delete(keyspace, it->key());
  }
  if (!it->status().ok()) return from_rocksdb(it->status(), "cannot read", generation_.path());
  for (size_t i = 0; i < at && added.ok(); ++i) {
    if (!in_range(ops_[i], range, end)) continue;
    if (++count > kPointDeletesMax) return Status();
    added = batch_.Delete(keyspace, slice(ops_[i].key));
  }
  if (!added.ok()) return from_rocksdb(added, "cannot add to a commit of", generation_.path());
  complete = true;
  return Status();
}

// Positions of the operations by keyspace and key; those on the same row stay in array order.
std::vector<uint32_t> by_row(const mortise_write_op* ops, size_t count) {
  std::array<size_t, MORTISE_KEYSPACE_COUNT_MAX + 1> begin{};
  for (size_t i = 0; i < count; ++i) ++begin[ops[i].keyspace + 1];
  for (size_t k = 1; k < begin.size(); ++k) begin[k] += begin[k - 1];
  std::vector<uint32_t> order(count);
  auto next = begin;
  for (size_t i = 0; i < count; ++i) order[next[ops[i].keyspace]++] = static_cast<uint32_t>(i);
  const auto before = [ops](uint32_t a, uint32_t b) {
    const int compared = sdk::view(ops[a].key).compare(sdk::view(ops[b].key));
    return compared != 0 ? compared < 0 : a < b;
  };
  for (size_t k = 0; k + 1 < begin.size(); ++k) {
    const auto first = order.begin() + static_cast<std::ptrdiff_t>(begin[k]);
    const auto last = order.begin() + static_cast<std::ptrdiff_t>(begin[k + 1]);
    // A keyspace whose rows come in order, as those of a history do, costs one look.
    if (!std::is_sorted(first, last, before)) std::sort(first, last, before);
  }
  return order;
}

Status invalid_op(size_t at, std::string_view why) {
  return failure(MORTISE_E_INVALID, "operation " + std::to_string(at) + ": " + std::string(why));
}

}  // namespace

Status check_ops(const mortise_write_op* ops, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const mortise_write_op& op = ops[i];
    if (op.keyspace >= MORTISE_KEYSPACE_COUNT_MAX) return invalid_op(i, "no such keyspace");
    if (op.key.size > MORTISE_KEY_BYTES_MAX) return invalid_op(i, "key too long");
    switch (op.kind) {
      case MORTISE_OP_PUT:
        if (op.key.size == 0) return invalid_op(i, "empty key");
        if (op.value.size > MORTISE_VALUE_BYTES_MAX) return invalid_op(i, "value too long");
        break;
      case MORTISE_OP_DELETE:
        if (op.key.size == 0) return invalid_op(i, "empty key");
        break;
      case MORTISE_OP_DELETE_RANGE:
        if (op.value.size > MORTISE_KEY_BYTES_MAX) return invalid_op(i, "end key too long");
        break;
      default: return invalid_op(i, "unknown kind");
    }
  }
  return Status();
}

Status add_ops(const Generation& generation, const mortise_write_op* ops, size_t count,
               rocksdb::WriteBatch& batch) {
  Builder builder(generation, ops, batch);
  const bool has_range = std::any_of(ops, ops + count, [](const mortise_write_op& op) {
    return op.kind == MORTISE_OP_DELETE_RANGE;
  });
  if (!has_range) {
    for (const uint32_t at : by_row(ops, count)) {
      if (Status status = builder.add(at); !status.ok()) return status;
    }
    return Status();
  }
  for (size_t i = 0; i < count; ++i) {
    if (Status status = builder.add(i); !status.ok()) return status;
  }
  return Status();
}

}  // namespace mortise::backend_rocksdb
