// A few threads that run short tasks and timers, for "mortise.host.executor/1" and the host's own
// chores.
//
// Threads: any, all functions; stop() and the destructor not from a task. After stop() nothing is
// taken; tasks that were posted have run, timers that were not due never run.
#pragma once

#include <cstdint>
#include <memory>

#include "mortise/abi/host.h"

namespace mortise::loader {

class Executor {
 public:
  explicit Executor(int thread_count);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // False: stopped, fn never runs.
  bool post(mortise_task_fn fn, void* context);
  // The timer's number, or 0: stopped.
  uint64_t start_timer(uint64_t delay_ns, mortise_task_fn fn, void* context);
  // True: it will not run. False: it has run, runs now, or never was.
  bool cancel_timer(uint64_t timer);
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mortise::loader
