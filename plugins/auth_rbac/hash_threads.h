// Threads that compute what takes long, and nothing else: bcrypt takes a tenth of a second or, at
// the highest cost, days, so neither a transport's threads nor the host's executor may do it.
//
// Half of the machine's processors, four threads at most. Tasks of `kSign` (tokens) go first, then
// those of `kChange` (new passwords, which only administrators set), and `kCheck` last. Any thread
// may run(); the destructor runs what waits, with `stopping` true, and returns when that is done.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace mortise::auth_rbac {

inline constexpr size_t kHashTasksMax = 1024;  // Of each kind.
inline constexpr unsigned kHashThreadsMax = 4;

class HashThreads {
 public:
  using Task = std::function<void(bool stopping)>;
  enum Kind { kSign, kChange, kCheck, kKinds };

  HashThreads();
  ~HashThreads();
  HashThreads(const HashThreads&) = delete;
  HashThreads& operator=(const HashThreads&) = delete;

  // False: too many wait; the task is not run.
  bool run(Kind kind, Task task);

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> waiting_[kKinds];
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace mortise::auth_rbac
