#include "host/tls/self_signed.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "host/tls/openssl.h"

namespace mortise::tls {
namespace {

constexpr uint64_t kYearsMax = 1000;

bool is_ip(const std::string& host) {
  unsigned char address[16];
  return inet_pton(AF_INET, host.c_str(), address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), address) == 1;
}

std::string alternative_names(const std::vector<std::string>& hosts) {
  std::string out;
  for (const std::string& host : hosts) {
    if (host.empty()) continue;
    out += (out.empty() ? "" : ",") + std::string(is_ip(host) ? "IP:" : "DNS:") + host;
  }
  return out;
}

bool add_extension(X509* certificate, int id, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

bool set_serial(X509* certificate) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
  bytes[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(bytes, sizeof bytes, nullptr);
  const bool set = number != nullptr &&
                   BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  return set;
}

CertificateRef make_certificate(EVP_PKEY* key, const std::vector<std::string>& hosts,
                                uint64_t years) {
  CertificateRef out(X509_new());
  X509* c = out.get();
  X509_NAME* name = X509_get_subject_name(c);
  const std::string names = alternative_names(hosts);
  const auto* organization = reinterpret_cast<const unsigned char*>("etcd");
  const bool good =
      X509_set_version(c, X509_VERSION_3) == 1 && set_serial(c) &&
      X509_gmtime_adj(X509_getm_notBefore(c), 0) != nullptr &&
      X509_time_adj_ex(X509_getm_notAfter(c), static_cast<int>(years) * 365, 0, nullptr) !=
          nullptr &&
      X509_set_pubkey(c, key) == 1 &&
      X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, organization, -1, -1, 0) == 1 &&
      X509_set_issuer_name(c, name) == 1 &&
      add_extension(c, NID_basic_constraints, "critical,CA:TRUE") &&
      add_extension(c, NID_key_usage,
                    "critical,digitalSignature,keyEncipherment,keyCertSign,cRLSign") &&
      add_extension(c, NID_ext_key_usage, "serverAuth") &&
      (names.empty() || add_extension(c, NID_subject_alt_name, names)) &&
      X509_sign(c, key, EVP_sha512()) > 0;
  if (!good) out.reset();
  return out;
}

Status write_file(const std::string& path, mode_t mode, BIO* content) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(content, &bytes);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return errno_status(errno, "create " + path);
  const bool written = ::write(fd, bytes, static_cast<size_t>(size)) == size && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  return written ? Status() : errno_status(error, "write " + path);
}

Status generate(const std::string& cert, const std::string& key_path,
                const std::vector<std::string>& hosts, uint64_t years) {
  KeyRef key(EVP_EC_gen("P-521"));
  CertificateRef certificate;
  if (key) certificate = make_certificate(key.get(), hosts, years);
  if (!certificate) return internal_error("a certificate cannot be made: " + take_error());
  BioRef cert_text(BIO_new(BIO_s_mem()));
  BioRef key_text(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(cert_text.get(), certificate.get()) != 1 ||
      PEM_write_bio_PrivateKey_traditional(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                           nullptr) != 1) {
    return internal_error("a certificate cannot be written: " + take_error());
  }
  MORTISE_RETURN_IF_ERROR(write_file(cert, 0644, cert_text.get()));
  return write_file(key_path, 0600, key_text.get());
}

}  // namespace

Result<config::TlsOptions> self_signed(const std::string& folder,
                                       const std::vector<std::string>& hosts, uint64_t years,
                                       const config::TlsOptions& given, const LogHook& log) {
  if (years == 0 || years > kYearsMax) {
    return invalid("--self-signed-cert-validity must be between 1 and " +
                   std::to_string(kYearsMax) + " years");
  }
  std::error_code error;
  const auto absolute = std::filesystem::absolute(folder, error);
  config::TlsOptions out;
  out.cert_file = absolute / "cert.pem";
  out.key_file = absolute / "key.pem";
  out.client_cert_file = out.cert_file;
  out.client_key_file = out.key_file;
  out.trusts_any_server = true;
  out.cipher_suites = given.cipher_suites;
  out.min_version = given.min_version;
  out.max_version = given.max_version;
  if (std::filesystem::exists(out.cert_file, error) && std::filesystem::exists(out.key_file, error))
    return out;
  std::filesystem::create_directories(absolute, error);
  if (error) return errno_status(error.value(), "create " + absolute.string());
  std::filesystem::permissions(absolute, std::filesystem::perms::owner_all, error);
  if (log) {
    log(LogLevel::kWarn, "automatically generate certificates",
        {{"path", absolute}, {"validity-days", std::to_string(years * 365)}});
  }
  MORTISE_RETURN_IF_ERROR(generate(out.cert_file, out.key_file, hosts, years));
  if (log) {
    log(LogLevel::kInfo, "created cert file", {{"path", out.cert_file}});
    log(LogLevel::kInfo, "created key file", {{"path", out.key_file}});
  }
  return out;
}

}  // namespace mortise::tls
