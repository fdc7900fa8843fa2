// Errors of the environment: a file that cannot be read, a plugin that fails, a bad option. Errors
// that a client sees are host/api's RpcError; bugs are MORTISE_CHECK (check.h). Nothing of ours
// throws.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "host/base/check.h"

namespace mortise {

enum class StatusCode : uint8_t {
  kOk = 0,
  kNotFound,
  kInvalid,  // The caller's input is wrong; nothing was changed.
  kIo,
  kNoSpace,
  kCorruption,  // Stored data failed a check.
  kInUse,       // A lock or an address is held by somebody else.
  kDropped,     // Not taken now: no leader, or a named limit is reached.
  kStopped,
  kInternal,
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message)
      : rep_(code == StatusCode::kOk ? nullptr
                                     : std::make_unique<Rep>(Rep{code, std::move(message)})) {}
  Status(const Status& other) : rep_(other.rep_ ? std::make_unique<Rep>(*other.rep_) : nullptr) {}
  Status& operator=(const Status& other) {
    if (this != &other) rep_ = other.rep_ ? std::make_unique<Rep>(*other.rep_) : nullptr;
    return *this;
  }
  Status(Status&&) noexcept = default;
  Status& operator=(Status&&) noexcept = default;

  static Status ok_status() { return Status(); }
  bool ok() const { return rep_ == nullptr; }
  StatusCode code() const { return rep_ ? rep_->code : StatusCode::kOk; }
  // Empty if ok.
  const std::string& message() const {
    static const std::string kEmpty;
    return rep_ ? rep_->message : kEmpty;
  }

 private:
  struct Rep {
    StatusCode code;
    std::string message;
  };
  std::unique_ptr<Rep> rep_;
};

inline Status invalid(std::string m) { return Status(StatusCode::kInvalid, std::move(m)); }
inline Status not_found(std::string m) { return Status(StatusCode::kNotFound, std::move(m)); }
inline Status corruption(std::string m) { return Status(StatusCode::kCorruption, std::move(m)); }
inline Status internal_error(std::string m) { return Status(StatusCode::kInternal, std::move(m)); }
// kNoSpace for ENOSPC and EDQUOT, kNotFound for ENOENT, else kIo; the message ends with strerror.
Status errno_status(int os_errno, std::string what);

// A T, or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {  // NOLINT(google-explicit-constructor)
    MORTISE_CHECK(!status_.ok(), "a Result without value needs an error");
  }
  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() & {
    MORTISE_CHECK(ok(), status_.message());
    return *value_;
  }
  const T& value() const& {
    MORTISE_CHECK(ok(), status_.message());
    return *value_;
  }
  T&& value() && {
    MORTISE_CHECK(ok(), status_.message());
    return std::move(*value_);
  }
  T* operator->() { return &value(); }
  T& operator*() & { return value(); }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace mortise

// Returns the status of `expr` from the enclosing function unless it is ok.
#define MORTISE_RETURN_IF_ERROR(expr)                                                 \
  do {                                                                                \
    if (auto mortise_status_ = (expr); !mortise_status_.ok()) return mortise_status_; \
  } while (0)

#define MORTISE_CONCAT_INNER(a, b) a##b
#define MORTISE_CONCAT(a, b) MORTISE_CONCAT_INNER(a, b)
#define MORTISE_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                                  \
  if (!tmp.ok()) return tmp.status();                 \
  lhs = std::move(tmp).value()
// MORTISE_ASSIGN_OR_RETURN(auto x, make_x());
#define MORTISE_ASSIGN_OR_RETURN(lhs, expr) \
  MORTISE_ASSIGN_OR_RETURN_IMPL(MORTISE_CONCAT(mortise_result_, __LINE__), lhs, expr)
