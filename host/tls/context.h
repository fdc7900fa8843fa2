// What TLS connections of one side are made from: certificates, keys, rules. The files are looked
// at before each connection and read again if one has changed, so a certificate, a CA bundle or a
// revocation list can be replaced while the server runs; connections that are open stay. A file
// that cannot be used leaves what was there in use, with a line in the log that names it.
//
// Made by host/server at start. Thread-safe. Errors of create(): kInvalid, with etcd's text where
// it has one, and the file's name.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/base/status.h"
#include "host/config/tls_options.h"

struct ssl_ctx_st;

namespace mortise::tls {

enum class LogLevel : uint8_t { kInfo, kWarn, kError };
using LogFields = std::vector<std::pair<std::string, std::string>>;
using LogHook = std::function<void(LogLevel, std::string_view message, const LogFields& fields)>;

// For whom a context is. Servers that have a choice take HTTP/1.1 from clients that can speak it,
// since they are browsers and the like.
enum class Side : uint8_t { kServer, kHttp1Server, kHttp2Server, kClient };

class Context {
 public:
  static Result<std::shared_ptr<Context>> create(config::TlsOptions options, Side side,
                                                 LogHook log);
  ~Context();

  Side side() const { return side_; }
  // For one new connection.
  std::shared_ptr<ssl_ctx_st> current();

 private:
  // A file as it was when it was read; any change to it changes this.
  struct Stamp {
    uint64_t device = 0, inode = 0, size = 0;
    int64_t changed_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct File {
    const char* what;  // For the log.
    std::string path;
    Stamp stamp;
  };
  Context(config::TlsOptions options, Side side, LogHook log);
  bool have_files_changed();
  void add_file(const char* what, const std::string& path);

  const config::TlsOptions options_;
  const Side side_;
  const LogHook log_;

  std::mutex mutex_;
  std::vector<File> files_;                        // Guarded by mutex_, as what follows.
  std::chrono::system_clock::time_point read_at_;  // The files, for the last time.
  std::shared_ptr<ssl_ctx_st> current_;
  std::string last_error_;
};

}  // namespace mortise::tls
