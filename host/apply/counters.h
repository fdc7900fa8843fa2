// How long entries took, by kind; for metrics.
#pragma once

#include <array>
#include <string_view>

#include "host/base/metrics.h"

namespace mortise::apply {

// Kinds of requests in the log, numbered from 0. The last stands for those that are not known.
constexpr size_t kOps = 31;
size_t op_of(uint32_t field);
std::string_view op_name(size_t op);  // "Put", "LeaseGrant", ...; the last is "Unknown".

// Nanoseconds. Any thread reads it.
struct OpCounters {
  FineHistogram applied, refused;  // From decoded to done, without the commit; by result.
  DiskHistogram answered;          // From proposed to committed, of those proposed here.
  DiskHistogram failed;            // The same for those with an error.
};
using Counters = std::array<OpCounters, kOps>;

}  // namespace mortise::apply
