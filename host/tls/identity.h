// Who is at the other end of a TLS connection.
#pragma once

#include <string>
#include <vector>

namespace mortise::tls {

struct Identity {
  bool has_certificate = false;
  bool is_verified = false;  // The certificate was, against the CA that is trusted.
  std::string common_name;   // Of the leaf.
  std::vector<std::string> ip_addresses;
  std::vector<std::string> dns_names;
  std::string server_name;  // What the client asked for.
};

}  // namespace mortise::tls
