#include "host/peer/http_client.h"

#include <deque>
#include <future>
#include <map>
#include <set>

#include "host/peer/http_caller.h"

namespace mortise::peer {
namespace {

// Connections to one URL that wait for the next call, and how long they do.
constexpr size_t kIdleMax = 64;
constexpr std::chrono::seconds kIdleTime{30};

}  // namespace

struct HttpClient::Impl {
  explicit Impl(tls::Dialer dialer) : loop("mortise-asks", std::move(dialer)) {}
  IoLoop loop;
  // The loop's thread only.
  struct Idle {
    std::shared_ptr<HttpCaller> caller;
    Clock::time_point since;
  };
  std::set<std::shared_ptr<HttpCaller>> callers;
  std::map<std::string, std::deque<Idle>> idle;  // By URL; the last one used is the last.
  bool closed = false;

  std::shared_ptr<HttpCaller> take(const std::string& url) {
    auto found = idle.find(url);
    if (found == idle.end() || found->second.empty()) return std::make_shared<HttpCaller>(&loop);
    auto caller = std::move(found->second.back().caller);
    found->second.pop_back();
    return caller;
  }
  void keep(const std::string& url, std::shared_ptr<HttpCaller> caller) {
    Clock::time_point now = Clock::now();
    if (closed) return caller->close();
    idle[url].push_back({std::move(caller), now});
    for (auto& [of, waiting] : idle) {
      while (!waiting.empty() &&
             (waiting.size() > kIdleMax || now - waiting.front().since > kIdleTime)) {
        waiting.front().caller->close();
        waiting.pop_front();
      }
    }
    std::erase_if(idle, [](const auto& entry) { return entry.second.empty(); });
  }

  void start(HttpCaller::Call call, Done done) {
    if (closed) return done(Status(StatusCode::kStopped, "stopped"));
    std::string url = call.url.text;
    auto caller = take(url);
    callers.insert(caller);
    caller->call(std::move(call),
                 [this, caller, url, done = std::move(done)](Result<HttpResponse> result) {
                   callers.erase(caller);
                   keep(url, caller);
                   done(std::move(result));
                 });
  }
};

HttpClient::HttpClient(tls::Dialer dialer) : impl_(std::make_unique<Impl>(std::move(dialer))) {
  impl_->loop.start();
}

HttpClient::~HttpClient() {
  std::promise<void> closed;
  impl_->loop.post([&] {
    impl_->closed = true;
    for (const auto& caller : std::set(impl_->callers)) caller->close();
    for (const auto& [url, waiting] : impl_->idle) {
      for (const auto& entry : waiting) entry.caller->close();
    }
    impl_->idle.clear();
    closed.set_value();
  });
  closed.get_future().wait();
  impl_->loop.stop();
}

void HttpClient::call(HttpCall call, Done done) {
  auto url = config::parse_url(call.url);
  if (!url.ok()) {
    impl_->loop.post([done = std::move(done), status = url.status()] { done(status); });
    return;
  }
  HttpCaller::Call inner;
  inner.url = std::move(url).value();
  inner.method = std::move(call.method);
  inner.target = std::move(call.path);
  inner.headers = std::move(call.headers);
  inner.body = std::move(call.body);
  inner.time_limit = call.time_limit;
  inner.dial_limit = call.dial_limit.count() == 0 ? call.time_limit : call.dial_limit;
  inner.body_bytes_max = call.body_bytes_max;
  impl_->loop.post(
      [impl = impl_.get(), inner = std::move(inner), done = std::move(done)]() mutable {
        impl->start(std::move(inner), std::move(done));
      });
}

Result<HttpResponse> HttpClient::call_and_wait(HttpCall request) {
  auto answer = std::make_shared<std::promise<Result<HttpResponse>>>();
  auto result = answer->get_future();
  call(std::move(request),
       [answer](Result<HttpResponse> response) { answer->set_value(std::move(response)); });
  return result.get();
}

}  // namespace mortise::peer
