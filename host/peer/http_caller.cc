#include "host/peer/http_caller.h"

#include "host/peer/dial.h"

namespace mortise::peer {
void HttpCaller::call(Call call, Done done) {
  call_ = std::move(call);
  done_ = std::move(done);
  started_ = Clock::now();
  ++round_;
  reused_ = connection_ && connected_to_ == call_.url && !connection_->is_stale();
  if (reused_) return send();
  connect();
}

void HttpCaller::close() {
  if (done_) return finish(Status(StatusCode::kStopped, "stopped"), false);
  if (connection_) connection_->abort();
  connection_.reset();
}

void HttpCaller::connect() {
  if (connection_) connection_->abort();
  connection_.reset();
  dial(loop_, call_.url, call_.dial_limit,
       [self = shared_from_this(), round = round_](Result<ConnectionRef> dialed) {
         if (round != self->round_ || !self->done_) return;
         if (!dialed.ok()) return self->finish(dialed.status(), false);
         self->connection_ = std::move(dialed).value();
         self->connected_to_ = self->call_.url;
         self->send();
       });
}

void HttpCaller::send() {
  body_.clear();
  parser_ = std::make_unique<HttpParser<false>>(&body_);
  bytes_ =
      request_bytes(call_.method, call_.target, host_header(call_.url), call_.headers, call_.body);
  auto left = call_.time_limit -
              std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started_);
  connection_->read_within(left);
  connection_->async_write(
      asio::buffer(bytes_), left,
      [self = shared_from_this(), round = round_, c = connection_](const ErrorCode& error, size_t) {
        if (round != self->round_ || c != self->connection_) return;
        if (error) return self->on_error(error);
        self->read();
      });
}

void HttpCaller::read() {
  connection_->async_read_some(parser_->room(),
                               [self = shared_from_this(), round = round_, c = connection_](
                                   const ErrorCode& error, size_t size) {
                                 if (round != self->round_ || c != self->connection_) return;
                                 if (error) return self->on_error(error);
                                 self->on_read(size);
                               });
}

void HttpCaller::on_read(size_t size) {
  parser_->filled(size);
  reused_ = false;
  for (;;) {
    Status status = parser_->feed_all();
    if (!status.ok()) return finish(status, false);
    if (body_.size() > call_.body_bytes_max) {
      return finish(Status(StatusCode::kIo, "the answer is larger than " +
                                                std::to_string(call_.body_bytes_max) + " bytes"),
                    false);
    }
    if (!parser_->is_done() || parser_->head().result_int() / 100 != 1) break;
    // Informational answers, like 100, come before the one that counts.
    auto next = std::make_unique<HttpParser<false>>(&body_);
    next->set_rest(parser_->take_rest());
    parser_ = std::move(next);
  }
  if (!parser_->is_done()) return read();
  HttpResponse response;
  response.status = static_cast<int>(parser_->head().result_int());
  response.headers = copy_headers(parser_->head());
  response.body = std::move(body_);
  finish(std::move(response), parser_->keep_alive() && !parser_->has_input());
}

void HttpCaller::on_error(const ErrorCode& error) {
  if (std::exchange(reused_, false)) return connect();  // The other side had ended it meanwhile.
  if (error == asio::error::eof && parser_->finish_at_eof()) {
    HttpResponse response;
    response.status = static_cast<int>(parser_->head().result_int());
    response.headers = copy_headers(parser_->head());
    response.body = std::move(body_);
    return finish(std::move(response), false);
  }
  finish(Status(StatusCode::kIo, connection_->error_text(error)), false);
}

void HttpCaller::finish(Result<HttpResponse> result, bool keep) {
  ++round_;
  if (connection_ && keep) {
    connection_->read_whenever();
    connection_->write_whenever();
  } else if (connection_) {
    connection_->abort();
    connection_.reset();
  }
  std::exchange(done_, nullptr)(std::move(result));
}

}  // namespace mortise::peer
