// Range over the keys at any kept revision, encoded as it is read: the stored KeyValue bytes go
// into the response without being parsed unless a filter, a sort or keys_only needs their fields.
#pragma once

#include <limits>
#include <string>

#include "host/base/byte_buffer.h"
#include "host/base/rpc_error.h"
#include "host/mvcc/view.h"
#include "host/wire/kv_requests.h"

namespace mortise::mvcc {

// No message can be larger; a range that is stops there, and its caller refuses the response.
constexpr size_t kResponseBytesMax = std::numeric_limits<int32_t>::max();

struct RangeResult {
  RpcStatus rpc;  // kCompacted or kFutureRevision; nothing was written then.
  int64_t count = 0;
  int64_t kv_count = 0;
  bool more = false;
};

// Appends the `kvs` fields of a RangeResponse to `out`. Any thread, with a context of its own.
Status range(const ReadContext& context, const wire::RangeRequest& request, ByteBuffer* out,
             RangeResult* result);

// A part of a range in key order that its reader takes piece by piece.
struct ChunkLimit {
  int64_t keys = 1;
  size_t bytes = 0;  // No further key once more than this was read.
};
struct RangeChunk {
  RpcStatus rpc;  // As in RangeResult.
  int64_t kv_count = 0;
  bool more = false;     // Keys of the range follow; then last_key is set.
  std::string last_key;  // The last one in the chunk.
};

// Appends the `kvs` fields of the first keys of the range, sorted among themselves if the request
// names a target; its limit and filters are not looked at.
Status range_chunk(const ReadContext& context, const wire::RangeRequest& request,
                   const ChunkLimit& limit, ByteBuffer* out, RangeChunk* chunk);

// Appends `more` and `count`, the fields behind the kvs.
void append_range_tail(const RangeResult& result, ByteBuffer* out);

// Number of keys in the range at the newest revision: walks the ends, sums whole blocks in between.
Status count_current(const ReadContext& context, const KeyRange& range, int64_t* count);

// The block counts stored beside the keys, read through the same view.
class StoredBlockCounts : public BlockCounts {
 public:
  explicit StoredBlockCounts(const store::Reader* reader) : reader_(reader) {}
  Status visit(std::string_view lower,
               const std::function<bool(std::string_view, uint64_t)>& visit) const override;

 private:
  const store::Reader* reader_;
};

}  // namespace mortise::mvcc
