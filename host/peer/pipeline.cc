#include "host/peer/pipeline.h"

#include "host/peer/codec.h"

namespace mortise::peer {

Pipeline::Pipeline(ContextRef context, NodeId peer, PeerStatusRef status, UrlPickerRef picker)
    : context_(std::move(context)),
      peer_(peer),
      status_(std::move(status)),
      picker_(std::move(picker)) {
  for (size_t i = 0; i < kPipelineWorkers; ++i) {
    workers_.push_back(std::make_shared<HttpCaller>(&context_->loop));
  }
  idle_ = workers_;
  context_->log(LogLevel::kInfo, "started HTTP pipelining with remote peer",
                {{"local-member-id", context_->local_text}, {"remote-peer-id", hex_text(peer_)}});
}

bool Pipeline::enqueue(raft::Message&& message) {
  if (queue_.size() >= kPipelineMessagesMax) return false;
  queue_.push_back(std::move(message));
  pump();
  return true;
}

void Pipeline::pump() {
  while (!stopped_ && !queue_.empty() && !idle_.empty()) {
    auto worker = std::move(idle_.back());
    idle_.pop_back();
    raft::Message message = std::move(queue_.front());
    queue_.pop_front();
    post(std::move(worker), message);
  }
  if (finishing_ && idle_.size() == workers_.size()) stop();
}

void Pipeline::post(CallerRef worker, const raft::Message& message) {
  HttpCaller::Call call;
  call.url = picker_->pick();
  call.method = "POST";
  call.target = "/raft";
  call.headers = context_->request_headers();
  call.headers.emplace_back("Content-Type", "application/protobuf");
  append_message(message, &call.body);
  call.dial_limit = context_->options.dial_limit;
  call.time_limit = kPipelineTimeMax;
  const uint64_t bytes = call.body.size();
  HttpCaller* caller = worker.get();
  caller->call(call, [self = shared_from_this(), worker = std::move(worker), url = call.url,
                      bytes](const Result<HttpResponse>& result) mutable {
    // Not from within the caller, which may have answered at once.
    asio::post(self->context_->loop.io(), [self, worker = std::move(worker)]() mutable {
      self->idle_.push_back(std::move(worker));
      self->pump();
    });
    self->on_answer(url, bytes, result);
  });
}

void Pipeline::on_answer(const config::Url& url, uint64_t bytes,
                         const Result<HttpResponse>& result) {
  if (stopped_) return;
  Status status =
      result.ok() ? check_post_answer(context_.get(), peer_, result.value()) : result.status();
  if (status.ok()) {
    status_->activate();
    context_->counters.change(
        peer_, [bytes](CounterTable::Row& row) { row.counters.sent_bytes += bytes; });
    return;
  }
  picker_->unreachable(url);
  status_->deactivate("write", "pipeline", status.message());
  context_->report_unreachable(peer_);
  context_->counters.change(peer_, [](CounterTable::Row& row) { ++row.counters.sent_failures; });
}

void Pipeline::stop() {
  if (std::exchange(stopped_, true)) return;
  queue_.clear();
  for (auto& worker : workers_) worker->close();
  workers_.clear();
  context_->log(LogLevel::kInfo, "stopped HTTP pipelining with remote peer",
                {{"local-member-id", context_->local_text}, {"remote-peer-id", hex_text(peer_)}});
}

void Pipeline::finish() {
  finishing_ = true;
  pump();
}

Status check_post_answer(Context* context, NodeId to, const HttpResponse& response) {
  std::string text = response.body;
  if (!text.empty() && text.back() == '\n') text.pop_back();
  switch (response.status) {
    case 204: return {};
    case 403:
      context->report_removed();
      return invalid("the member has been permanently removed from the cluster");
    case 412: break;
    default:
      return internal_error("unexpected http status " + std::to_string(response.status) +
                            (text.empty() ? "" : ": " + text));
  }
  LogFields line = {{"remote-peer-id", hex_text(to)}};
  if (text == "incompatible version") {
    context->log(LogLevel::kError, "request sent was ignored by peer", line);
  } else if (text == "cluster ID mismatch") {
    line.push_back({"remote-peer-cluster-id",
                    std::string(header_value(response.headers, "X-Etcd-Cluster-ID"))});
    line.push_back({"local-member-cluster-id", context->cluster_text});
    context->log(LogLevel::kError, "request sent was ignored due to cluster ID mismatch", line);
  } else {
    text = "unhandled error \"" + text + "\" when precondition failed";
  }
  return invalid(text);
}

}  // namespace mortise::peer
