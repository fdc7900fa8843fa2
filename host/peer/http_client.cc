#include "host/peer/http_client.h"

#include <future>
#include <set>

#include "host/peer/http_caller.h"

namespace mortise::peer {

struct HttpClient::Impl {
  IoLoop loop{"mortise-asks"};
  std::set<std::shared_ptr<HttpCaller>> callers;  // The loop's thread only.
  bool closed = false;                            // The same.

  void start(HttpCaller::Call call, Done done) {
    if (closed) return done(Status(StatusCode::kStopped, "stopped"));
    auto caller = std::make_shared<HttpCaller>(&loop);
    callers.insert(caller);
    caller->call(std::move(call),
                 [this, caller, done = std::move(done)](Result<HttpResponse> result) {
                   callers.erase(caller);
                   done(std::move(result));
                 });
  }
};

HttpClient::HttpClient() : impl_(std::make_unique<Impl>()) { impl_->loop.start(); }

HttpClient::~HttpClient() {
  std::promise<void> closed;
  impl_->loop.post([&] {
    impl_->closed = true;
    for (const auto& caller : std::set(impl_->callers)) caller->close();
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
  inner.dial_limit = inner.time_limit = call.time_limit;
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
