#include "host/tls/verification.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "host/tls/openssl.h"

namespace mortise::tls {
namespace {

int refusal_index() {
  static const int kIndex = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return kIndex;
}

std::string common_name_of(X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  // Of several the last one is the most specific.
  int at = -1;
  for (int next; (next = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) at = next;
  if (at < 0) return "";
  unsigned char* text = nullptr;
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
  const int size = ASN1_STRING_to_UTF8(&text, value);
  if (size < 0) return "";
  std::string out(reinterpret_cast<char*>(text), static_cast<size_t>(size));
  OPENSSL_free(text);
  return out;
}

std::string serial_bytes(const ASN1_INTEGER* serial) {
  std::string bytes(reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)),
                    static_cast<size_t>(ASN1_STRING_length(serial)));
  return bytes.substr(std::min(bytes.find_first_not_of('\0'), bytes.size()));
}

std::string hex(const std::string& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

bool is_allowed(X509* leaf, const Rules& rules) {
  if (!rules.allowed_cns.empty()) {
    return std::ranges::find(rules.allowed_cns, common_name_of(leaf)) != rules.allowed_cns.end();
  }
  if (rules.allowed_hostnames.empty()) return true;
  return std::ranges::any_of(rules.allowed_hostnames,
                             [leaf](const std::string& host) { return matches_host(leaf, host); });
}

// Empty if none was revoked.
std::string revoked_serial(const STACK_OF(X509) * chain, const Rules& rules) {
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    std::string serial = serial_bytes(X509_get0_serialNumber(sk_X509_value(chain, i)));
    if (rules.revoked.contains(serial)) return hex(serial);
  }
  return "";
}

int verify_chain(X509_STORE_CTX* store, void* argument) {
  const auto& rules = *static_cast<const Rules*>(argument);
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* refusal = static_cast<std::string*>(SSL_get_ex_data(ssl, refusal_index()));
  auto refuse = [&](std::string text) {
    if (refusal != nullptr) *refusal = std::move(text);
    return 0;
  };
  if (SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE) return 1;
  if (X509_verify_cert(store) <= 0) {
    return refuse(std::string("tls: failed to verify certificate: ") +
                  X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
  }
  if (!is_allowed(X509_STORE_CTX_get0_cert(store), rules)) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return refuse("client certificate authentication failed");
  }
  std::string serial = revoked_serial(X509_STORE_CTX_get0_untrusted(store), rules);
  if (serial.empty()) return 1;
  X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
  return refuse("transport: certificate serial " + serial + " revoked");
}

std::string ip_text(const ASN1_OCTET_STRING* address) {
  char text[INET6_ADDRSTRLEN] = "";
  const int size = ASN1_STRING_length(address);
  if (size != 4 && size != 16) return "";
  inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(address), text, sizeof text);
  return text;
}

void read_alternative_names(X509* certificate, Identity* out) {
  NamesRef names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      out->dns_names.emplace_back(
          reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
          static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (name->type == GEN_IPADD) {
      out->ip_addresses.push_back(ip_text(name->d.iPAddress));
    }
  }
}

}  // namespace

Result<std::set<std::string>> parse_crl(const std::string& bytes) {
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  CrlRef crl(d2i_X509_CRL(nullptr, &at, static_cast<long>(bytes.size())));
  if (!crl) {
    BioRef text(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
    crl.reset(PEM_read_bio_X509_CRL(text.get(), nullptr, nullptr, nullptr));
  }
  (void)take_error();
  if (!crl) return invalid("this is no certificate revocation list");
  std::set<std::string> out;
  STACK_OF(X509_REVOKED)* revoked = X509_CRL_get_REVOKED(crl.get());
  for (int i = 0; i < sk_X509_REVOKED_num(revoked); ++i) {
    out.insert(serial_bytes(X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(revoked, i))));
  }
  return out;
}

void install_rules(SSL_CTX* context, const Rules* rules) {
  SSL_CTX_set_cert_verify_callback(context, &verify_chain, const_cast<Rules*>(rules));
}

void note_refusals(SSL* ssl, std::string* refusal) {
  SSL_set_ex_data(ssl, refusal_index(), refusal);
}

bool matches_host(X509* certificate, const std::string& host) {
  constexpr unsigned kFlags =
      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
  if (X509_check_ip_asc(certificate, host.c_str(), 0) == 1) return true;
  return X509_check_host(certificate, host.data(), host.size(), kFlags, nullptr) == 1;
}

Identity identity_of(SSL* ssl) {
  Identity out;
  if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) {
    out.server_name = name;
  }
  X509* leaf = SSL_get0_peer_certificate(ssl);
  if (leaf == nullptr) return out;
  out.has_certificate = true;
  out.is_verified =
      SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE && SSL_get_verify_result(ssl) == X509_V_OK;
  out.common_name = common_name_of(leaf);
  read_alternative_names(leaf, &out);
  return out;
}

}  // namespace mortise::tls
