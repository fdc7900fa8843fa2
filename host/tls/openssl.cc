#include "host/tls/openssl.h"

#include <openssl/err.h>

namespace mortise::tls {
namespace {

std::string text_of(unsigned long error) {
  const int reason = ERR_GET_REASON(error);
  if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET) {
    return std::string("remote error: tls: ") +
           SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET);
  }
  if (ERR_GET_LIB(error) == ERR_LIB_SSL) {
    switch (reason) {
      case SSL_R_HTTP_REQUEST:
      case SSL_R_WRONG_VERSION_NUMBER:
      case SSL_R_HTTPS_PROXY_REQUEST: return "tls: first record does not look like a TLS handshake";
      case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return "tls: the client gave no certificate";
      case SSL_R_NO_SHARED_CIPHER:
        return "tls: no cipher suite supported by both client and server";
      case SSL_R_UNSUPPORTED_PROTOCOL:
        return "tls: the client offers only unsupported versions of TLS";
      default: break;
    }
  }
  const char* words = ERR_reason_error_string(error);
  if (words != nullptr) return std::string("tls: ") + words;
  char buffer[256];
  ERR_error_string_n(error, buffer, sizeof buffer);
  return std::string("tls: ") + buffer;
}

}  // namespace

std::string take_error() {
  const unsigned long error = ERR_get_error();
  ERR_clear_error();
  return error == 0 ? "" : text_of(error);
}

}  // namespace mortise::tls
