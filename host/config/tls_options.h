// What the options say about TLS on one side, clients or members. Plain values: host/config fills
// them, host/tls makes contexts of them.
#pragma once

#include <string>
#include <vector>

namespace mortise::config {

struct TlsOptions {
  std::string cert_file;  // PEM: the certificate, then those between it and the CA.
  std::string key_file;
  // For connections that this server makes; empty: the pair above.
  std::string client_cert_file;
  std::string client_key_file;
  std::string trusted_ca_file;  // Given alone, it makes clients show a certificate, too.
  std::string crl_file;
  bool client_cert_auth = false;
  bool skip_client_san_verification = false;
  // The certificate of the other side must have one of these; only one list may be given.
  std::vector<std::string> allowed_cns;
  std::vector<std::string> allowed_hostnames;

  std::vector<std::string> cipher_suites;  // IANA names; empty: what is good today.
  std::string min_version;                 // "", "TLS1.2" or "TLS1.3"
  std::string max_version;

  bool auto_tls = false;  // A certificate is to be made if none is given.
  // Of a client: servers' certificates are not checked, as with those that servers made themselves.
  bool trusts_any_server = false;

  bool has_certificate() const { return !cert_file.empty() || !key_file.empty(); }
};

}  // namespace mortise::config
