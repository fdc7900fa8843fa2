// TLS over one non-blocking socket, without waiting: what cannot be done now is said, and the
// caller comes again. Ciphertext gathers and leaves with as few writes as possible. Used by one
// thread at a time. Private to this folder.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "host/base/status.h"
#include "host/tls/identity.h"

struct bio_method_st;
struct bio_st;
struct ssl_ctx_st;
struct ssl_st;

namespace mortise::tls {

class Session {
 public:
  enum class Step : uint8_t { kDone, kWait, kEnd, kFailed };

  // Owns `fd`. A client says whom it wants to reach, and checks that it does; empty: nobody in
  // particular.
  Session(std::shared_ptr<ssl_ctx_st> context, int fd, bool is_server,
          const std::string& server_name);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  int fd() const { return fd_; }
  bool is_client() const { return !is_server_; }
  // The socket may have bytes, or the end: until this is said again, reads that have found it empty
  // are not repeated.
  void readable(bool ended);

  Step handshake();
  // kDone: *size bytes were read, at least one. kEnd: the other side sends no more.
  Step read(char* buffer, size_t capacity, size_t* size);
  // Encrypts; flush() sends. False: the connection is broken.
  bool write(std::string_view bytes);
  // Says that nothing more is sent.
  void write_end();
  // kWait: there is more than the socket takes.
  Step flush();
  bool has_unsent() const { return sent_ < unsent_.size(); }

  Identity identity() const;
  // Why the last step failed.
  const std::string& error() const { return error_; }
  bool is_plain_end() const { return error_ == "EOF"; }

 private:
  static int bio_read(bio_st* bio, char* out, int size);
  static int bio_write(bio_st* bio, const char* in, int size);
  static long bio_control(bio_st* bio, int command, long number, void* pointer);
  static const bio_method_st* bio_methods();
  Step failed(int code);

  const std::shared_ptr<ssl_ctx_st> context_;  // Holds the rules, too.
  const int fd_;
  const bool is_server_;
  ssl_st* ssl_ = nullptr;
  std::string unsent_;
  size_t sent_ = 0;
  bool may_read_ = true;
  bool socket_ended_ = false;
  int socket_error_ = 0;
  std::string refusal_;
  std::string error_;
};

}  // namespace mortise::tls
