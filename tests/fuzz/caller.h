// Sends bytes as the messages of one call.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "tests/fuzz/seeds.h"
#include "tests/lib/client.h"

namespace mortise::fuzz {

struct Call {
  const Method* method;
  std::vector<std::string> messages;
  // After so long the client ends a call that may wait.
  std::chrono::milliseconds patience{0};
};

// "/etcdserverpb.KV/Put 0a016b1201ff", for a report.
std::string call_text(const Call& call);

// Its status. The client of a call that may not wait waits long; DEADLINE_EXCEEDED is that it has
// none. Any thread.
grpc::Status perform(const std::shared_ptr<grpc::Channel>& channel, const Call& call);

}  // namespace mortise::fuzz
