// etcdserverpb.KV.RangeStream: a range in chunks, all at the revision of the first one.
#include <algorithm>
#include <limits>
#include <mutex>

#include "host/api/methods.h"
#include "host/api/read_view.h"
#include "host/api/txn_check.h"

namespace mortise::api {
namespace {

constexpr int64_t kFirstChunkKeys = 10;
constexpr uint32_t kRangeResponse = 1;

RpcStatus check(const wire::RangeRequest& request) {
  RpcStatus status = check_range(request);
  if (!status.ok()) return status;
  bool key_order =
      request.sort_order == wire::kSortNone ||
      (request.sort_order == wire::kSortAscend && request.sort_target == wire::kSortKey);
  if (!key_order) return rpc_errors::kStreamSort;
  if (request.min_mod_revision != 0 || request.max_mod_revision != 0 ||
      request.min_create_revision != 0 || request.max_create_revision != 0) {
    return rpc_errors::kStreamFilter;
  }
  return RpcStatus();
}

// The parts of a RangeResponse in their order, as RangeStreamResponse.
ByteBuffer wrap(std::string_view header, std::string_view kvs, std::string_view tail) {
  size_t size = header.size() + kvs.size() + tail.size();
  ByteBuffer out(wire::bytes_field_size(kRangeResponse, size));
  char* start = out.prepare(wire::bytes_field_size(kRangeResponse, size));
  char* p = wire::write_tag(start, kRangeResponse, wire::Type::kBytes);
  out.commit(static_cast<size_t>(wire::write_varint(p, size) - start));
  out.append(header);
  out.append(kvs);
  out.append(tail);
  return out;
}

// Reads a chunk whenever the client can take one, each through a view of its own: a client that
// does not read holds no view open, only its place. The transport's calls come one at a time; the
// lock is for the proof that reads are linearizable, which comes on another thread.
class RangeStream : public rpc::ServerStream, public std::enable_shared_from_this<RangeStream> {
 public:
  RangeStream(const Context& context, const rpc::ClientStream& client,
              std::shared_ptr<auth::Warrant> warrant)
      : context_(context), client_(client), warrant_(std::move(warrant)) {}

  // There is one request, and no other message that would need credit.
  void start() {
    self_ = shared_from_this();
    client_.grant(context_.limits.request_bytes_max);
  }
  void on_message(rpc::Payload message) override {
    std::unique_lock lock(mutex_);
    payload_ = std::move(message);
    if (!wire::decode(payload_.view(), &request_)) return end(lock, rpc_errors::kMalformedStream);
    RpcStatus status = check(request_);
    if (!status.ok()) return end(lock, status);
    keys_left_ = request_.limit > 0 ? request_.limit : std::numeric_limits<int64_t>::max();
    chunk_keys_ = std::min(kFirstChunkKeys, keys_left_);
    if (request_.serializable || context_.node->is_linearizable()) return begin(lock, RpcStatus());
    lock.unlock();
    context_.node->when_linearizable([self = shared_from_this()](const RpcStatus& confirmed) {
      std::unique_lock again(self->mutex_);
      self->begin(again, confirmed);
    });
  }
  void on_half_close() override {}
  void on_grant(uint64_t bytes) override {
    std::unique_lock lock(mutex_);
    credit_ += static_cast<int64_t>(bytes);
    pump(lock);
  }
  void on_cancel() override {
    std::unique_lock lock(mutex_);
    end(lock, rpc_errors::kContextCanceled);
  }

 private:
  void begin(std::unique_lock<std::mutex>& lock, const RpcStatus& status) {
    if (!status.ok()) return end(lock, status);
    if (RpcStatus refused = permit(); !refused.ok()) return end(lock, refused);
    started_ = true;
    pump(lock);
  }
  RpcStatus permit() {
    if (!context_.auth_enabled()) return RpcStatus();
    auth::Needs needs;
    needs.add(request_);
    return warrant_->permit(needs);
  }
  // Users and roles are still those by which the whole was permitted.
  bool is_current() const {
    uint64_t revision = warrant_ == nullptr ? 0 : warrant_->identity().auth_revision;
    return revision == 0 || revision == context_.authority->revision();
  }
  void pump(std::unique_lock<std::mutex>& lock) {
    if (!started_ || ended_) return;
    bool done = false;
    RpcStatus status;
    while (status.ok() && !done && credit_ > 0) status = send_chunk(&done);
    if (done || !status.ok()) end(lock, status);
  }

  RpcStatus send_chunk(bool* done) {
    auto view = mvcc::View::open(*context_.store);
    if (!view.ok()) return internal(view.status());
    ReadView read(std::move(view).value(), nullptr);
    if (header_revision_ == 0) {
      header_revision_ = read.context.revision;
      if (request_.revision <= 0) request_.revision = header_revision_;
    }
    if (request_.count_only) return send_count(read.context, done);
    ByteBuffer kvs;
    mvcc::RangeChunk chunk;
    mvcc::ChunkLimit limit{chunk_keys_, 2 * target_bytes()};
    Status status = mvcc::range_chunk(read.context, request_, limit, &kvs, &chunk);
    if (!status.ok()) return internal(status);
    if (!chunk.rpc.ok()) return chunk.rpc;
    if (!is_current()) return rpc_errors::kAuthOldRevision;
    keys_sent_ += chunk.kv_count;
    keys_left_ -= chunk.kv_count;
    if (chunk.more) {
      key_ = std::move(chunk.last_key);
      key_.push_back('\0');
      request_.key = key_;
    }
    *done = !chunk.more || keys_left_ == 0;
    if (*done) return send_last(read.context, kvs.view(), chunk.more);
    adjust_chunk(kvs.size());
    send(wrap({}, kvs.view(), {}));
    return RpcStatus();
  }

  // Header, more and count come with the last chunk only; the count is of all keys of the range.
  RpcStatus send_last(const mvcc::ReadContext& context, std::string_view kvs, bool more) {
    mvcc::RangeResult result;
    if (more) {
      wire::RangeRequest rest = request_;
      rest.count_only = true;
      ByteBuffer none;
      Status status = mvcc::range(context, rest, &none, &result);
      if (!status.ok()) return internal(status);
      if (!result.rpc.ok()) return result.rpc;
    }
    result.more = more;
    result.count += keys_sent_;
    send_answer(kvs, result);
    return RpcStatus();
  }
  RpcStatus send_count(const mvcc::ReadContext& context, bool* done) {
    *done = true;
    ByteBuffer none;
    mvcc::RangeResult result;
    Status status = mvcc::range(context, request_, &none, &result);
    if (!status.ok()) return internal(status);
    if (!is_current()) return rpc_errors::kAuthOldRevision;
    if (result.rpc.ok()) send_answer({}, result);
    return result.rpc;
  }
  void send_answer(std::string_view kvs, const mvcc::RangeResult& result) {
    ByteBuffer header, tail;
    rpc::append_header(context_.header(header_revision_), &header);
    mvcc::append_range_tail(result, &tail);
    send(wrap(header.view(), kvs, tail.view()));
  }
  void send(ByteBuffer&& message) {
    credit_ -= static_cast<int64_t>(message.size());
    client_.send(std::move(message));
  }

  size_t target_bytes() const { return context_.limits.request_bytes_max; }
  // Chunks come near the target; within half and twice of it their length stays.
  void adjust_chunk(size_t bytes) {
    if (bytes < target_bytes() / 2) {
      if (chunk_keys_ <= std::numeric_limits<int64_t>::max() / 2) chunk_keys_ *= 2;
    } else if (bytes > 2 * target_bytes()) {
      chunk_keys_ = std::max<int64_t>(chunk_keys_ / 2, 1);
    }
    chunk_keys_ = std::min(chunk_keys_, keys_left_);
  }
  static RpcStatus internal(const Status& status) {
    return RpcStatus(RpcCode::kUnknown, "etcdserver: " + status.message());
  }
  void end(std::unique_lock<std::mutex>& lock, const RpcStatus& status) {
    if (ended_) return;
    ended_ = true;
    auto self = std::move(self_);
    lock.unlock();
    client_.end(status);
  }

  const Context& context_;
  rpc::ClientStream client_;
  const std::shared_ptr<auth::Warrant> warrant_;
  std::mutex mutex_;                   // Guards what follows.
  std::shared_ptr<RangeStream> self_;  // Keeps the stream until it has ended.
  rpc::Payload payload_;               // request_ points into it.
  wire::RangeRequest request_;
  std::string key_;  // Where the next chunk begins.
  int64_t header_revision_ = 0;
  int64_t chunk_keys_ = 0;
  int64_t keys_left_ = 0;
  int64_t keys_sent_ = 0;
  int64_t credit_ = 0;
  bool started_ = false;
  bool ended_ = false;
};

}  // namespace

rpc::ServerStream* kv_range_stream(const Context& context, const rpc::ClientStream& client,
                                   std::shared_ptr<auth::Warrant> warrant, RpcStatus*) {
  auto stream = std::make_shared<RangeStream>(context, client, std::move(warrant));
  stream->start();
  return stream.get();
}

}  // namespace mortise::api
