#include "tools/bench/watch.h"

#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>

#include "proto/rpc.grpc.pb.h"

namespace mortise::bench {
namespace {

enum class Event { kStarted, kWritten, kRead, kFinished };

}  // namespace

struct WatchReceiver::Tag {
  Stream* stream;
  Event event;
};

struct WatchReceiver::Stream {
  explicit Stream(const std::shared_ptr<grpc::Channel>& channel) : stub(channel) {}

  etcdserverpb::Watch::Stub stub;
  grpc::ClientContext context;
  std::unique_ptr<
      grpc::ClientAsyncReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>>
      call;
  etcdserverpb::WatchResponse response;
  grpc::Status status;
  std::vector<uint64_t> keys;  // Of its watchers.
  size_t written = 0;
  bool ending = false;
  Tag started{this, Event::kStarted};
  Tag wrote{this, Event::kWritten};
  Tag read{this, Event::kRead};
  Tag finished{this, Event::kFinished};
};

WatchReceiver::WatchReceiver(const Channels& channels, const Options& options)
    : channels_(channels), options_(options) {
  const auto streams = static_cast<size_t>(std::min(options.watch_streams, options.watchers));
  for (size_t i = 0; i < streams; ++i) {
    streams_.push_back(std::make_unique<Stream>(channels[i % channels.size()]));
  }
  for (size_t i = 0; i < static_cast<size_t>(options.watchers); ++i) {
    streams_[i % streams]->keys.push_back(i % options.key_space);
  }
}

WatchReceiver::~WatchReceiver() { stop(); }

Status WatchReceiver::start() {
  for (auto& stream : streams_) {
    stream->call = stream->stub.AsyncWatch(&stream->context, &queue_, &stream->started);
  }
  thread_ = std::thread([this] { run(); });
  const auto wanted = static_cast<uint64_t>(options_.watchers);
  if (wait_until([&] { return created_ >= wanted || canceled_ > 0; }) && canceled_ == 0) {
    return Status();
  }
  stop();
  return Status(StatusCode::kIo, fmt::format("{} of {} watchers were registered {}", created_,
                                             wanted, result_.first_message));
}

void WatchReceiver::expect(uint64_t key) {
  const auto watchers = static_cast<uint64_t>(options_.watchers);
  const uint64_t more = key < watchers % options_.key_space ? 1 : 0;
  expected_ += watchers / options_.key_space + more;
}

WatchResult WatchReceiver::finish() {
  wait_until([&] { return arrived_ >= expected_; });
  stop();
  result_.expected = expected_;
  result_.arrived = arrived_;
  result_.canceled = canceled_;
  return result_;
}

bool WatchReceiver::wait_until(const std::function<bool()>& done) {
  const uint64_t end = now_ns() + static_cast<uint64_t>(options_.timeout_s * 1e9);
  while (!done()) {
    if (now_ns() >= end || runs_interrupted()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

void WatchReceiver::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  for (auto& stream : streams_) stream->context.TryCancel();
  thread_.join();
}

void WatchReceiver::run() {
  size_t open = streams_.size();
  void* tag = nullptr;
  bool ok = false;
  while (open > 0 && queue_.Next(&tag, &ok)) {
    const Tag& what = *static_cast<const Tag*>(tag);
    handle(what, ok);
    if (what.event == Event::kFinished) --open;
  }
  queue_.Shutdown();
  while (queue_.Next(&tag, &ok)) {
  }
}

void WatchReceiver::handle(const Tag& tag, bool ok) {
  Stream* stream = tag.stream;
  switch (tag.event) {
    case Event::kStarted:
      if (!ok) return end_stream(stream);
      stream->call->Read(&stream->response, &stream->read);
      return write_next(stream);
    case Event::kWritten:
      // A failed write means a dead stream; the pending read fails too and ends it.
      if (ok) write_next(stream);
      return;
    case Event::kRead:
      if (!ok) return end_stream(stream);
      handle_response(stream);
      return stream->call->Read(&stream->response, &stream->read);
    case Event::kFinished:
      if (stopping_) return;
      ++canceled_;
      if (result_.first_message.empty()) result_.first_message = stream->status.error_message();
      return;
  }
}

void WatchReceiver::handle_response(Stream* stream) {
  const uint64_t now = now_ns();
  const auto& response = stream->response;
  if (response.canceled()) {
    ++canceled_;
    if (result_.first_message.empty()) result_.first_message = response.cancel_reason();
    return;
  }
  if (response.created()) ++created_;
  for (const auto& event : response.events()) {
    const std::string& value = event.kv().value();
    uint64_t sent = 0;
    if (event.type() != mvccpb::Event::PUT || value.size() < sizeof sent) continue;
    std::memcpy(&sent, value.data(), sizeof sent);
    result_.delivery.record(now > sent ? now - sent : 0);
  }
  arrived_ += static_cast<uint64_t>(response.events_size());
}

void WatchReceiver::write_next(Stream* stream) {
  if (stream->written == stream->keys.size()) return;
  etcdserverpb::WatchRequest request;
  auto* create = request.mutable_create_request();
  write_key(options_.key_prefix, stream->keys[stream->written++], options_.key_size,
            create->mutable_key());
  stream->call->Write(request, &stream->wrote);
}

void WatchReceiver::end_stream(Stream* stream) {
  if (stream->ending) return;
  stream->ending = true;
  stream->call->Finish(&stream->status, &stream->finished);
}

}  // namespace mortise::bench
