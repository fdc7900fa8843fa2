// Names of cipher suites: IANA's, which options use, and OpenSSL's.
#pragma once

#include <string>
#include <vector>

#include "host/base/status.h"

namespace mortise::tls {

// What is offered for TLS 1.2 if no list is given: forward secrecy, and what clients of today have.
inline constexpr const char* kDefaultCiphers =
    "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:"
    "ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA";

struct CipherList {
  std::string openssl;               // For TLS 1.2; empty if the names are all of TLS 1.3.
  std::vector<std::string> missing;  // Known, but too weak for this build of OpenSSL.
};

// kInvalid names one that nobody knows. Also where nothing is served over TLS.
Status check_cipher_suites(const std::vector<std::string>& names);

// As above. Suites of TLS 1.3 are always all offered, so their names
// change nothing.
Result<CipherList> parse_cipher_suites(const std::vector<std::string>& names);

}  // namespace mortise::tls
