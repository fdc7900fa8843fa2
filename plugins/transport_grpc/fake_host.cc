#include "plugins/transport_grpc/fake_host.h"

#include <chrono>
#include <cstring>

namespace mortise::transport_grpc {
namespace {

// Only a test that fails gets near it.
constexpr std::chrono::seconds kLongTime{60};
const char* const kNoHttpPaths[] = {nullptr};

FakeCaller copy_of(const mortise_caller* caller) {
  return {caller->flags,
          std::string(sdk::view(caller->remote)),
          std::string(sdk::view(caller->token)),
          std::string(sdk::view(caller->tls_common_name)),
          std::string(sdk::view(caller->client_api_version)),
          caller->timeout_ns};
}

}  // namespace

FakeCall::FakeCall(FakeHost* host, const mortise_caller* caller_, mortise_buffer request_,
                   mortise_done_fn done, void* context)
    : caller(copy_of(caller_)), request(request_), host_(host), done_(done), context_(context) {}

void FakeCall::answer(mortise_rpc_code code, std::string_view message, sdk::Buffer body) {
  EXPECT_FALSE(done_begun_.exchange(true)) << "answered twice";
  // The transport may report that it has drained before this returns.
  --host_->open_handles_;
  done_(context_, code, sdk::bytes(message), body.release());
  done_returned_ = true;
  self_.reset();
}

void FakeCall::cancel() {
  EXPECT_FALSE(done_returned_) << "cancel() after done has returned";
  std::lock_guard lock(mutex_);
  cancelled_ = true;
  changed_.notify_all();
}

bool FakeCall::wait_cancelled() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kLongTime, [this] { return cancelled_; });
}

bool FakeCall::cancelled() {
  std::lock_guard lock(mutex_);
  return cancelled_;
}

class FakeStream::Use {
 public:
  explicit Use(FakeStream* stream) : stream_(stream->self_) {
    EXPECT_FALSE(stream_->end_begun_) << "a call after on_end has begun";
    EXPECT_EQ(stream_->users_.fetch_add(1), 0) << "two threads in one stream";
  }
  ~Use() { --stream_->users_; }

 private:
  // The host may end the stream in here.
  const std::shared_ptr<FakeStream> stream_;
};

FakeStream::FakeStream(FakeHost* host, const mortise_caller* caller_,
                       const mortise_stream_events* events, void* context)
    : caller(copy_of(caller_)), host_(host), events_(*events), context_(context) {}

void FakeStream::end(mortise_rpc_code code, std::string_view text) {
  const std::shared_ptr<FakeStream> keep = self_;
  // The transport may be inside of the handle while the end begins, but not once on_end has
  // returned; and it may report that it has drained before that.
  --host_->open_handles_;
  events_.on_end(context_, code, sdk::bytes(text));
  EXPECT_FALSE(end_begun_.exchange(true)) << "ended twice";
  self_.reset();
}

bool FakeStream::wait(const std::function<bool()>& condition) {
  std::unique_lock lock(mutex);
  return changed.wait_for(lock, kLongTime, condition);
}

void FakeStream::changed_now() {
  changed.notify_all();
  if (on_event) on_event(*this);
}

FakeHost::FakeHost() {
  host_.struct_size = sizeof(host_);
  host_.name = "fake-host";
  host_.version = "0";
  host_.impl = this;
  host_.get = &get;
  log_ = {sizeof(log_), 0, &log_enabled, &log_write};
  rpc.struct_size = sizeof(rpc);
  rpc.request_bytes_max = 8 << 20;
  rpc.concurrent_streams_max = 10000;
  rpc.keepalive_min_time_ns = 5'000'000'000;
  rpc.keepalive_interval_ns = 7'200'000'000'000;
  rpc.keepalive_timeout_ns = 20'000'000'000;
  rpc.call = &call;
  rpc.cancel = &cancel;
  rpc.stream_open = &stream_open;
  rpc.stream_send = &stream_send;
  rpc.stream_half_close = &stream_half_close;
  rpc.stream_grant = &stream_grant;
  rpc.stream_cancel = &stream_cancel;
  rpc.transport_drained = &transport_drained;
  thread_ = std::thread([this] { run_posted(); });
}

FakeHost::~FakeHost() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
  EXPECT_EQ(open_handles_, 0) << "the transport went away with calls of the host open";
}

void FakeHost::add_unary(std::string path, CallBehaviour behaviour, uint32_t flags) {
  paths_.push_back(std::move(path));
  const auto id = static_cast<uint32_t>(methods_.size());
  methods_.push_back({id, MORTISE_UNARY, flags, 0, paths_.back().c_str(), kNoHttpPaths});
  call_behaviours_.push_back(std::move(behaviour));
  stream_behaviours_.push_back({});
}

void FakeHost::add_stream(std::string path, mortise_method_kind kind, StreamBehaviour behaviour) {
  paths_.push_back(std::move(path));
  const auto id = static_cast<uint32_t>(methods_.size());
  methods_.push_back({id, kind, 0, 0, paths_.back().c_str(), kNoHttpPaths});
  call_behaviours_.push_back({});
  stream_behaviours_.push_back(std::move(behaviour));
}

const mortise_host* FakeHost::host() {
  rpc.methods = methods_.data();
  rpc.method_count = static_cast<uint32_t>(methods_.size());
  return &host_;
}

void FakeHost::post(std::function<void()> work) {
  std::lock_guard lock(mutex_);
  posted_.push_back(std::move(work));
  changed_.notify_all();
}

void FakeHost::run_posted() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !posted_.empty(); });
    if (posted_.empty()) return;
    const std::function<void()> work = std::move(posted_.front());
    posted_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

bool FakeHost::wait_drained() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kLongTime, [this] { return drained_; });
}

bool FakeHost::drained() {
  std::lock_guard lock(mutex_);
  return drained_;
}

const void* FakeHost::get(const mortise_host* host, const char* id) {
  if (std::strcmp(id, MORTISE_HOST_RPC_ID) == 0) return &of(host)->rpc;
  if (std::strcmp(id, MORTISE_HOST_LOG_ID) == 0) return &of(host)->log_;
  return nullptr;
}

mortise_status FakeHost::call(const mortise_host* host, uint32_t method,
                              const mortise_caller* caller, mortise_buffer request,
                              mortise_done_fn done, void* context, mortise_call** out) {
  FakeHost* self = of(host);
  auto call = std::make_shared<FakeCall>(self, caller, request, done, context);
  if (out != nullptr) *out = reinterpret_cast<mortise_call*>(call.get());
  call->self_ = call;
  ++self->open_handles_;
  const mortise_status status = self->call_behaviours_[method](call);
  if (status != MORTISE_OK) {
    --self->open_handles_;
    call->self_.reset();
  }
  return status;
}

void FakeHost::cancel(mortise_call* call) { reinterpret_cast<FakeCall*>(call)->cancel(); }

mortise_status FakeHost::stream_open(const mortise_host* host, uint32_t method,
                                     const mortise_caller* caller,
                                     const mortise_stream_events* events, void* context,
                                     mortise_stream** out) {
  FakeHost* self = of(host);
  auto stream = std::make_shared<FakeStream>(self, caller, events, context);
  *out = reinterpret_cast<mortise_stream*>(stream.get());
  stream->self_ = stream;
  ++self->open_handles_;
  const mortise_status status = self->stream_behaviours_[method](stream);
  if (status != MORTISE_OK) {
    --self->open_handles_;
    stream->self_.reset();
  }
  return status;
}

void FakeHost::stream_send(mortise_stream* handle, mortise_buffer message) {
  auto* stream = reinterpret_cast<FakeStream*>(handle);
  const sdk::Buffer owned(message);
  const FakeStream::Use use(stream);
  {
    std::lock_guard lock(stream->mutex);
    EXPECT_FALSE(stream->half_closed) << "a message after the half-close";
    stream->received.emplace_back(owned.view());
    stream->received_bytes += owned.size();
  }
  stream->changed_now();
}

void FakeHost::stream_half_close(mortise_stream* handle) {
  auto* stream = reinterpret_cast<FakeStream*>(handle);
  const FakeStream::Use use(stream);
  {
    std::lock_guard lock(stream->mutex);
    EXPECT_FALSE(stream->half_closed) << "two half-closes";
    stream->half_closed = true;
  }
  stream->changed_now();
}

void FakeHost::stream_grant(mortise_stream* handle, uint64_t bytes) {
  auto* stream = reinterpret_cast<FakeStream*>(handle);
  const FakeStream::Use use(stream);
  {
    std::lock_guard lock(stream->mutex);
    stream->granted_bytes += bytes;
  }
  stream->changed_now();
}

void FakeHost::stream_cancel(mortise_stream* handle) {
  auto* stream = reinterpret_cast<FakeStream*>(handle);
  const FakeStream::Use use(stream);
  {
    std::lock_guard lock(stream->mutex);
    stream->cancelled = true;
  }
  stream->changed_now();
}

void FakeHost::transport_drained(const mortise_host* host) {
  FakeHost* self = of(host);
  EXPECT_EQ(self->open_handles_, 0) << "drained with calls of the host open";
  std::lock_guard lock(self->mutex_);
  EXPECT_FALSE(self->drained_) << "drained twice";
  self->drained_ = true;
  self->changed_.notify_all();
}

uint32_t FakeHost::log_enabled(const mortise_host*, mortise_log_level) { return 1; }

void FakeHost::log_write(const mortise_host*, mortise_log_level level, mortise_bytes message,
                         const mortise_log_field*, size_t) {
  EXPECT_NE(level, MORTISE_LOG_ERROR) << sdk::view(message);
}

}  // namespace mortise::transport_grpc
