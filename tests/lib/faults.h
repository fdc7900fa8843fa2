// What can happen to a member of a test's cluster, and its undoing.
#pragma once

#include "tests/lib/cluster.h"

namespace mortise::testing {

enum class Fault {
  kKill,     // kill -9; it starts again.
  kPause,    // SIGSTOP; it goes on.
  kIsolate,  // Cut off from all others.
  kMute,     // Nothing that it says arrives.
  kDeaf,     // Nothing arrives that is said to it.
};
constexpr int kFaults = 5;

const char* fault_name(Fault fault);
void begin_fault(Cluster* cluster, Fault fault, size_t member);
// Does not wait until the member serves.
Status end_fault(Cluster* cluster, Fault fault, size_t member);

}  // namespace mortise::testing
