#include "host/tls/test_certificates.h"

#include <arpa/inet.h>
#include <openssl/pem.h>

#include "host/base/check.h"
#include "host/tls/openssl.h"

namespace mortise::tls {
namespace {

constexpr int kDays = 2;

KeyRef new_key() { return KeyRef(EVP_EC_gen("P-256")); }

void add_extension(X509* certificate, int id, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value.c_str());
  MORTISE_CHECK(extension != nullptr, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

CertificateRef new_certificate(const std::string& common_name, uint64_t serial, EVP_PKEY* key) {
  CertificateRef out(X509_new());
  X509_set_version(out.get(), X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(out.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(out.get()), -3600);
  X509_time_adj_ex(X509_getm_notAfter(out.get()), kDays, 0, nullptr);
  X509_set_pubkey(out.get(), key);
  if (!common_name.empty()) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(out.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                               0);
  }
  return out;
}

std::string text_of(BIO* bio) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio, &bytes);
  return std::string(bytes, static_cast<size_t>(size));
}

std::string pem_of(X509* certificate) {
  BioRef out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), certificate);
  return text_of(out.get());
}

std::string alternative_names(const std::vector<std::string>& hosts) {
  std::string out;
  for (const std::string& host : hosts) {
    unsigned char address[16];
    const bool is_ip = inet_pton(AF_INET, host.c_str(), address) == 1 ||
                       inet_pton(AF_INET6, host.c_str(), address) == 1;
    out += (out.empty() ? "" : ",") + std::string(is_ip ? "IP:" : "DNS:") + host;
  }
  return out;
}

}  // namespace

TestAuthority::TestAuthority(const std::string& name) {
  KeyRef key = new_key();
  CertificateRef certificate = new_certificate(name, 1, key.get());
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  add_extension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(certificate.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  pem_ = pem_of(certificate.get());
  key_ = key.release();
  certificate_ = certificate.release();
}

TestAuthority::~TestAuthority() {
  EVP_PKEY_free(key_);
  X509_free(certificate_);
}

Issued TestAuthority::issue(const IssueOptions& options) {
  Issued out;
  out.serial = ++last_serial_;
  KeyRef key = new_key();
  CertificateRef certificate = new_certificate(options.common_name, out.serial, key.get());
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate_));
  const std::string names = alternative_names(options.hosts);
  if (!names.empty()) add_extension(certificate.get(), NID_subject_alt_name, names);
  std::string usage = options.for_servers ? "serverAuth" : "";
  if (options.for_clients) usage += usage.empty() ? "clientAuth" : ",clientAuth";
  add_extension(certificate.get(), NID_ext_key_usage, usage);
  add_extension(certificate.get(), NID_key_usage, "digitalSignature");
  X509_sign(certificate.get(), key_, EVP_sha256());
  out.certificate = pem_of(certificate.get());
  BioRef key_text(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  out.key = text_of(key_text.get());
  return out;
}

std::string TestAuthority::revocation_list(const std::vector<uint64_t>& serials) const {
  CrlRef list(X509_CRL_new());
  X509_CRL_set_version(list.get(), 1);
  X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(certificate_));
  ASN1_TIME* now = X509_gmtime_adj(nullptr, 0);
  X509_CRL_set1_lastUpdate(list.get(), now);
  for (const uint64_t serial : serials) {
    X509_REVOKED* entry = X509_REVOKED_new();
    ASN1_INTEGER* number = ASN1_INTEGER_new();
    ASN1_INTEGER_set_uint64(number, serial);
    X509_REVOKED_set_serialNumber(entry, number);
    X509_REVOKED_set_revocationDate(entry, now);
    X509_CRL_add0_revoked(list.get(), entry);
    ASN1_INTEGER_free(number);
  }
  ASN1_TIME_free(now);
  X509_CRL_sign(list.get(), key_, EVP_sha256());
  unsigned char* bytes = nullptr;
  const int size = i2d_X509_CRL(list.get(), &bytes);
  std::string out(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
  return out;
}

}  // namespace mortise::tls
