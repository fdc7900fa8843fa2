// A thread that runs tasks one after another. A stop lets those that wait run first.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace mortise::server {

class TaskThread {
 public:
  static constexpr size_t kTasksWaitingMax = 1000;

  TaskThread() : thread_([this] { run(); }) {}
  ~TaskThread() { stop(); }

  // False if it has stopped or too many tasks wait: the task never runs.
  bool post(std::function<void()> task) {
    std::lock_guard lock(mutex_);
    if (stopping_ || tasks_.size() >= kTasksWaitingMax) return false;
    tasks_.push_back(std::move(task));
    wake_.notify_one();
    return true;
  }
  // Runs what waits, then ends the thread.
  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      wake_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
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
  std::thread thread_;
};

}  // namespace mortise::server
