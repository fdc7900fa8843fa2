#include "host/integrity/asking.h"

#include "host/peer/http.h"

namespace mortise::integrity {

struct Asking::Round {
  std::vector<Peer> peers;
  Question question;
  std::vector<Result<peer::HttpResponse>> answers;
  size_t missing = 0;  // Guarded by Shared::mutex, as the answers are.
};

Asking::Asking(peer::HttpClient* client, uint64_t cluster_id)
    : client_(client), cluster_id_(cluster_id) {}

void Asking::stop() {
  std::lock_guard lock(shared_->mutex);
  shared_->stopped = true;
  shared_->changed.notify_all();
}

void Asking::ask(const std::shared_ptr<Round>& round, size_t peer, size_t url) {
  peer::HttpCall call;
  call.url = round->peers[peer].urls[url];
  call.path = round->question.path;
  call.headers = {{"Content-Type", "application/json"},
                  {"X-Etcd-Cluster-ID", peer::hex_text(cluster_id_)}};
  call.body = round->question.body;
  call.time_limit = round->question.time_limit;
  call.body_bytes_max = round->question.body_bytes_max;
  client_->call(std::move(call),
                [this, shared = shared_, round, peer, url](Result<peer::HttpResponse> answer) {
                  // Held to the end, so that a stop does not come in between: after it nobody waits
                  // for the round, and this object may be gone.
                  std::lock_guard lock(shared->mutex);
                  if (shared->stopped) return;
                  bool good = answer.ok() && answer->status == 200;
                  if (!good && url + 1 < round->peers[peer].urls.size())
                    return ask(round, peer, url + 1);
                  round->answers[peer] = std::move(answer);
                  if (--round->missing == 0) shared->changed.notify_all();
                });
}

std::vector<Result<peer::HttpResponse>> Asking::ask_all(const std::vector<Peer>& peers,
                                                        const Question& question) {
  auto round = std::make_shared<Round>();
  round->peers = peers;
  round->question = question;
  const Status stopped(StatusCode::kStopped, "stopped");
  round->answers.assign(peers.size(), stopped);
  for (const Peer& peer : peers) round->missing += peer.urls.empty() ? 0 : 1;
  for (size_t i = 0; i < peers.size(); ++i) {
    if (peers[i].urls.empty()) {
      round->answers[i] = invalid("the member has no peer URL");
    } else {
      ask(round, i, 0);
    }
  }
  std::unique_lock lock(shared_->mutex);
  shared_->changed.wait(lock, [&] { return shared_->stopped || round->missing == 0; });
  if (round->missing == 0) return std::move(round->answers);
  return std::vector<Result<peer::HttpResponse>>(peers.size(), stopped);
}

}  // namespace mortise::integrity
