// One watch of a scenario, on a stream of its own, and what it has brought as lines.
//
// A thread of its own reads the stream; all functions are for one other thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "tests/lib/client.h"

namespace mortise::scenarios {

class Watcher {
 public:
  Watcher(testing::Client& client, const etcdserverpb::WatchRequest& create);
  ~Watcher();
  // The answer to the creation.
  std::string created();
  // The next lines: events, and the end of the watch. Waits for them.
  std::string next(size_t count);
  // Asks how far the watch is until it says `revision` or a later one: no event that is older can
  // come after that.
  std::string progress(int64_t revision);
  // What nobody has asked for.
  std::string left();

 private:
  void read();
  void take(const etcdserverpb::WatchResponse& response);

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>>
      stream_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::string created_;
  std::deque<std::string> lines_;
  int64_t progress_ = 0;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace mortise::scenarios
