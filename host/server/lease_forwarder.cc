#include "host/server/lease_forwarder.h"

namespace mortise::server {
namespace {

// What keys a lease has may be much.
constexpr uint64_t kAnswerBytesMax = 100 << 20;

}  // namespace

LeaseForwarder::LeaseForwarder(LeaseForwarderOptions options) : options_(std::move(options)) {
  thread_ = std::thread([this] { run(); });
}

LeaseForwarder::~LeaseForwarder() { stop(); }

void LeaseForwarder::stop() {
  std::deque<QuestionRef> open;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    open.swap(waiting_);
    for (auto& [time, question] : later_) open.push_back(std::move(question));
    later_.clear();
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return sending_ == 0; });
  }
  for (const QuestionRef& question : open) finish(*question, rpc_errors::kStopped, 0, "");
}

void LeaseForwarder::renew(int64_t lease, api::RenewalDone done) {
  auto question = std::make_shared<Question>();
  question->lease = lease;
  question->is_renewal = true;
  question->renewed = std::move(done);
  start(std::move(question));
}

void LeaseForwarder::time_to_live(int64_t lease, bool with_keys, TimeToLiveDone done) {
  auto question = std::make_shared<Question>();
  question->lease = lease;
  question->with_keys = with_keys;
  question->told = std::move(done);
  start(std::move(question));
}

void LeaseForwarder::start(QuestionRef question) {
  question->deadline = Clock::now() + options_.time_limit;
  attempt(question);
}

void LeaseForwarder::finish(Question& question, const RpcStatus& status, int64_t ttl,
                            const std::string& body) {
  if (question.is_renewal) return question.renewed(status, ttl);
  question.told(status, body);
}

void LeaseForwarder::attempt(const QuestionRef& question) {
  uint64_t leader = options_.leader();
  bool late = Clock::now() >= question->deadline;
  if (leader == options_.local_id && !late) return attempt_here(question);
  question->urls = leader == 0 ? std::vector<std::string>() : options_.peer_urls(leader);
  if (late) {
    bool nobody = question->urls.empty() && leader != options_.local_id;
    return finish(*question, nobody ? rpc_errors::kNoLeader : rpc_errors::kTimeout, 0, "");
  }
  if (question->urls.empty()) return later(question);
  {
    std::lock_guard lock(mutex_);
    if (calls_ == kCallsMax && !stopping_) return waiting_.push_back(question);
    ++calls_;
  }
  send(question);
}

void LeaseForwarder::attempt_here(const QuestionRef& question) {
  auto done = [this, question](const RpcStatus& status, int64_t ttl, const std::string& body) {
    // It led, and does no longer.
    bool again = status.message() == api::kNotPrimary.message ||
                 status.message() == rpc_errors::kLeaderChanged.message;
    if (again) return later(question);
    finish(*question, status, ttl, body);
  };
  if (question->is_renewal) {
    return options_.renew_here(
        question->lease, [done](const RpcStatus& status, int64_t ttl) { done(status, ttl, ""); });
  }
  std::string body;
  RpcStatus status = options_.time_to_live_here(question->lease, question->with_keys, &body);
  done(status, 0, body);
}

void LeaseForwarder::send(const QuestionRef& question) {
  {
    std::unique_lock lock(mutex_);
    if (stopping_) {
      lock.unlock();
      return finish(*question, rpc_errors::kStopped, 0, "");
    }
    ++sending_;
  }
  peer::HttpCall call;
  call.url = question->urls.front();
  question->urls.erase(question->urls.begin());
  call.method = "POST";
  call.headers = {{"Content-Type", "application/protobuf"}};
  call.path = question->is_renewal ? api::kLeasesPath : api::kLeasesInternalPath;
  call.body = question->is_renewal
                  ? api::renewal_request(question->lease)
                  : api::time_to_live_request(question->lease, question->with_keys);
  call.body_bytes_max = kAnswerBytesMax;
  auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(question->deadline - Clock::now());
  call.time_limit = std::clamp(left, std::chrono::milliseconds(1), options_.attempt_limit);
  options_.call(std::move(call),
                [this, question](Result<peer::HttpResponse> answer) { sent(question, answer); });
  std::lock_guard lock(mutex_);
  --sending_;
  if (stopping_) wake_.notify_all();
}

bool LeaseForwarder::take_answer(Question& question, const Result<peer::HttpResponse>& answer) {
  if (!answer.ok()) return false;
  const peer::HttpResponse& response = answer.value();
  if (response.status == 404) {
    finish(question, rpc_errors::kLeaseNotFound, 0, "");
    return true;
  }
  int64_t ttl = 0;
  std::string body;
  bool good = response.status == 200 &&
              (question.is_renewal ? api::read_renewal(response.body, question.lease, &ttl)
                                   : api::read_time_to_live(response.body, question.lease, &body));
  if (good) finish(question, RpcStatus(), ttl, body);
  return good;
}

void LeaseForwarder::sent(const QuestionRef& question, const Result<peer::HttpResponse>& answer) {
  QuestionRef next;
  {
    std::lock_guard lock(mutex_);
    if (waiting_.empty()) {
      --calls_;
    } else {
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
  }
  if (next != nullptr) send(next);
  if (!answer.ok() && answer.status().code() == StatusCode::kStopped) {
    return finish(*question, rpc_errors::kStopped, 0, "");
  }
  if (take_answer(*question, answer)) return;
  if (question->urls.empty()) return later(question);
  {
    std::lock_guard lock(mutex_);
    if (calls_ == kCallsMax && !stopping_) return waiting_.push_back(question);
    ++calls_;
  }
  send(question);
}

void LeaseForwarder::later(const QuestionRef& question) {
  {
    std::lock_guard lock(mutex_);
    if (!stopping_) {
      later_.emplace(std::min(Clock::now() + options_.pause, question->deadline), question);
      wake_.notify_one();
      return;
    }
  }
  finish(*question, rpc_errors::kStopped, 0, "");
}

void LeaseForwarder::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (later_.empty()) {
      wake_.wait(lock);
    } else if (auto first = later_.begin(); first->first > Clock::now()) {
      wake_.wait_until(lock, Clock::time_point(first->first));
    } else {
      QuestionRef question = std::move(first->second);
      later_.erase(first);
      lock.unlock();
      attempt(question);
      question.reset();
      lock.lock();
    }
  }
}

}  // namespace mortise::server
