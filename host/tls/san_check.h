// Whether a certificate belongs to the machine that shows it, as etcd asks of other members: one of
// its IP addresses must be the one the connection came from, or one of its names must lead there.
// Pure but for the resolver, which may block.
#pragma once

#include <string>
#include <vector>

#include "host/base/status.h"
#include "host/tls/identity.h"

namespace mortise::tls {

class Resolver {
 public:
  virtual ~Resolver() = default;
  virtual std::vector<std::string> names_of(const std::string& ip) = 0;
  virtual std::vector<std::string> ips_of(const std::string& name) = 0;
};

// The system's; may block for as long as the DNS takes.
Resolver* system_resolver();

// A certificate without any names, or none at all, is fine.
Status check_san(const Identity& identity, const std::string& remote_ip, Resolver* resolver);
// Whether check_san() would have to ask the resolver.
bool needs_resolver(const Identity& identity, const std::string& remote_ip);

}  // namespace mortise::tls
