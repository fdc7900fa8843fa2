// Plays operations to one server and keeps what its watchers saw.
//
// play() and the rest are called by one thread at a time; a thread of the player reads the watch
// stream.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/differential/op.h"
#include "tests/differential/wire.h"

namespace mortise::differential {

// Parts that differ by nature are made equal in `response`: ids of the cluster and members, terms,
// seconds left, and orders that nobody promises.
struct Answer {
  grpc::Status status;
  std::shared_ptr<google::protobuf::Message> response;

  std::string text() const;
  // 0: it has none.
  int64_t revision() const;
};

class Player {
 public:
  Player(std::string name, std::unique_ptr<Wire> wire);
  ~Player();

  Answer play(const Op& op);
  const std::string& name() const { return name_; }

  // What each watcher saw since the last drop_transcripts(), one line for each event or
  // cancellation.
  using Transcripts = std::map<int64_t, std::vector<std::string>>;
  Transcripts transcripts();
  void drop_transcripts();

 private:
  Answer play_unary(const Op& op);
  Answer play_keep_alive(const etcdserverpb::LeaseKeepAliveRequest& request);
  Answer play_range_stream(const etcdserverpb::RangeRequest& request);
  Answer play_expiry(const etcdserverpb::TxnRequest& request);
  grpc::Status grant_second(int64_t lease);
  grpc::Status wait_until_gone(const std::string& key);
  Answer play_watch(const etcdserverpb::WatchRequest& request);
  void read_watches();
  void record(const etcdserverpb::WatchResponse& response);

  std::string name_;
  std::unique_ptr<Wire> wire_;
  std::thread reader_;

  std::mutex mutex_;
  std::condition_variable changed_;
  Transcripts transcripts_;
  std::map<int64_t, int64_t> last_revision_;
  // Created, and not canceled by a request. A watcher that a compaction has canceled is among them:
  // its id is taken, and a request to cancel it is answered.
  std::set<int64_t> open_;
  std::vector<etcdserverpb::WatchResponse> control_;  // Created and canceled, as asked for.
  bool ended_ = false;
};

}  // namespace mortise::differential
