#include "host/base/status.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mortise {

void check_failed(const char* condition, const char* file, int line, std::string_view message) {
  std::fprintf(stderr, "mortise: check failed: %s at %s:%d: %.*s\n", condition, file, line,
               static_cast<int>(message.size()), message.data());
  std::abort();
}

Status errno_status(int os_errno, std::string what) {
  StatusCode code = StatusCode::kIo;
  if (os_errno == ENOSPC || os_errno == EDQUOT) code = StatusCode::kNoSpace;
  if (os_errno == ENOENT) code = StatusCode::kNotFound;
  char text[128];
  return Status(code, std::move(what) + ": " + strerror_r(os_errno, text, sizeof text));
}

}  // namespace mortise
