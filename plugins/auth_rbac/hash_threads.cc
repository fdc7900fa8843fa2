#include "plugins/auth_rbac/hash_threads.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace mortise::auth_rbac {

HashThreads::HashThreads() {
  const unsigned count =
      std::clamp((std::thread::hardware_concurrency() + 1) / 2, 1u, kHashThreadsMax);
  for (unsigned i = 0; i < count; ++i) {
    threads_.emplace_back([this] { work(); });
    pthread_setname_np(threads_.back().native_handle(), "mortise-bcrypt");
  }
}

HashThreads::~HashThreads() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& t : threads_) t.join();
}

bool HashThreads::run(Kind kind, Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || waiting_[kind].size() >= kHashTasksMax) return false;
    waiting_[kind].push_back(std::move(task));
  }
  wake_.notify_one();
  return true;
}

void HashThreads::work() {
  std::unique_lock lock(mutex_);
  const auto next = [&]() -> std::deque<Task>* {
    for (auto& queue : waiting_) {
      if (!queue.empty()) return &queue;
    }
    return nullptr;
  };
  for (;;) {
    wake_.wait(lock, [&] { return stopping_ || next() != nullptr; });
    std::deque<Task>* queue = next();
    if (queue == nullptr) return;
    Task task = std::move(queue->front());
    queue->pop_front();
    const bool stopping = stopping_;
    lock.unlock();
    task(stopping);
    task = nullptr;
    lock.lock();
  }
}

}  // namespace mortise::auth_rbac
