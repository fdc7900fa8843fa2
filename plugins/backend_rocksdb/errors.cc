#include "plugins/backend_rocksdb/errors.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace mortise::backend_rocksdb {
namespace {

mortise_status code_of(const rocksdb::Status& status) {
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::kNoSpace) {
    return MORTISE_E_NO_SPACE;
  }
  switch (status.code()) {
    case rocksdb::Status::kCorruption: return MORTISE_E_CORRUPTION;
    case rocksdb::Status::kIOError:
    case rocksdb::Status::kTimedOut:
    case rocksdb::Status::kTryAgain: return MORTISE_E_IO;
    case rocksdb::Status::kShutdownInProgress: return MORTISE_E_STOPPED;
    case rocksdb::Status::kNotSupported: return MORTISE_E_UNSUPPORTED;
    default: return MORTISE_E_INTERNAL;
  }
}

}  // namespace

Status failure(mortise_status code, std::string message, int os_errno) {
  return Status(code, std::move(message), os_errno);
}

Status system_failure(int os_errno, std::string_view doing, const std::string& path) {
  mortise_status code = MORTISE_E_IO;
  if (os_errno == ENOSPC || os_errno == EDQUOT) code = MORTISE_E_NO_SPACE;
  std::string message(doing);
  message.append(" ").append(path).append(": ").append(std::strerror(os_errno));
  return failure(code, std::move(message), os_errno);
}

Status from_rocksdb(const rocksdb::Status& status, std::string_view doing,
                    const std::string& path) {
  if (status.ok()) return Status();
  const mortise_status code = code_of(status);
  std::string message(doing);
  message.append(" ").append(path).append(": ").append(status.ToString());
  return failure(code, std::move(message), code == MORTISE_E_NO_SPACE ? ENOSPC : 0);
}

}  // namespace mortise::backend_rocksdb
