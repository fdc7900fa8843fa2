// A proposal's waiter for a thread that may wait.
#pragma once

#include <future>
#include <utility>

#include "host/apply/result.h"

namespace mortise::server {

class PromiseWaiter : public apply::Waiter {
 public:
  explicit PromiseWaiter(std::promise<RpcStatus> done) : done_(std::move(done)) {}
  void complete(apply::ApplyResult result) override { done_.set_value(result.rpc); }

 private:
  std::promise<RpcStatus> done_;
};

}  // namespace mortise::server
