// MORTISE_CHECK(condition, message): a bug if it does not hold. On in every build; prints the
// condition, the message and the place on stderr and aborts, because a server that runs on after a
// broken invariant may lose data.
#pragma once

#include <cstdint>
#include <string_view>

namespace mortise {

[[noreturn]] void check_failed(const char* condition, const char* file, int line,
                               std::string_view message);

}  // namespace mortise

#define MORTISE_CHECK(condition, message)            \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::mortise::check_failed(#condition, __FILE__, __LINE__, (message)))
