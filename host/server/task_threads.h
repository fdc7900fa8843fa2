// Threads that run tasks in the order in which they came; one of them, if not said otherwise, so
// that each task is done before the next one begins. A stop lets those that wait run first.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "host/base/status.h"

namespace mortise::server {

class TaskThreads {
 public:
  static constexpr size_t kTasksWaitingMax = 1000;

  explicit TaskThreads(size_t count = 1) {
    for (size_t i = 0; i < count; ++i) threads_.emplace_back([this] { run(); });
  }
  ~TaskThreads() { stop(); }

  // kStopped after a stop, kDropped if too many tasks wait: the task never runs.
  Status post(std::function<void()> task) {
    std::lock_guard lock(mutex_);
    if (stopping_) return Status(StatusCode::kStopped, "server stopped");
    if (tasks_.size() >= kTasksWaitingMax) {
      return Status(StatusCode::kDropped, "too many tasks wait");
    }
    tasks_.push_back(std::move(task));
    wake_.notify_one();
    return Status();
  }
  // Runs what waits, then ends the threads.
  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      wake_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  void run() {
    for (;;) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stopping_ || !tasks_.empty(); });
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace mortise::server
