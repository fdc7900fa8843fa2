// What a plugin's functions return: a status code of the ABI with the detail that goes into
// mortise_error.
//
// Plain value, no thread rules. A status without a message allocates nothing, so not_found() is
// cheap enough for every miss of a lookup and every end of a scan.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "mortise/abi/base.h"

namespace mortise::sdk {

class [[nodiscard]] Status {
 public:
  Status() noexcept = default;
  Status(mortise_status status_code, std::string text, int number = 0)
      : code(status_code), os_errno(number), message(std::move(text)) {}
  explicit Status(mortise_status status_code) noexcept : code(status_code) {}

  static Status ok_status() noexcept { return Status(); }
  bool ok() const noexcept { return code == MORTISE_OK; }

  mortise_status code = MORTISE_OK;
  int os_errno = 0;
  std::string message;
};

// Expected, has no message.
inline Status not_found() noexcept { return Status(MORTISE_E_NOT_FOUND); }
inline Status invalid(std::string m) { return Status(MORTISE_E_INVALID, std::move(m)); }
inline Status unsupported(std::string m) { return Status(MORTISE_E_UNSUPPORTED, std::move(m)); }
inline Status in_use(std::string m) { return Status(MORTISE_E_IN_USE, std::move(m)); }
inline Status stopped(std::string m) { return Status(MORTISE_E_STOPPED, std::move(m)); }
inline Status corruption(std::string m) { return Status(MORTISE_E_CORRUPTION, std::move(m)); }
inline Status newer_format(std::string m) { return Status(MORTISE_E_NEWER_FORMAT, std::move(m)); }
inline Status internal_error(std::string m) { return Status(MORTISE_E_INTERNAL, std::move(m)); }

// E_NO_SPACE for ENOSPC and EDQUOT, else E_IO; the message is "<what>: <text of the number>".
inline Status io_error(int number, std::string_view what) {
  const bool full = number == ENOSPC || number == EDQUOT;
  return Status(full ? MORTISE_E_NO_SPACE : MORTISE_E_IO,
                std::string(what) + ": " + std::system_category().message(number), number);
}

// Fills the caller's mortise_error, which may be null or shorter than this side's. The message is
// cut at the border of a UTF-8 character.
inline void write_error(const Status& status, mortise_error* error) noexcept {
  if (error == nullptr || status.ok() || status.code == MORTISE_E_NOT_FOUND) return;
  if (error->struct_size < offsetof(mortise_error, message)) return;
  error->os_errno = status.os_errno;
  size_t room = error->struct_size - offsetof(mortise_error, message);
  if (room > MORTISE_ERROR_MESSAGE_MAX) room = MORTISE_ERROR_MESSAGE_MAX;
  if (room == 0) return;
  size_t size = status.message.size() < room - 1 ? status.message.size() : room - 1;
  if (size < status.message.size()) {
    while (size > 0 && (static_cast<unsigned char>(status.message[size]) & 0xC0u) == 0x80u) --size;
  }
  std::memcpy(error->message, status.message.data(), size);
  error->message[size] = '\0';
}

namespace detail {

// The catch-all of every trampoline, out of line so that the hot path stays small. Called in a
// handler.
[[gnu::noinline, gnu::cold]] inline mortise_status exception_status(mortise_error* error) noexcept {
  try {
    try {
      throw;
    } catch (const std::bad_alloc&) {
      write_error(internal_error("out of memory"), error);
    } catch (const std::exception& e) {
      write_error(internal_error(e.what()), error);
    } catch (...) {
      write_error(internal_error("an exception of an unknown type"), error);
    }
  } catch (...) {
    // No memory even for the message: the code alone has to do.
  }
  return MORTISE_E_INTERNAL;
}

// Runs `body`, a function that returns a Status, and answers in the ABI's terms.
template <class Body>
inline mortise_status guard(mortise_error* error, Body&& body) noexcept {
  try {
    const Status status = body();
    if (!status.ok()) [[unlikely]]
      write_error(status, error);
    return status.code;
  } catch (...) {
    return exception_status(error);
  }
}

}  // namespace detail
}  // namespace mortise::sdk

// Returns the status of `expr` from the enclosing function unless it is ok.
#define MORTISE_SDK_RETURN_IF_ERROR(expr)                                                         \
  do {                                                                                            \
    if (auto mortise_sdk_status_ = (expr); !mortise_sdk_status_.ok()) return mortise_sdk_status_; \
  } while (0)
