// The receiving side of a watch run: many watchers on few streams, and the time each event took
// from the put that made it. The puts carry the time at which they were sent in the first 8 bytes
// of the value.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "host/base/status.h"
#include "tools/bench/options.h"
#include "tools/bench/unary.h"

namespace mortise::bench {

struct WatchResult {
  Histogram delivery;     // Nanoseconds from put to arrival.
  uint64_t expected = 0;  // Events that the successful puts must have caused.
  uint64_t arrived = 0;
  uint64_t canceled = 0;  // Watchers, or whole streams, that the server ended.
  std::string first_message;
};

// Use: start(), then puts that report to expect(), then finish(). Has a thread of its own between
// the two; expect() may be called from any thread.
class WatchReceiver {
 public:
  WatchReceiver(const Channels& channels, const Options& options);
  ~WatchReceiver();

  // Returns when every watcher is registered; kIo if the server refuses, or takes longer than
  // --timeout.
  Status start();
  void expect(uint64_t key);
  // Waits for the events that are still missing, at most --timeout, then ends the streams.
  WatchResult finish();

 private:
  struct Stream;
  struct Tag;

  void run();
  void handle(const Tag& tag, bool ok);
  void handle_response(Stream* stream);
  void write_next(Stream* stream);
  void end_stream(Stream* stream);
  bool wait_until(const std::function<bool()>& done);
  void stop();

  const Channels& channels_;
  const Options& options_;
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::thread thread_;
  std::atomic<uint64_t> created_{0};
  std::atomic<uint64_t> expected_{0};
  std::atomic<uint64_t> arrived_{0};
  std::atomic<uint64_t> canceled_{0};
  std::atomic<bool> stopping_{false};
  // The thread's until it is joined.
  WatchResult result_;
};

}  // namespace mortise::bench
