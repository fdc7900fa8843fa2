// What the DNS says: SRV records, and addresses of names. Called by srv.h at start, on its thread;
// each call waits as long as the system's resolver does. Errors are kInvalid with the text that
// Go's resolver has, "lookup <name> on <server>: no such host".
#pragma once

#include <string>
#include <vector>

#include "host/base/status.h"

namespace mortise::discovery {

struct SrvRecord {
  uint16_t priority = 0;
  uint16_t weight = 0;
  uint16_t port = 0;
  std::string target;  // Without a dot at the end.
};

// By priority, those with more weight in front. `server` is "address:port" or "address" of a name
// server to ask; empty means those of the system.
Result<std::vector<SrvRecord>> lookup_srv(const std::string& name, const std::string& server);

// IPv4 before IPv6.
Result<std::string> lookup_address(const std::string& host);

}  // namespace mortise::discovery
