// What the allocator says of itself. All zero if the process does not allocate with jemalloc.
#pragma once

#include <cstdint>

namespace mortise::server {

struct AllocatorFigures {
  uint64_t allocated = 0;  // Bytes given out.
  uint64_t active = 0;     // Of the pages that hold them.
  uint64_t mapped = 0;
  uint64_t retained = 0;  // Given back to the system, addresses kept.
};

AllocatorFigures allocator_figures();

}  // namespace mortise::server
