#include "host/server/allocator_figures.h"

#include <cstddef>

// jemalloc's, if the process allocates with it.
extern "C" __attribute__((weak)) int mallctl(const char* name, void* old, size_t* old_size,
                                             void* value, size_t value_size);

namespace mortise::server {
namespace {

uint64_t figure(const char* name) {
  size_t value = 0, size = sizeof value;
  return mallctl(name, &value, &size, nullptr, 0) == 0 ? value : 0;
}

}  // namespace

AllocatorFigures allocator_figures() {
  if (mallctl == nullptr) return {};
  uint64_t epoch = 1;  // The figures are those of the last change of this.
  mallctl("epoch", nullptr, nullptr, &epoch, sizeof epoch);
  return {figure("stats.allocated"), figure("stats.active"), figure("stats.mapped"),
          figure("stats.retained")};
}

}  // namespace mortise::server
