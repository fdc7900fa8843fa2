#include "tests/scenarios/watcher.h"

#include "tests/scenarios/session.h"

namespace mortise::scenarios {
namespace {

std::string event_text(const mvccpb::Event& event) {
  bool is_put = event.type() == mvccpb::Event::PUT;
  std::string out =
      (is_put ? "PUT " : "DELETE ") +
      (is_put ? key_value_text(event.kv())
              : event.kv().key() + " mod=" + std::to_string(event.kv().mod_revision()));
  if (event.has_prev_kv()) out += " before: " + event.prev_kv().value();
  return out + "\n";
}

}  // namespace

Watcher::Watcher(testing::Client& client, const etcdserverpb::WatchRequest& create)
    : stream_(client.watch().Watch(&context_)) {
  stream_->Write(create);
  thread_ = std::thread([this] { read(); });
}

Watcher::~Watcher() {
  context_.TryCancel();
  thread_.join();
}

void Watcher::read() {
  etcdserverpb::WatchResponse response;
  while (stream_->Read(&response)) take(response);
  stream_->Finish();
  std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void Watcher::take(const etcdserverpb::WatchResponse& response) {
  std::lock_guard lock(mutex_);
  if (response.created()) created_ = "created";
  for (const auto& event : response.events()) lines_.push_back(event_text(event));
  if (response.canceled()) {
    std::string line = "canceled";
    if (response.compact_revision() > 0) {
      line += " compacted=" + std::to_string(response.compact_revision());
    }
    lines_.push_back(line + "\n");
  } else if (!response.created() && response.events().empty()) {
    progress_ = std::max(progress_, response.header().revision());
  }
  changed_.notify_all();
}

std::string Watcher::created() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, testing::kCallBound, [&] { return !created_.empty() || ended_; });
  return created_.empty() ? "not created\n" : created_ + "\n";
}

std::string Watcher::next(size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, testing::kCallBound, [&] { return lines_.size() >= count || ended_; });
  std::string out;
  for (; count > 0 && !lines_.empty(); --count) {
    out += lines_.front();
    lines_.pop_front();
  }
  return count == 0 ? out : out + "no more\n";
}

std::string Watcher::progress(int64_t revision) {
  etcdserverpb::WatchRequest request;
  request.mutable_progress_request();
  auto deadline = std::chrono::steady_clock::now() + testing::kCallBound;
  std::unique_lock lock(mutex_);
  while (progress_ < revision && !ended_ && std::chrono::steady_clock::now() < deadline) {
    lock.unlock();
    stream_->Write(request);
    lock.lock();
    // A watch that is not up to date yet may leave a request without an answer.
    changed_.wait_for(lock, std::chrono::milliseconds(200),
                      [&] { return progress_ >= revision || ended_; });
  }
  return "progress " + std::to_string(progress_) + "\n";
}

std::string Watcher::left() {
  std::lock_guard lock(mutex_);
  std::string out;
  for (const std::string& line : lines_) out += line;
  return out;
}

}  // namespace mortise::scenarios
