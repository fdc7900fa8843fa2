#include "host/tls/cipher_suites.h"

#include <array>
#include <string_view>

namespace mortise::tls {
namespace {

struct Suite {
  std::string_view name;
  std::string_view
      openssl;  // Empty: OpenSSL 3 has no such cipher, or Debian's build leaves it out.
  bool is_tls13 = false;
};

constexpr std::array kSuites = {
    Suite{"TLS_AES_128_GCM_SHA256", "", true},
    Suite{"TLS_AES_256_GCM_SHA384", "", true},
    Suite{"TLS_CHACHA20_POLY1305_SHA256", "", true},
    Suite{"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"},
    Suite{"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"},
    Suite{"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"},
    Suite{"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"},
    Suite{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    Suite{"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    Suite{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
    Suite{"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
    Suite{"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
    Suite{"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    Suite{"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"},
    Suite{"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    Suite{"TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"},
    Suite{"TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"},
    Suite{"TLS_RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256"},
    Suite{"TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"},
    Suite{"TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"},
    Suite{"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256"},
    Suite{"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"},
    Suite{"TLS_RSA_WITH_RC4_128_SHA", ""},
    Suite{"TLS_RSA_WITH_3DES_EDE_CBC_SHA", ""},
    Suite{"TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", ""},
    Suite{"TLS_ECDHE_RSA_WITH_RC4_128_SHA", ""},
    Suite{"TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", ""},
};

const Suite* find_suite(std::string_view name) {
  for (const Suite& suite : kSuites) {
    if (suite.name == name) return &suite;
  }
  return nullptr;
}

}  // namespace

Status check_cipher_suites(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (find_suite(name) == nullptr) {
      return invalid("unexpected TLS cipher suite \"" + name + "\"");
    }
  }
  return Status();
}

Result<CipherList> parse_cipher_suites(const std::vector<std::string>& names) {
  MORTISE_RETURN_IF_ERROR(check_cipher_suites(names));
  CipherList list;
  bool has_tls13 = false;
  for (const std::string& name : names) {
    const Suite* suite = find_suite(name);
    has_tls13 |= suite->is_tls13;
    if (suite->is_tls13) continue;
    if (suite->openssl.empty()) {
      list.missing.push_back(name);
      continue;
    }
    if (!list.openssl.empty()) list.openssl += ':';
    list.openssl += suite->openssl;
  }
  if (list.openssl.empty() && !has_tls13 && !names.empty()) {
    return invalid("none of the given TLS cipher suites can be offered: OpenSSL has no " +
                   list.missing.front());
  }
  return list;
}

}  // namespace mortise::tls
