// The write side of the store: puts, deletes and txns of a batch of log entries, gathered for one
// backend commit.
//
// Owned and called by the apply thread alone. A batch is begin(), any operations, commit().
// Operations see the committed store with the batch's own writes laid over it. What a client did
// wrong comes back in the outcome; a Status that is not ok means that the store failed and the node
// must stop.
//
// Invariants: revisions have no hole; an operation that fails for the client changes nothing; what
// commit() writes is a function of the committed store and the operations alone.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "host/base/byte_buffer.h"
#include "host/base/metrics.h"
#include "host/base/rpc_error.h"
#include "host/mvcc/events.h"
#include "host/mvcc/key_counter.h"
#include "host/mvcc/range.h"
#include "host/mvcc/view.h"
#include "host/wire/key_value.h"
#include "host/wire/kv_requests.h"

namespace mortise::mvcc {

// The answer of an operation: the response without its `header` field, which the caller puts in
// front.
struct Outcome {
  RpcStatus rpc;
  int64_t revision = 0;  // For the header.
  ByteBuffer body;
};

// What the operations were, since the start. Any thread reads it.
struct WriteCounters {
  Counter ranges;  // Of txns, and reads for what a put answers or keeps.
  Counter puts;
  Counter deletes;
  Counter txns;  // Of more than one operation.
  Counter put_bytes;
  std::atomic<uint64_t> keys{0};  // That there are now, as of the last commit.
};

class Writer {
 public:
  // `lease_exists` answers for the state after the operations applied so far. `keep_prev` says
  // whether events should carry the previous KeyValue.
  Writer(store::Store* store, std::function<bool(int64_t)> lease_exists,
         std::function<bool()> keep_prev);

  // Reads the state and the key counts of the store.
  Status open();

  Status begin();
  // Between batches: lets go of the view that the next batch would read.
  Status refresh();
  // `respond` is false where nobody waits for the answer.
  Status put(const wire::PutRequest& request, bool respond, Outcome* outcome);
  Status delete_range(const wire::DeleteRangeRequest& request, bool respond, Outcome* outcome);
  Status txn(const wire::TxnRequest& request, bool respond, Outcome* outcome);
  // The keys attached to the lease now, sorted.
  Result<std::vector<std::string>> attached_keys(int64_t lease);
  // Deletes the keys attached to the lease, sorted, in one revision, and its row.
  Status revoke_lease(int64_t lease, Outcome* outcome);
  // Marks everything below `revision` as gone for readers; rows are removed by a Compactor.
  RpcStatus compact(int64_t revision);
  // Rows of other keyspaces in the same commit. Copied.
  void put_row(store::Keyspace keyspace, std::string_view key, std::string_view value);
  void remove_row(store::Keyspace keyspace, std::string_view key);
  // The batch becomes visible. The events go to the caller; may be called again after more
  // operations of the same batch have followed.
  Status commit(uint64_t applied_index, uint64_t applied_term, std::shared_ptr<EventBatch>* events);

  int64_t revision() const { return state_.revision; }
  int64_t compacted() const { return state_.compacted; }
  uint64_t key_count() const { return counter_.total(); }
  const WriteCounters& counters() const { return counted_; }
  size_t pending_bytes() const { return arena_ ? arena_->bytes_reserved() : 0; }
  size_t pending_ops() const { return batch_.ops().size(); }
  // The rows of the batch so far, as they will be committed.
  std::span<const mortise_write_op> pending() const { return batch_.ops(); }
  // The store as it was before the batch.
  const store::Reader& reader() const { return reader_; }
  // Is `revision` inside the batch, so that reading at it needs a commit first?
  bool is_pending(int64_t revision) const { return revision > committed_.revision; }

 private:
  struct Previous {
    bool found = false;
    std::string_view bytes;  // Lives until the next read.
    wire::KeyValue kv;
  };

  ReadContext context() const;
  Status previous(std::string_view key, Previous* out);
  // One change; the main revision is state_.revision + 1 and becomes the store's with
  // finish_changes().
  void set_previous(const Previous& before, Event* event);
  void write_put(const wire::KeyValue& kv, const Previous& before);
  Status write_delete(std::string_view key);
  void attach(int64_t lease, std::string_view key, bool attached);
  void write_version(const wire::KeyValue& kv, std::string_view stored, bool tombstone);
  int64_t finish_changes();
  uint64_t operations() const {
    return counted_.ranges.value() + counted_.puts.value() + counted_.deletes.value();
  }
  int64_t visible_revision() const { return state_.revision + (sub_ > 0 ? 1 : 0); }

  Status check_put(const wire::PutRequest& request, RpcStatus* rpc);
  Status do_put(const wire::PutRequest& request, bool respond, std::string* body);
  Status do_delete(const wire::DeleteRangeRequest& request, bool respond, std::string* body);
  Status choose_path(const wire::TxnRequest& request, std::vector<bool>* path);
  Status check_txn(const wire::TxnRequest& request, const std::vector<bool>& path, size_t* at,
                   RpcStatus* rpc);
  Status run_txn(const wire::TxnRequest& request, const std::vector<bool>& path, size_t* at,
                 bool respond, std::string* body);
  Status run_op(const wire::RequestOp& op, const std::vector<bool>& path, size_t* at, bool respond,
                std::string* body);

  store::Store* store_;
  std::function<bool(int64_t)> lease_exists_;
  std::function<bool()> keep_prev_;
  bool keeping_prev_ = false;

  store::Reader reader_;
  State committed_;
  State state_;
  int64_t sub_ = 0;
  KeyCounter counter_;
  Overlay overlay_;
  std::map<std::string_view, bool> lease_rows_;  // lease_keys rows of the batch: put or removed.
  std::shared_ptr<Arena> arena_;
  store::WriteBatch batch_;
  std::vector<Event> events_;
  WriteCounters counted_;
};

// Evaluates a txn without writes on any thread; `request` has range operations only.
Status read_only_txn(const ReadContext& context, const wire::TxnRequest& request, Outcome* outcome);

}  // namespace mortise::mvcc
