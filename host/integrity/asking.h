// Asks several members at once, for threads that may wait.
//
// ask_all() is called by the threads of the checks. It returns when all have answered or failed, or
// early at stop(), with kStopped for those that have not; what comes later is dropped.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "host/integrity/types.h"
#include "host/peer/http_client.h"

namespace mortise::integrity {

class Asking {
 public:
  // `client` outlives it.
  Asking(peer::HttpClient* client, uint64_t cluster_id);
  ~Asking() { stop(); }

  struct Question {
    std::string path;
    std::string body;
    std::chrono::milliseconds time_limit{1000};
    uint64_t body_bytes_max = 64 << 10;
  };
  // The answers in the order of `peers`. Of several URLs of a peer, the first one that answers with
  // 200 counts, or else the last one's answer.
  std::vector<Result<peer::HttpResponse>> ask_all(const std::vector<Peer>& peers,
                                                  const Question& question);
  void stop();
  bool stopped() const { return shared_->stopped; }

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::atomic<bool> stopped{false};
  };
  struct Round;
  void ask(const std::shared_ptr<Round>& round, size_t peer, size_t url);

  peer::HttpClient* client_;
  const uint64_t cluster_id_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace mortise::integrity
