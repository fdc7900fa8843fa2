// etcdserverpb.Maintenance.Snapshot
#include "host/snapshot/snapshot.h"

#include <cmath>
#include <mutex>

#include "host/api/methods.h"
#include "host/snapshot/sha256.h"
#include "proto/rpc.pb.h"

namespace mortise::api {
namespace {

constexpr uint64_t kRequestCredit = 4096;  // The request is an empty message.
constexpr size_t kBlobBytes = 32 << 10;    // As in etcd.
constexpr size_t kStepBytes = 1 << 20;     // Then another snapshot has its turn.

// As etcd's log shows sizes: "20 kB", "1.5 MB".
std::string human_size(uint64_t bytes) {
  if (bytes < 10) return std::to_string(bytes) + " B";
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1000; value /= 1000) ++unit;
  value = std::floor(value * 10 + 0.5) / 10;
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.1f %s" : "%.0f %s", value, kUnits[unit]);
  return text;
}

// Sends one snapshot as fast as the client takes it. All work is done in short steps on the thread
// of the snapshots, and only while there is credit: a client that does not read costs the view of
// the store that its stream has open, and no thread.
class SnapshotStream : public rpc::ServerStream,
                       public std::enable_shared_from_this<SnapshotStream> {
 public:
  SnapshotStream(const Context& context, const rpc::ClientStream& client)
      : context_(context), client_(client) {}
  ~SnapshotStream() override { context_.open_snapshots->fetch_sub(1); }

  void start() {
    self_ = shared_from_this();
    client_.grant(kRequestCredit);
  }
  void on_message(rpc::Payload message) override {
    std::unique_lock lock(mutex_);
    if (ended_ || working_ || snapshot_ != nullptr) return;
    etcdserverpb::SnapshotRequest request;
    if (!parse(message.view(), &request)) return end(lock, rpc_errors::kMalformedStream);
    working_ = true;
    lock.unlock();
    // There a view of the store and the log's applied index are of one moment.
    if (context_.node->between_commits([self = shared_from_this()] { self->open(); })) return;
    lock.lock();
    end(lock, rpc_errors::kStopped);
  }
  void on_half_close() override {
    std::unique_lock lock(mutex_);
    if (!working_ && snapshot_ == nullptr) end(lock, rpc_errors::kMalformedStream);
  }
  void on_grant(uint64_t bytes) override {
    std::unique_lock lock(mutex_);
    credit_ += static_cast<int64_t>(bytes);
    if (ended_ || working_ || snapshot_ == nullptr || credit_ <= 0) return;
    working_ = true;
    lock.unlock();
    post();
  }
  void on_cancel() override {
    std::unique_lock lock(mutex_);
    end(lock, rpc_errors::kContextCanceled);
  }

 private:
  void open() {
    auto snapshot = snapshot::Snapshot::open(context_.store, kStorageVersion);
    std::unique_lock lock(mutex_);
    if (ended_) return;
    if (!snapshot.ok()) return end(lock, snapshot.status());
    snapshot_ = std::move(snapshot).value();
    lock.unlock();
    post();
  }
  void post() {
    if (context_.node->run_snapshot([self = shared_from_this()] { self->work(); })) return;
    std::unique_lock lock(mutex_);
    working_ = false;
    end(lock, rpc_errors::kStopped);
  }
  void work() {
    Status status = laid_out_ ? send_some() : lay_out_some();
    std::unique_lock lock(mutex_);
    if (!status.ok()) {
      end(lock, status);
      lock.lock();
    }
    if (ended_) {
      snapshot_.reset();
      return;
    }
    if (laid_out_ && credit_ <= 0) {
      working_ = false;
      return;
    }
    lock.unlock();
    post();
  }
  Status lay_out_some() {
    MORTISE_RETURN_IF_ERROR(snapshot_->lay_out(kStepBytes, &laid_out_));
    if (!laid_out_) return Status();
    total_ = static_cast<int64_t>(snapshot_->size());
    began_ = std::chrono::steady_clock::now();
    context_.node->log("info", "sending database snapshot to client",
                       {{"total-bytes", total_},
                        {"size", human_size(snapshot_->size())},
                        {"storage-version", std::string(kStorageVersion)}});
    return Status();
  }
  Status send_some() {
    for (size_t sent = 0; sent < kStepBytes; sent += kBlobBytes) {
      uint64_t left = snapshot_->bytes_left();
      if (left == 0) return send_digest();
      size_t bytes = std::min<uint64_t>(left, kBlobBytes);
      ByteBuffer response = begin_response(left - bytes, bytes);
      size_t blob_at = response.size();
      MORTISE_RETURN_IF_ERROR(snapshot_->read(bytes, &response));
      digest_.add(response.view().substr(blob_at));
      append_version(&response);
      if (!send(std::move(response))) return Status();
    }
    return Status();
  }
  Status send_digest() {
    context_.node->log(
        "info", "sending database sha256 checksum to client",
        {{"total-bytes", total_}, {"checksum-size", static_cast<int64_t>(snapshot::kSha256Bytes)}});
    ByteBuffer response = begin_response(0, snapshot::kSha256Bytes);
    response.append(digest_.finish());
    append_version(&response);
    send(std::move(response));
    context_.node->log("info", "successfully sent database snapshot to client",
                       {{"total-bytes", total_},
                        {"size", human_size(static_cast<uint64_t>(total_))},
                        {"took", go_duration(std::chrono::steady_clock::now() - began_)},
                        {"storage-version", std::string(kStorageVersion)}});
    std::unique_lock lock(mutex_);
    end(lock, RpcStatus());
    return Status();
  }
  // SnapshotResponse: remaining_bytes 2, blob 3, version 4. The blob's bytes are appended between
  // the two calls.
  static ByteBuffer begin_response(uint64_t remaining_bytes, size_t blob_bytes) {
    constexpr size_t kOtherBytesMax = 64;
    std::string head;
    wire::append_varint_field(&head, 2, remaining_bytes);
    wire::append_bytes_head(&head, 3, blob_bytes);
    ByteBuffer response(blob_bytes + kOtherBytesMax);
    response.append(head);
    return response;
  }
  static void append_version(ByteBuffer* response) {
    std::string version;
    wire::append_bytes_field(&version, 4, kStorageVersion);
    response->append(version);
  }
  // False if nothing more can be sent for now.
  bool send(ByteBuffer&& response) {
    std::lock_guard lock(mutex_);
    if (ended_) return false;
    credit_ -= static_cast<int64_t>(response.size());
    client_.send(std::move(response));
    return credit_ > 0;
  }
  // The last thing that a caller without a reference does: the stream may be gone afterwards.
  void end(std::unique_lock<std::mutex>& lock, const Status& status) {
    end(lock, RpcStatus(RpcCode::kUnknown, "etcdserver: " + status.message()));
  }
  void end(std::unique_lock<std::mutex>& lock, const RpcStatus& status) {
    if (!ended_) {
      ended_ = true;
      if (status.ok() && context_.metrics != nullptr) {
        context_.metrics->snapshots.observe(std::chrono::steady_clock::now() - start_);
      }
      if (!working_) snapshot_.reset();
      auto self = std::move(self_);
      lock.unlock();
      client_.end(status);
    } else {
      lock.unlock();
    }
  }

  const Context& context_;
  rpc::ClientStream client_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();

  std::mutex mutex_;
  std::shared_ptr<SnapshotStream> self_;  // Keeps the stream until it has ended.
  int64_t credit_ = 0;
  bool working_ = false;  // A step waits or runs; what follows is its own then.
  bool ended_ = false;

  std::unique_ptr<snapshot::Snapshot> snapshot_;
  snapshot::Sha256 digest_;
  bool laid_out_ = false;
  int64_t total_ = 0;
  std::chrono::steady_clock::time_point began_;
};

}  // namespace

rpc::ServerStream* maintenance_snapshot(const Context& context, const rpc::ClientStream& client,
                                        std::shared_ptr<auth::Warrant>, RpcStatus* refused) {
  if (context.open_snapshots->fetch_add(1) >= kOpenSnapshotsMax) {
    context.open_snapshots->fetch_sub(1);
    *refused = rpc_errors::kTooManyRequests;
    return nullptr;
  }
  auto stream = std::make_shared<SnapshotStream>(context, client);
  stream->start();
  return stream.get();
}

}  // namespace mortise::api
