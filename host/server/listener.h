// Listens on the client and peer URLs, looks at the first bytes of each connection and hands it to
// whoever claims it.
//
// One thread accepts and peeks for all listeners. A connection that says nothing within
// kPeekTimeout is closed.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/base/status.h"
#include "host/config/url.h"
#include "mortise/abi/transport.h"

namespace mortise::server {

constexpr std::chrono::seconds kPeekTimeout{10};

struct Accepted {
  int fd = -1;  // The receiver's.
  std::string listener;
  std::string remote;
  std::string first_bytes;
  mortise_opening_kind kind = MORTISE_OPENING_OTHER;
  bool is_tls = false;  // The first bytes are a ClientHello.
};

class Listeners {
 public:
  struct Options {
    bool reuse_port = false;
    bool reuse_address = false;
  };
  Listeners();
  ~Listeners();

  // Binds and listens; connections wait until start(). kInUse names the address.
  Status add(const config::Url& url, const Options& options,
             std::function<void(Accepted)> on_accepted);
  void start();
  // No more connections; socket files are removed.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mortise::server
