// Listens on the client and peer URLs, takes TLS off, looks at the first bytes of each connection
// and hands it to whoever claims it.
//
// One thread accepts and peeks for all listeners; handshakes are the relay's (host/tls). A
// connection that says nothing within kPeekTimeout is closed, and one that would take a descriptor
// that is kept for the server's own files is closed at once.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/base/status.h"
#include "host/config/url.h"
#include "host/tls/relay.h"
#include "mortise/abi/transport.h"

namespace mortise::server {

constexpr std::chrono::seconds kPeekTimeout{10};

// How many descriptors of so many clients leave to the log, the store and other members: without
// them the server would have to stop. Members may take half of these.
int descriptors_kept(uint64_t limit);

struct Accepted {
  int fd = -1;  // The receiver's; plain bytes.
  std::string listener;
  std::string remote;
  std::string first_bytes;
  mortise_opening_kind kind = MORTISE_OPENING_OTHER;
  bool is_tls = false;      // The client came over TLS.
  std::string common_name;  // Of its verified certificate.
};

struct Rejected {
  std::string remote;
  std::string error;
  bool is_plain_end = false;  // It just went.
  tls::Identity identity;
};

class Listeners {
 public:
  // Called on the listeners' thread or one of the relay's; must not block.
  struct Options {
    bool reuse_port = false;
    bool reuse_address = false;
    bool for_members = false;
    std::function<void(Accepted)> accepted;
    std::function<void(const Rejected&)> rejected;
    // For https and unixs.
    tls::Relay* relay = nullptr;
    std::shared_ptr<tls::Context> tls;
    // May refuse a client whose handshake is over, by an error; empty: none is refused. The second
    // function is called once, on any thread.
    std::function<void(const tls::Identity&, const std::string& remote,
                       std::function<void(Status)>)>
        check;
  };
  Listeners();
  ~Listeners();

  // Binds and listens; connections wait until start(). The URLs have one address; with http and
  // https among them both are served there. kInUse names the address.
  Status add(const std::vector<config::Url>& urls, Options options);
  void start();
  // No more connections; socket files are removed.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// URLs that differ in nothing but their scheme, together; the order is kept.
std::vector<std::vector<config::Url>> by_address(const std::vector<config::Url>& urls);
// "127.0.0.1:2379", or the path of a socket.
std::string address_of(const config::Url& url);

}  // namespace mortise::server
