#include "tests/lib/faults.h"

namespace mortise::testing {

const char* fault_name(Fault fault) {
  switch (fault) {
    case Fault::kKill: return "kill";
    case Fault::kPause: return "pause";
    case Fault::kIsolate: return "isolate";
    case Fault::kMute: return "mute";
    case Fault::kDeaf: return "deaf";
  }
  return "";
}

void begin_fault(Cluster* cluster, Fault fault, size_t member) {
  if (fault == Fault::kKill) cluster->kill(member);
  if (fault == Fault::kPause) cluster->pause(member);
  if (fault == Fault::kIsolate) cluster->network().isolate(member);
  for (size_t other = 0; other < cluster->size(); ++other) {
    if (other == member) continue;
    if (fault == Fault::kMute) cluster->network().cut(member, other);
    if (fault == Fault::kDeaf) cluster->network().cut(other, member);
  }
}

Status end_fault(Cluster* cluster, Fault fault, size_t member) {
  if (fault == Fault::kKill) return cluster->launch(member);
  if (fault == Fault::kPause) cluster->resume(member);
  cluster->network().mend();
  return Status();
}

}  // namespace mortise::testing
