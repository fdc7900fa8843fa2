// Who the other side is, and whether it may come in. Private to this folder, but for Identity.
#pragma once

#include <openssl/ssl.h>

#include <set>
#include <string>
#include <vector>

#include "host/base/status.h"
#include "host/config/tls_options.h"
#include "host/tls/identity.h"

namespace mortise::tls {

// Beyond what OpenSSL checks: lists of names, and serial numbers that were revoked.
struct Rules {
  std::vector<std::string> allowed_cns;
  std::vector<std::string> allowed_hostnames;
  std::set<std::string> revoked;  // Serial numbers, big-endian.
};

// The serial numbers in a revocation list, DER or PEM.
Result<std::set<std::string>> parse_crl(const std::string& bytes);

// What OpenSSL is to call for each certificate chain; `rules` outlives the context.
void install_rules(SSL_CTX* context, const Rules* rules);
// Where a connection's refusal is written, in words.
void note_refusals(SSL* ssl, std::string* refusal);

// A name or an IP address; the common name counts for nothing.
bool matches_host(X509* certificate, const std::string& host);
Identity identity_of(SSL* ssl);

}  // namespace mortise::tls
