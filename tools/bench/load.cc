#include "tools/bench/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

namespace mortise::bench {
namespace {

constexpr uint64_t kSecondNs = 1000000000;

std::atomic<bool> g_interrupted{false};

// What the threads of a run share: the numbers of the requests, the schedule and the live counts.
class RunControl {
 public:
  explicit RunControl(const Load& load)
      : load_(load),
        start_ns_(now_ns()),
        end_ns_(load.duration_s > 0 ? start_ns_ + static_cast<uint64_t>(load.duration_s * 1e9)
                                    : UINT64_MAX),
        total_(load.duration_s > 0 ? UINT64_MAX : load.total) {}

  bool take(uint64_t* sequence) {
    if (stopped()) return false;
    *sequence = next_.fetch_add(1, std::memory_order_relaxed);
    return *sequence < total_ && due_ns(*sequence) < end_ns_;
  }
  uint64_t due_ns(uint64_t sequence) const {
    if (load_.rate <= 0) return start_ns_;
    return start_ns_ + static_cast<uint64_t>(static_cast<double>(sequence) * 1e9 / load_.rate);
  }
  bool stopped() const {
    if (g_interrupted.load(std::memory_order_relaxed)) return true;
    if (end_ns_ != UINT64_MAX && now_ns() >= end_ns_) return true;
    return load_.max_errors > 0 && errors() >= load_.max_errors;
  }
  uint64_t timeout_ns() const { return static_cast<uint64_t>(load_.timeout_s * 1e9); }
  uint64_t start_ns() const { return start_ns_; }

  void count(bool ok) { (ok ? ok_ : errors_).fetch_add(1, std::memory_order_relaxed); }
  uint64_t ok() const { return ok_.load(std::memory_order_relaxed); }
  uint64_t errors() const { return errors_.load(std::memory_order_relaxed); }

 private:
  const Load& load_;
  const uint64_t start_ns_;
  const uint64_t end_ns_;
  const uint64_t total_;
  std::atomic<uint64_t> next_{0};
  std::atomic<uint64_t> ok_{0};
  std::atomic<uint64_t> errors_{0};
};

class Worker {
 public:
  void add(std::unique_ptr<Caller> caller) {
    caller->slot = slots_.size();
    slots_.push_back({std::move(caller), 0, false, false});
  }
  grpc::CompletionQueue* queue() { return &queue_; }
  const Stats& stats() const { return stats_; }
  uint64_t last_finish_ns() const { return last_finish_ns_; }

  void run(RunControl* control) {
    control_ = control;
    for (size_t i = slots_.size(); i-- > 0;) idle_.push_back(i);
    next_sweep_ns_ = now_ns() + kSecondNs;
    for (;;) {
      start_due_requests();
      if (exhausted_ && idle_.size() == slots_.size()) break;
      wait_for_event();
    }
    close_callers();
  }

 private:
  struct Slot {
    std::unique_ptr<Caller> caller;
    uint64_t start_ns;
    bool busy;
    bool timed_out;
  };

  void start_due_requests() {
    while (!idle_.empty() && !exhausted_) {
      if (!has_pending_ && !control_->take(&pending_)) exhausted_ = true;
      if (has_pending_ && control_->stopped()) exhausted_ = true;
      if (exhausted_) return;
      has_pending_ = true;
      const uint64_t due = control_->due_ns(pending_);
      const uint64_t now = now_ns();
      if (due > now) {
        was_full_ = false;
        return;
      }
      Slot& slot = slots_[idle_.back()];
      idle_.pop_back();
      slot.start_ns = was_full_ && due != control_->start_ns() ? due : now;
      slot.busy = true;
      slot.timed_out = false;
      has_pending_ = false;
      slot.caller->start(pending_);
    }
    was_full_ = idle_.empty();
  }

  void wait_for_event() {
    uint64_t until = next_sweep_ns_;
    if (has_pending_ && !idle_.empty()) until = std::min(until, control_->due_ns(pending_));
    const std::chrono::steady_clock::time_point deadline{std::chrono::nanoseconds(until)};
    void* tag = nullptr;
    bool ok = false;
    const auto next = queue_.AsyncNext(&tag, &ok, to_system_clock(deadline));
    if (next == grpc::CompletionQueue::GOT_EVENT) {
      auto* caller = static_cast<Caller*>(tag);
      if (caller->on_event(ok)) finish(caller->slot);
    } else if (now_ns() >= next_sweep_ns_) {
      sweep();
    }
  }

  std::chrono::system_clock::time_point to_system_clock(std::chrono::steady_clock::time_point t) {
    return std::chrono::system_clock::now() +
           std::chrono::duration_cast<std::chrono::system_clock::duration>(
               t - std::chrono::steady_clock::now());
  }

  void finish(size_t index) {
    Slot& slot = slots_[index];
    const uint64_t now = now_ns();
    last_finish_ns_ = now;
    slot.busy = false;
    idle_.push_back(index);
    const grpc::Status& status = slot.caller->status();
    if (status.ok()) {
      (slot.caller->is_read() ? stats_.reads : stats_.writes).record(now - slot.start_ns);
      stats_.keys_read += slot.caller->keys_read();
    } else if (slot.timed_out) {
      stats_.add_error("DEADLINE_EXCEEDED", "no answer before --timeout");
    } else {
      stats_.add_error(status_code_name(status.error_code()), status.error_message());
    }
    control_->count(status.ok());
    if (now >= next_sweep_ns_) sweep();
  }

  // Timeouts are looked for once a second; a deadline on each call would cost a timer on each call.
  void sweep() {
    const uint64_t now = now_ns();
    next_sweep_ns_ = now + kSecondNs;
    for (Slot& slot : slots_) {
      if (slot.busy && !slot.timed_out && now > slot.start_ns + control_->timeout_ns()) {
        slot.timed_out = true;
        slot.caller->cancel();
      }
    }
  }

  void close_callers() {
    size_t to_come = 0;
    for (Slot& slot : slots_) to_come += slot.caller->close() ? 1 : 0;
    void* tag = nullptr;
    bool ok = false;
    while (to_come > 0 && queue_.Next(&tag, &ok)) --to_come;
    queue_.Shutdown();
    while (queue_.Next(&tag, &ok)) {
    }
  }

  grpc::CompletionQueue queue_;  // Outlives the callers, whose calls refer to it.
  std::vector<Slot> slots_;
  std::vector<size_t> idle_;
  Stats stats_;
  RunControl* control_ = nullptr;
  uint64_t next_sweep_ns_ = 0;
  uint64_t last_finish_ns_ = 0;
  uint64_t pending_ = 0;  // Taken, but not due yet, if has_pending_.
  bool has_pending_ = false;
  bool was_full_ = false;
  bool exhausted_ = false;
};

// Prints a line each second until stop().
class Progress {
 public:
  Progress(const Load& load, const RunControl& control) : load_(load), control_(control) {
    if (!load.progress.empty()) thread_ = std::thread([this] { run(); });
  }
  ~Progress() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run() {
    uint64_t before = 0, before_ns = control_.start_ns();
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, std::chrono::seconds(1), [this] { return stop_; })) {
      const uint64_t done = control_.ok(), now = now_ns();
      const double rate =
          static_cast<double>(done - before) * 1e9 / static_cast<double>(now - before_ns);
      fmt::print(stderr, "{}: {:.0f} s, {} done, {:.0f}/s, {} errors\n", load_.progress,
                 static_cast<double>(now - control_.start_ns()) / 1e9, done, rate,
                 control_.errors());
      before = done;
      before_ns = now;
    }
  }

  const Load& load_;
  const RunControl& control_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace

uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

void Stats::add_error(const std::string& code, const std::string& message, uint64_t count) {
  ErrorCount& error = errors[code];
  if (error.count == 0) error.first_message = message;
  error.count += count;
}

void Stats::merge(const Stats& other) {
  reads.merge(other.reads);
  writes.merge(other.writes);
  keys_read += other.keys_read;
  for (const auto& [code, error] : other.errors) add_error(code, error.first_message, error.count);
}

uint64_t Stats::failed() const {
  uint64_t sum = 0;
  for (const auto& [code, error] : errors) sum += error.count;
  return sum;
}

LoadResult run_load(const Load& load, const CallerFactory& make_caller) {
  const int threads = std::min(load.threads, load.clients);
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < threads; ++i) workers.push_back(std::make_unique<Worker>());
  for (int i = 0; i < load.clients; ++i) {
    Worker& worker = *workers[static_cast<size_t>(i % threads)];
    worker.add(make_caller(i % threads, i, worker.queue()));
  }
  RunControl control(load);
  {
    Progress progress(load, control);
    std::vector<std::thread> running;
    for (size_t i = 1; i < workers.size(); ++i) {
      running.emplace_back([&control, worker = workers[i].get()] { worker->run(&control); });
    }
    workers[0]->run(&control);
    for (std::thread& thread : running) thread.join();
  }
  LoadResult result;
  uint64_t end = control.start_ns() + 1;
  for (const auto& worker : workers) {
    result.stats.merge(worker->stats());
    end = std::max(end, worker->last_finish_ns());
  }
  result.elapsed_s = static_cast<double>(end - control.start_ns()) / 1e9;
  return result;
}

void interrupt_runs() { g_interrupted.store(true, std::memory_order_relaxed); }
bool runs_interrupted() { return g_interrupted.load(std::memory_order_relaxed); }

const char* status_code_name(grpc::StatusCode code) {
  static constexpr const char* kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS",
                                           "UNAUTHENTICATED"};
  const auto index = static_cast<size_t>(code);
  return index < std::size(kNames) ? kNames[index] : "UNRECOGNISED";
}

}  // namespace mortise::bench
