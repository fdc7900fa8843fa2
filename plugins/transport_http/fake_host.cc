#include "plugins/transport_http/fake_host.h"

#include <chrono>
#include <cstring>

#include "mortise/sdk/status.h"

namespace mortise::transport_http {
namespace {

// Only a test that fails gets near it.
constexpr std::chrono::seconds kLongTime{60};

FakeCaller copy_of(const mortise_caller* caller) {
  return {caller->flags,
          std::string(sdk::view(caller->remote)),
          std::string(sdk::view(caller->token)),
          std::string(sdk::view(caller->tls_common_name)),
          std::string(sdk::view(caller->client_api_version)),
          caller->timeout_ns};
}

}  // namespace

void FakeCall::answer(mortise_rpc_code code, std::string_view message, std::string body) {
  EXPECT_FALSE(done_begun_.exchange(true)) << "answered twice";
  const CallPtr keep = self_;
  // The transport may report that it has drained before this returns.
  --host->open_handles_;
  done_(context_, code, sdk::bytes(message), sdk::Buffer::from(std::move(body)).release());
  self_.reset();
}

bool FakeCall::wait_cancelled() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kLongTime, [this] { return cancelled_; });
}

void FakeStream::end(mortise_rpc_code code, std::string_view text) {
  if (ending_.exchange(true)) return;
  const StreamPtr keep = self_;
  // The transport may be inside of the handle while the end begins, but not once on_end has
  // returned; and it may report that it has drained before that.
  --host->open_handles_;
  events_.on_end(context_, code, sdk::bytes(text));
  end_begun_ = true;
  self_.reset();
}

bool FakeStream::wait(const std::function<bool()>& condition) {
  std::unique_lock lock(mutex);
  return changed.wait_for(lock, kLongTime, condition);
}

void FakeStream::note(const std::function<void()>& change) {
  EXPECT_FALSE(end_begun_) << "a call after the end";
  std::lock_guard lock(mutex);
  change();
  changed.notify_all();
}

FakeHost::FakeHost() {
  host_.struct_size = sizeof(host_);
  host_.name = "fake-host";
  host_.version = "0";
  host_.impl = this;
  host_.get = &get;
  log_ = {sizeof(log_), 0, &log_enabled, &log_write};
  json_ = {sizeof(json_), 0, &from_json, &to_json};
  pages_ = {sizeof(pages_), 0, &serve};
  rpc.struct_size = sizeof(rpc);
  rpc.request_bytes_max = 1 << 20;
  rpc.concurrent_streams_max = UINT32_MAX;
  rpc.call = &call;
  rpc.cancel = &cancel;
  rpc.stream_open = &stream_open;
  rpc.stream_send = &stream_send;
  rpc.stream_half_close = &stream_half_close;
  rpc.stream_grant = &stream_grant;
  rpc.stream_cancel = &stream_cancel;
  rpc.transport_drained = &transport_drained;
}

FakeHost::~FakeHost() {
  EXPECT_EQ(open_handles_, 0) << "the transport went away with calls of the host open";
}

void FakeHost::add_unary(std::string path, CallBehaviour behaviour, uint32_t flags) {
  entries_.push_back({std::move(path), {}, std::move(behaviour), {}});
  Method& entry = entries_.back();
  entry.paths[0] = entry.path.c_str();
  const auto id = static_cast<uint32_t>(methods_.size());
  methods_.push_back({id, MORTISE_UNARY, flags, 0, entry.paths[0], entry.paths});
}

void FakeHost::add_stream(std::string path, mortise_method_kind kind, StreamBehaviour behaviour) {
  entries_.push_back({std::move(path), {}, {}, std::move(behaviour)});
  Method& entry = entries_.back();
  entry.paths[0] = entry.path.c_str();
  const auto id = static_cast<uint32_t>(methods_.size());
  methods_.push_back({id, kind, 0, 0, entry.paths[0], entry.paths});
}

const mortise_host* FakeHost::host() {
  rpc.methods = methods_.data();
  rpc.method_count = static_cast<uint32_t>(methods_.size());
  return &host_;
}

bool FakeHost::wait_drained() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kLongTime, [this] { return drained_; });
}

const void* FakeHost::get(const mortise_host* host, const char* id) {
  FakeHost* self = of(host);
  if (std::strcmp(id, MORTISE_HOST_RPC_ID) == 0) return &self->rpc;
  if (std::strcmp(id, MORTISE_HOST_LOG_ID) == 0) return &self->log_;
  if (std::strcmp(id, MORTISE_HOST_JSON_ID) == 0 && self->offers_json) return &self->json_;
  if (std::strcmp(id, MORTISE_HOST_PAGES_ID) == 0 && self->page) return &self->pages_;
  return nullptr;
}

mortise_status FakeHost::call(const mortise_host* host, uint32_t method,
                              const mortise_caller* caller, mortise_buffer request,
                              mortise_done_fn done, void* context, mortise_call** out) {
  FakeHost* self = of(host);
  auto call = std::make_shared<FakeCall>();
  const sdk::Buffer owned(request);
  call->host = self;
  call->caller = copy_of(caller);
  call->request = owned.view();
  call->done_ = done;
  call->context_ = context;
  call->self_ = call;
  if (out != nullptr) *out = reinterpret_cast<mortise_call*>(call.get());
  ++self->open_handles_;
  self->entries_[method].call(call);
  return MORTISE_OK;
}

void FakeHost::cancel(mortise_call* handle) {
  auto* call = reinterpret_cast<FakeCall*>(handle);
  EXPECT_FALSE(call->done_begun_) << "cancel() after done has begun";
  std::lock_guard lock(call->mutex_);
  call->cancelled_ = true;
  call->changed_.notify_all();
}

mortise_status FakeHost::stream_open(const mortise_host* host, uint32_t method,
                                     const mortise_caller* caller,
                                     const mortise_stream_events* events, void* context,
                                     mortise_stream** out) {
  FakeHost* self = of(host);
  auto stream = std::make_shared<FakeStream>();
  stream->host = self;
  stream->caller = copy_of(caller);
  stream->events_ = *events;
  stream->context_ = context;
  stream->self_ = stream;
  *out = reinterpret_cast<mortise_stream*>(stream.get());
  ++self->open_handles_;
  self->entries_[method].stream(stream);
  return MORTISE_OK;
}

void FakeHost::stream_send(mortise_stream* handle, mortise_buffer message) {
  auto* stream = reinterpret_cast<FakeStream*>(handle);
  const sdk::Buffer owned(message);
  stream->note([&] {
    EXPECT_FALSE(stream->half_closed) << "a message after the half-close";
    stream->received.emplace_back(owned.view());
  });
}

void FakeHost::stream_half_close(mortise_stream* handle) {
  auto* stream = reinterpret_cast<FakeStream*>(handle);
  stream->note([&] {
    EXPECT_FALSE(stream->half_closed) << "two half-closes";
    stream->half_closed = true;
  });
}

void FakeHost::stream_grant(mortise_stream* handle, uint64_t bytes) {
  auto* stream = reinterpret_cast<FakeStream*>(handle);
  stream->note([&] { stream->granted_bytes += bytes; });
}

void FakeHost::stream_cancel(mortise_stream* handle) {
  auto* stream = reinterpret_cast<FakeStream*>(handle);
  const StreamPtr keep = stream->self_;
  stream->note([&] { stream->cancelled = true; });
  stream->end(1, "context canceled");
}

void FakeHost::transport_drained(const mortise_host* host) {
  FakeHost* self = of(host);
  EXPECT_EQ(self->open_handles_, 0) << "drained with calls of the host open";
  std::lock_guard lock(self->mutex_);
  EXPECT_FALSE(self->drained_) << "drained twice";
  self->drained_ = true;
  self->changed_.notify_all();
}

mortise_status FakeHost::from_json(const mortise_host*, uint32_t, mortise_bytes json,
                                   mortise_buffer* out, mortise_error* error) {
  const std::string_view text = sdk::view(json);
  if (text.find("bad") != std::string_view::npos) {
    sdk::write_error(sdk::invalid("invalid \"bad\" value"), error);
    return MORTISE_E_INVALID;
  }
  *out = sdk::Buffer::from(std::string(text)).release();
  return MORTISE_OK;
}

mortise_status FakeHost::to_json(const mortise_host*, uint32_t, mortise_bytes message,
                                 mortise_buffer* out, mortise_error*) {
  *out = sdk::Buffer::from(std::string(sdk::view(message))).release();
  return MORTISE_OK;
}

mortise_status FakeHost::serve(const mortise_host* host, const mortise_page_request* request,
                               mortise_page_fn done, void* context) {
  const FakePage page = of(host)->page(sdk::view(request->method), sdk::view(request->path),
                                       sdk::view(request->query), sdk::view(request->body));
  done(context, page.status, sdk::bytes(page.content_type), sdk::bytes(page.allow),
       sdk::Buffer::from(page.body).release());
  return MORTISE_OK;
}

uint32_t FakeHost::log_enabled(const mortise_host*, mortise_log_level) { return 1; }

void FakeHost::log_write(const mortise_host* host, mortise_log_level level, mortise_bytes message,
                         const mortise_log_field*, size_t) {
  EXPECT_NE(level, MORTISE_LOG_ERROR) << sdk::view(message);
  if (level == MORTISE_LOG_WARN) ++of(host)->warnings;
}

}  // namespace mortise::transport_http
