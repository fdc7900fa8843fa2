// Drives callers: starts requests when they are due, measures them, stops at the end of the run.
//
// Each thread has one completion queue and its share of the callers. A run with a rate has a
// schedule: request n is due at start + n/rate. If a request is late because no caller was free,
// its latency counts from when it was due, so that a slow server cannot hide behind the requests it
// kept from being sent.
#pragma once

#include <grpcpp/completion_queue.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tools/bench/histogram.h"

namespace mortise::bench {

// Nanoseconds of the steady clock.
uint64_t now_ns();

struct ErrorCount {
  uint64_t count = 0;
  std::string first_message;
};

struct Stats {
  Histogram reads;  // Nanoseconds, of requests that succeeded.
  Histogram writes;
  uint64_t keys_read = 0;
  std::map<std::string, ErrorCount> errors;  // By the status code's name.

  void add_error(const std::string& code, const std::string& message, uint64_t count = 1);
  void merge(const Stats& other);
  uint64_t succeeded() const { return reads.count() + writes.count(); }
  uint64_t failed() const;
};

// One caller with at most one request under way. Lives on one thread; every event of its completion
// queue carries the caller as tag.
class Caller {
 public:
  virtual ~Caller() = default;
  virtual void start(uint64_t sequence) = 0;
  // True when the request is finished; status() then says how.
  virtual bool on_event(bool ok) = 0;
  virtual const grpc::Status& status() const = 0;
  virtual bool is_read() const { return false; }
  virtual uint64_t keys_read() const { return 0; }
  // Makes the request under way end soon, with an error.
  virtual void cancel() = 0;
  // After the last request. True if it started something whose one event is still to come.
  virtual bool close() { return false; }

  size_t slot = 0;  // The runner's own.
};

struct Load {
  int clients = 1;
  int threads = 1;
  uint64_t total = 0;  // Ends the run if duration_s is 0.
  double duration_s = 0;
  double rate = 0;
  uint64_t max_errors = 0;  // 0: no limit.
  double timeout_s = 30;
  std::string token;     // Of the user in whose name requests are sent.
  std::string progress;  // Start of the progress lines on stderr; empty: none.
};

struct LoadResult {
  Stats stats;
  double elapsed_s = 0;
};

// Makes caller `number`, which thread `thread` will run on `queue`. Called before the threads
// start.
using CallerFactory =
    std::function<std::unique_ptr<Caller>(int thread, int number, grpc::CompletionQueue* queue)>;

LoadResult run_load(const Load& load, const CallerFactory& make_caller);

// Ends the run under way, and every later one, after the requests already sent. For signal
// handlers.
void interrupt_runs();
bool runs_interrupted();

const char* status_code_name(grpc::StatusCode code);

}  // namespace mortise::bench
