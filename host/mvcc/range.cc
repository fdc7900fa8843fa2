#include "host/mvcc/range.h"

#include <algorithm>
#include <limits>

#include "host/base/arena.h"
#include "host/mvcc/key_counter.h"
#include "host/mvcc/range_scan.h"
#include "host/wire/key_value.h"

namespace mortise::mvcc {
namespace {

constexpr uint32_t kRangeResponseKvs = 2;
constexpr uint32_t kRangeResponseMore = 3;
constexpr uint32_t kRangeResponseCount = 4;

bool default_order(const wire::RangeRequest& r) {
  return r.sort_order == wire::kSortNone ||
         (r.sort_target == wire::kSortKey && r.sort_order == wire::kSortAscend);
}
bool has_filters(const wire::RangeRequest& r) {
  return r.min_mod_revision != 0 || r.max_mod_revision != 0 || r.min_create_revision != 0 ||
         r.max_create_revision != 0;
}
// etcd sorts ascending by a target other than the key even where no order was asked for.
bool needs_sort(const wire::RangeRequest& r) {
  return !default_order(r) || r.sort_target != wire::kSortKey;
}

// Sorted by value, keys_only shows leases, too: etcd reads the values then, else its index alone.
bool revisions_only(const wire::RangeRequest& r) {
  return r.keys_only && r.sort_target != wire::kSortValue;
}
Want wanted(const wire::RangeRequest& r) {
  return revisions_only(r) ? Want::kRevisions : Want::kKeyValue;
}

void append_kv(std::string_view key_value, ByteBuffer* out) {
  char* start = out->prepare(key_value.size() + 12);
  out->commit(
      static_cast<size_t>(wire::write_bytes_field(start, kRangeResponseKvs, key_value) - start));
}

void append_key_only(std::string_view key_value, bool keep_lease, ByteBuffer* out) {
  wire::KeyValue kv;
  wire::decode_key_value(key_value, &kv);
  kv.value = {};
  if (!keep_lease) kv.lease = 0;
  size_t size = wire::key_value_size(kv);
  char* start = out->prepare(size + 12);
  char* p = wire::write_tag(start, kRangeResponseKvs, wire::Type::kBytes);
  p = wire::write_key_value(wire::write_varint(p, size), kv);
  out->commit(static_cast<size_t>(p - start));
}

void append_result(const wire::RangeRequest& request, std::string_view key_value, ByteBuffer* out,
                   RangeResult* result) {
  ++result->kv_count;
  if (request.keys_only) {
    append_key_only(key_value, /*keep_lease=*/!revisions_only(request), out);
  } else {
    append_kv(key_value, out);
  }
}

struct SortRow {
  wire::KeyValue kv;
  std::string_view bytes;
};

bool passes(const wire::RangeRequest& r, const wire::KeyValue& kv) {
  return (r.max_mod_revision == 0 || kv.mod_revision <= r.max_mod_revision) &&
         (r.min_mod_revision == 0 || kv.mod_revision >= r.min_mod_revision) &&
         (r.max_create_revision == 0 || kv.create_revision <= r.max_create_revision) &&
         (r.min_create_revision == 0 || kv.create_revision >= r.min_create_revision);
}

int compare_by(int32_t target, const wire::KeyValue& a, const wire::KeyValue& b) {
  auto order = [](int64_t x, int64_t y) { return x < y ? -1 : x > y ? 1 : 0; };
  switch (target) {
    case wire::kSortVersion: return order(a.version, b.version);
    case wire::kSortCreate: return order(a.create_revision, b.create_revision);
    case wire::kSortMod: return order(a.mod_revision, b.mod_revision);
    case wire::kSortValue: return a.value.compare(b.value);
    default: return a.key.compare(b.key);
  }
}

void sort_rows(const wire::RangeRequest& r, std::vector<SortRow>* rows) {
  bool descend = r.sort_order == wire::kSortDescend;
  std::stable_sort(rows->begin(), rows->end(), [&](const SortRow& a, const SortRow& b) {
    int order = compare_by(r.sort_target, a.kv, b.kv);
    return descend ? order > 0 : order < 0;
  });
}

Status count_rest(const ReadContext& context, const KeyRange& bounds, int64_t revision,
                  RangeScan* scan, RangeResult* result) {
  if (revision == context.revision) return count_current(context, bounds, &result->count);
  while (scan->skip()) ++result->count;
  return scan->status();
}

// In key order, straight into the response.
Status stream_rows(const ReadContext& context, const wire::RangeRequest& request,
                   const KeyRange& bounds, int64_t revision, ByteBuffer* out, RangeResult* result) {
  MORTISE_ASSIGN_OR_RETURN(auto scan, RangeScan::open(context, bounds, revision, wanted(request)));
  int64_t limit = request.limit > 0 ? request.limit : std::numeric_limits<int64_t>::max();
  std::string_view bytes;
  const bool filtering = has_filters(request);
  while (scan.next(&bytes)) {
    ++result->count;
    if (filtering) {
      wire::KeyValue kv;
      if (!wire::decode_key_value(bytes, &kv)) return corruption("a stored KeyValue is malformed");
      if (!passes(request, kv)) continue;
    }
    if (result->kv_count == limit) {
      result->more = true;
      return count_rest(context, bounds, revision, &scan, result);
    }
    append_result(request, bytes, out, result);
    if (out->size() > kResponseBytesMax) return Status();
  }
  return scan.status();
}

// Rows on their way to being sorted. With a limit it holds little more than the best of them.
class SortedRows {
 public:
  explicit SortedRows(const wire::RangeRequest& request)
      : request_(request),
        limit_(request.limit > 0 ? static_cast<size_t>(request.limit)
                                 : std::numeric_limits<size_t>::max()) {}

  size_t size() const { return rows_.size(); }
  Status add(std::string_view key_value) {
    SortRow row;
    if (!wire::decode_key_value(key_value, &row.kv))
      return corruption("a stored KeyValue is malformed");
    if (!passes(request_, row.kv)) return Status();
    row.bytes = keep(row.kv, key_value);
    wire::decode_key_value(row.bytes, &row.kv);  // Its views are of the copy from here on.
    rows_.push_back(row);
    bytes_since_prune_ += row.bytes.size();
    if (bytes_since_prune_ > kPruneBytes && rows_.size() / 2 > limit_) prune();
    return Status();
  }
  // Appends the first `limit` rows to the response.
  void append_to(ByteBuffer* out, RangeResult* result) {
    sort_rows(request_, &rows_);
    result->more = rows_.size() > limit_;
    if (result->more) rows_.resize(limit_);
    for (const SortRow& row : rows_) {
      if (out->size() > kResponseBytesMax) return;
      append_result(request_, row.bytes, out, result);
    }
  }

 private:
  static constexpr size_t kPruneBytes = 1 << 20;

  // A copy of what the answer will show.
  std::string_view keep(wire::KeyValue kv, std::string_view key_value) {
    if (!revisions_only(request_)) return arena_.copy(key_value);
    kv.value = {};
    kv.lease = 0;
    size_t size = wire::key_value_size(kv);
    char* p = arena_.allocate(size);
    wire::write_key_value(p, kv);
    return {p, size};
  }

  // One row more than the limit stays, which says that there are more.
  void prune() {
    sort_rows(request_, &rows_);
    rows_.resize(limit_ + 1);
    Arena arena;
    for (SortRow& row : rows_) {
      row.bytes = arena.copy(row.bytes);
      wire::decode_key_value(row.bytes, &row.kv);
    }
    std::swap(arena_, arena);
    bytes_since_prune_ = 0;
  }

  const wire::RangeRequest& request_;
  const size_t limit_;
  Arena arena_;
  std::vector<SortRow> rows_;
  size_t bytes_since_prune_ = 0;
};

// Through memory, for orders other than the key's.
Status sort_keys(const ReadContext& context, const wire::RangeRequest& request,
                 const KeyRange& bounds, int64_t revision, ByteBuffer* out, RangeResult* result) {
  MORTISE_ASSIGN_OR_RETURN(auto scan, RangeScan::open(context, bounds, revision, wanted(request)));
  // Where no order was given etcd reads limit + 1 keys and sorts only those.
  bool all = !default_order(request) || has_filters(request) || request.limit <= 0;
  SortedRows rows(request);
  std::string_view bytes;
  while (scan.next(&bytes)) {
    ++result->count;
    MORTISE_RETURN_IF_ERROR(rows.add(bytes));
    if (!all && static_cast<int64_t>(rows.size()) > request.limit) {
      MORTISE_RETURN_IF_ERROR(count_rest(context, bounds, revision, &scan, result));
      break;
    }
  }
  MORTISE_RETURN_IF_ERROR(scan.status());
  rows.append_to(out, result);
  return Status();
}

Status count_only(const ReadContext& context, const KeyRange& bounds, int64_t revision,
                  RangeResult* result) {
  if (revision == context.revision) return count_current(context, bounds, &result->count);
  MORTISE_ASSIGN_OR_RETURN(auto scan, RangeScan::open(context, bounds, revision, Want::kNothing));
  return count_rest(context, bounds, revision, &scan, result);
}

Status single_key(const ReadContext& context, const wire::RangeRequest& request, ByteBuffer* out,
                  RangeResult* result) {
  bool found;
  std::string_view bytes;
  MORTISE_RETURN_IF_ERROR(get_current(context, request.key, &found, &bytes));
  if (!found) return Status();
  result->count = 1;
  if (request.count_only) return Status();
  if (has_filters(request)) {
    wire::KeyValue kv;
    if (!wire::decode_key_value(bytes, &kv)) return corruption("a stored KeyValue is malformed");
    if (!passes(request, kv)) return Status();
  }
  append_result(request, bytes, out, result);
  return Status();
}

// Not ok if the revision asked for cannot be read.
RpcStatus choose_revision(const ReadContext& context, int64_t wanted, int64_t* revision) {
  if (wanted > context.revision) return rpc_errors::kFutureRevision;
  *revision = wanted > 0 ? wanted : context.revision;
  if (*revision < context.compacted) return rpc_errors::kCompacted;
  return RpcStatus();
}

}  // namespace

Status range(const ReadContext& context, const wire::RangeRequest& request, ByteBuffer* out,
             RangeResult* result) {
  *result = RangeResult();
  int64_t revision = 0;
  result->rpc = choose_revision(context, request.revision, &revision);
  if (!result->rpc.ok()) return Status();
  KeyRange bounds = key_range(request.key, request.range_end);
  if (bounds.empty) return Status();
  if (bounds.single && revision == context.revision)
    return single_key(context, request, out, result);
  if (request.count_only) return count_only(context, bounds, revision, result);
  if (needs_sort(request)) return sort_keys(context, request, bounds, revision, out, result);
  return stream_rows(context, request, bounds, revision, out, result);
}

Status range_chunk(const ReadContext& context, const wire::RangeRequest& request,
                   const ChunkLimit& limit, ByteBuffer* out, RangeChunk* chunk) {
  *chunk = RangeChunk();
  int64_t revision = 0;
  chunk->rpc = choose_revision(context, request.revision, &revision);
  if (!chunk->rpc.ok()) return Status();
  KeyRange bounds = key_range(request.key, request.range_end);
  if (bounds.empty) return Status();
  RangeResult result;
  if (bounds.single) {
    MORTISE_RETURN_IF_ERROR(range(context, request, out, &result));
    chunk->kv_count = result.kv_count;
    return Status();
  }
  MORTISE_ASSIGN_OR_RETURN(auto scan, RangeScan::open(context, bounds, revision, wanted(request)));
  const bool sorting = needs_sort(request);
  Arena arena;
  std::vector<SortRow> rows;
  size_t bytes_read = 0;
  std::string_view bytes;
  while (scan.next(&bytes)) {
    SortRow row;
    row.bytes = sorting ? arena.copy(bytes) : bytes;
    if (!wire::decode_key_value(row.bytes, &row.kv))
      return corruption("a stored KeyValue is malformed");
    if (sorting) {
      rows.push_back(row);
    } else {
      append_result(request, bytes, out, &result);
    }
    bytes_read += bytes.size();
    if (++chunk->kv_count < limit.keys && bytes_read <= limit.bytes) continue;
    chunk->last_key.assign(row.kv.key);
    chunk->more = scan.skip();
    break;
  }
  MORTISE_RETURN_IF_ERROR(scan.status());
  if (sorting) sort_rows(request, &rows);
  for (const SortRow& row : rows) append_result(request, row.bytes, out, &result);
  return Status();
}

void append_range_tail(const RangeResult& result, ByteBuffer* out) {
  char* start = out->prepare(24);
  char* p = wire::write_varint_field(start, kRangeResponseMore, result.more ? 1 : 0);
  p = wire::write_varint_field(p, kRangeResponseCount, static_cast<uint64_t>(result.count));
  out->commit(static_cast<size_t>(p - start));
}

}  // namespace mortise::mvcc
