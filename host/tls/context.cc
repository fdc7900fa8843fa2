#include "host/tls/context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "host/tls/cipher_suites.h"
#include "host/tls/openssl.h"
#include "host/tls/verification.h"

namespace mortise::tls {
namespace {

// The clock of file systems is coarse: a file that changed so shortly before it was read may have
// changed again without another time.
constexpr std::chrono::milliseconds kUnsettled{50};

using config::TlsOptions;

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  if (!in) return invalid("open " + path + ": " + std::strerror(errno));
  return bytes.str();
}

Status file_error(const char* what, const std::string& path) {
  std::string reason = take_error();
  return invalid(std::string(what) + " " + path + " cannot be used" +
                 (reason.empty() ? "" : ": " + reason));
}

int no_password(char*, int, int, void*) { return 0; }

Status use_certificate(SSL_CTX* context, const std::string& cert, const std::string& key) {
  for (const std::string& path : {cert, key}) MORTISE_RETURN_IF_ERROR(read_file(path).status());
  if (SSL_CTX_use_certificate_chain_file(context, cert.c_str()) != 1)
    return file_error("the certificate in", cert);
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1)
    return file_error("the key in", key);
  if (SSL_CTX_check_private_key(context) != 1)
    return file_error("the key does not fit the certificate:", key);
  return Status();
}

Status trust(SSL_CTX* context, const std::string& path, Side side) {
  if (path.empty()) {
    if (SSL_CTX_set_default_verify_paths(context) == 1) return Status();
    return invalid("the system's CA certificates cannot be read: " + take_error());
  }
  MORTISE_ASSIGN_OR_RETURN(std::string bytes, read_file(path));
  BioRef in(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  size_t count = 0;
  while (CertificateRef ca{PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)}) {
    if (X509_STORE_add_cert(store, ca.get()) != 1) return file_error("the CA bundle", path);
    if (side != Side::kClient) SSL_CTX_add_client_CA(context, ca.get());
    ++count;
  }
  const unsigned long end = ERR_peek_last_error();
  if (ERR_GET_REASON(end) != PEM_R_NO_START_LINE) return file_error("the CA bundle", path);
  ERR_clear_error();
  if (count == 0) return invalid("the CA bundle " + path + " holds no certificate");
  // Whatever is in the bundle is trusted, also an intermediate without its root.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  return Status();
}

int version_number(const std::string& name, int if_empty) {
  if (name == "TLS1.2") return TLS1_2_VERSION;
  return name == "TLS1.3" ? TLS1_3_VERSION : if_empty;
}

Status set_parameters(SSL_CTX* context, const TlsOptions& options) {
  MORTISE_ASSIGN_OR_RETURN(CipherList ciphers, parse_cipher_suites(options.cipher_suites));
  const bool only_tls13 = !options.cipher_suites.empty() && ciphers.openssl.empty();
  const int least =
      only_tls13 ? TLS1_3_VERSION : version_number(options.min_version, TLS1_2_VERSION);
  const std::string list = ciphers.openssl.empty() ? kDefaultCiphers : ciphers.openssl;
  SSL_CTX_set_security_level(context, 1);
  if (SSL_CTX_set_min_proto_version(context, least) != 1 ||
      SSL_CTX_set_max_proto_version(context, version_number(options.max_version, 0)) != 1 ||
      SSL_CTX_set_cipher_list(context, list.c_str()) != 1) {
    return invalid("TLS versions and cipher suites cannot be set: " + take_error());
  }
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF);
  // No session is taken up again, so what is checked is checked for each connection.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_passwd_cb(context, &no_password);
  return Status();
}

// A context, and what its callbacks need.
struct Owned {
  Owned(const SSL_METHOD* method, Side s) : context(SSL_CTX_new(method)), side(s) {
    MORTISE_CHECK(context != nullptr, take_error());
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { SSL_CTX_free(context); }

  SSL_CTX* const context;
  const Side side;
  Rules rules;
};

// As ALPN lists them, best first.
std::string_view protocols(Side side) {
  if (side == Side::kHttp1Server) return {"\x08http/1.1", 9};
  if (side == Side::kHttp2Server) return {"\x02h2", 3};
  return {"\x08http/1.1\x02h2", 12};
}

// Whoever offers none of ours is let in without a choice.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* in, unsigned in_size, void* argument) {
  const std::string_view ours = protocols(static_cast<Owned*>(argument)->side);
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned>(ours.size()), in,
                            in_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Result<std::shared_ptr<SSL_CTX>> build_server(const TlsOptions& options, Side side) {
  auto owned = std::make_shared<Owned>(TLS_server_method(), side);
  SSL_CTX* context = owned->context;
  MORTISE_RETURN_IF_ERROR(set_parameters(context, options));
  MORTISE_RETURN_IF_ERROR(use_certificate(context, options.cert_file, options.key_file));
  if (!options.trusted_ca_file.empty() || options.client_cert_auth) {
    MORTISE_RETURN_IF_ERROR(trust(context, options.trusted_ca_file, side));
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  owned->rules.allowed_cns = options.allowed_cns;
  owned->rules.allowed_hostnames = options.allowed_hostnames;
  if (!options.crl_file.empty()) {
    MORTISE_ASSIGN_OR_RETURN(std::string bytes, read_file(options.crl_file));
    auto revoked = parse_crl(bytes);
    if (!revoked.ok()) return invalid(options.crl_file + ": " + revoked.status().message());
    owned->rules.revoked = std::move(revoked).value();
  }
  install_rules(context, &owned->rules);
  SSL_CTX_set_alpn_select_cb(context, &choose_protocol, owned.get());
  return std::shared_ptr<SSL_CTX>(owned, context);
}

Result<std::shared_ptr<SSL_CTX>> build_client(const TlsOptions& options) {
  auto owned = std::make_shared<Owned>(TLS_client_method(), Side::kClient);
  SSL_CTX* context = owned->context;
  MORTISE_RETURN_IF_ERROR(set_parameters(context, options));
  if (!options.client_cert_file.empty()) {
    MORTISE_RETURN_IF_ERROR(
        use_certificate(context, options.client_cert_file, options.client_key_file));
  } else if (options.has_certificate()) {
    MORTISE_RETURN_IF_ERROR(use_certificate(context, options.cert_file, options.key_file));
  }
  if (options.trusts_any_server) {
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
  } else {
    MORTISE_RETURN_IF_ERROR(trust(context, options.trusted_ca_file, Side::kClient));
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  }
  owned->rules.allowed_cns = options.allowed_cns;
  owned->rules.allowed_hostnames = options.allowed_hostnames;
  install_rules(context, &owned->rules);
  return std::shared_ptr<SSL_CTX>(owned, context);
}

Result<std::shared_ptr<SSL_CTX>> build(const TlsOptions& options, Side side) {
  ERR_clear_error();
  return side == Side::kClient ? build_client(options) : build_server(options, side);
}

std::string listed(const std::vector<std::string>& names) {
  std::string out = "[";
  for (const std::string& name : names) out += (out.size() > 1 ? " \"" : "\"") + name + "\"";
  return out + "]";
}

Status check(const TlsOptions& options, Side side) {
  const bool both = !options.cert_file.empty() && !options.key_file.empty();
  if (!both && (side != Side::kClient || options.has_certificate())) {
    return invalid("KeyFile and CertFile must both be present[key: " + options.key_file +
                   ", cert: " + options.cert_file + "]");
  }
  if (options.client_cert_file.empty() != options.client_key_file.empty()) {
    return invalid("ClientKeyFile and ClientCertFile must both be present or both absent: [key: " +
                   options.client_key_file + ", cert: " + options.client_cert_file + "]");
  }
  if (!options.allowed_cns.empty() && !options.allowed_hostnames.empty()) {
    return invalid("AllowedCNs and AllowedHostnames are mutually exclusive (cns=" +
                   listed(options.allowed_cns) +
                   ", hostnames=" + listed(options.allowed_hostnames) + ")");
  }
  return Status();
}

}  // namespace

Context::Context(TlsOptions options, Side side, LogHook log)
    : options_(std::move(options)), side_(side), log_(std::move(log)) {
  const bool own_pair = side == Side::kClient && !options_.client_cert_file.empty();
  add_file("certificate", own_pair ? options_.client_cert_file : options_.cert_file);
  add_file("key", own_pair ? options_.client_key_file : options_.key_file);
  add_file("trusted-ca", options_.trusted_ca_file);
  if (side != Side::kClient) add_file("crl", options_.crl_file);
}

Context::~Context() = default;

void Context::add_file(const char* what, const std::string& path) {
  if (!path.empty()) files_.push_back({what, path, {}});
}

Result<std::shared_ptr<Context>> Context::create(TlsOptions options, Side side, LogHook log) {
  MORTISE_RETURN_IF_ERROR(check(options, side));
  if (side != Side::kClient && !options.client_cert_file.empty()) {
    // Of no use to a listener; a pair that does not work is a mistake all the same.
    MORTISE_RETURN_IF_ERROR(build(options, Side::kClient).status());
  }
  if (auto suites = parse_cipher_suites(options.cipher_suites); suites.ok() && log) {
    for (const std::string& name : suites->missing) {
      log(LogLevel::kWarn, "a TLS cipher suite cannot be offered", {{"cipher-suite", name}});
    }
  }
  std::shared_ptr<Context> out(new Context(std::move(options), side, std::move(log)));
  std::lock_guard lock(out->mutex_);
  out->have_files_changed();
  MORTISE_ASSIGN_OR_RETURN(out->current_, build(out->options_, side));
  return out;
}

bool Context::have_files_changed() {
  const auto now = std::chrono::system_clock::now();
  bool changed = false;
  for (File& file : files_) {
    struct stat info {};
    Stamp stamp;
    if (::stat(file.path.c_str(), &info) == 0) {
      stamp = {info.st_dev, info.st_ino, static_cast<uint64_t>(info.st_size),
               info.st_ctim.tv_sec * 1'000'000'000 + info.st_ctim.tv_nsec};
    }
    const std::chrono::system_clock::time_point changed_at(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::nanoseconds(stamp.changed_ns)));
    changed |= stamp != file.stamp || read_at_ < changed_at + kUnsettled;
    file.stamp = stamp;
  }
  if (changed) read_at_ = now;
  return changed;
}

std::shared_ptr<SSL_CTX> Context::current() {
  std::lock_guard lock(mutex_);
  if (!have_files_changed()) return current_;
  auto built = build(options_, side_);
  if (built.ok()) {
    current_ = std::move(built).value();
    last_error_.clear();
    return current_;
  }
  if (built.status().message() != std::exchange(last_error_, built.status().message()) && log_) {
    log_(LogLevel::kError, "changed TLS files cannot be used; those from before stay in use",
         {{"cert-file", options_.cert_file},
          {"key-file", options_.key_file},
          {"error", last_error_}});
  }
  return current_;
}

}  // namespace mortise::tls
