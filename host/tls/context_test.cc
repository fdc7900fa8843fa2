#include "host/tls/context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "host/tls/cipher_suites.h"
#include "host/tls/openssl.h"
#include "host/tls/san_check.h"
#include "host/tls/self_signed.h"
#include "host/tls/test_files.h"

namespace mortise::tls {
namespace {

using testing::HasSubstr;

uint64_t serial_of(SSL_CTX* context) {
  uint64_t serial = 0;
  ASN1_INTEGER_get_uint64(&serial, X509_get0_serialNumber(SSL_CTX_get0_certificate(context)));
  return serial;
}

class ContextTest : public testing::Test {
 protected:
  LogHook log() {
    return [this](LogLevel level, std::string_view message, const LogFields& fields) {
      std::string line = level == LogLevel::kError ? "error: " : "";
      line += message;
      for (const auto& [name, value] : fields) line += " " + name + "=" + value;
      lines_.push_back(line);
    };
  }
  std::string error_of(const config::TlsOptions& options, Side side = Side::kServer) {
    return Context::create(options, side, log()).status().message();
  }

  TestAuthority authority_{"ca"};
  TestFiles files_;
  std::vector<std::string> lines_;
};

TEST_F(ContextTest, ReplacedFilesAreReadAndBrokenOnesAreNot) {
  const Issued first = authority_.issue({.common_name = "a"});
  const config::TlsOptions options = files_.options("server", first);
  auto context = Context::create(options, Side::kServer, log());
  ASSERT_TRUE(context.ok()) << context.status().message();
  auto old = (*context)->current();
  EXPECT_EQ(serial_of(old.get()), first.serial);

  const Issued second = authority_.issue({.common_name = "b"});
  files_.write("server.crt", second.certificate);  // The key does not fit yet.
  EXPECT_EQ(serial_of((*context)->current().get()), first.serial);
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_THAT(lines_[0], HasSubstr("error: changed TLS files cannot be used"));
  EXPECT_THAT(lines_[0], HasSubstr("server.key"));
  files_.write("server.key", second.key);
  EXPECT_EQ(serial_of((*context)->current().get()), second.serial);
  EXPECT_EQ(serial_of(old.get()), first.serial);  // Whoever has it keeps it.

  files_.write("server.crt", "no certificate");
  EXPECT_EQ(serial_of((*context)->current().get()), second.serial);
  EXPECT_EQ(serial_of((*context)->current().get()), second.serial);
  EXPECT_EQ(lines_.size(), 2u);  // Once for each mistake.
  std::filesystem::remove(options.cert_file);
  EXPECT_EQ(serial_of((*context)->current().get()), second.serial);
  EXPECT_THAT(lines_.back(), HasSubstr("server.crt: No such file"));
  files_.write(options, first);
  EXPECT_EQ(serial_of((*context)->current().get()), first.serial);
}

TEST_F(ContextTest, MistakesAreNamedAtStart) {
  config::TlsOptions options = files_.options("server", authority_.issue({}));
  options.trusted_ca_file = files_.folder() + "/nothing.pem";
  EXPECT_THAT(error_of(options), HasSubstr("nothing.pem: No such file"));
  options.trusted_ca_file = files_.write("empty.pem", "");
  EXPECT_THAT(error_of(options), HasSubstr("empty.pem holds no certificate"));
  options.trusted_ca_file = files_.write("ca.pem", authority_.certificate());
  options.crl_file = files_.write("bad.crl", "x");
  EXPECT_THAT(error_of(options), HasSubstr("bad.crl: this is no certificate revocation list"));
  options.crl_file.clear();
  options.allowed_cns = {"a", "b"};
  options.allowed_hostnames = {"h"};
  EXPECT_EQ(error_of(options),
            "AllowedCNs and AllowedHostnames are mutually exclusive (cns=[\"a\" \"b\"], "
            "hostnames=[\"h\"])");
  options.allowed_cns.clear();
  options.client_cert_file = options.cert_file;
  EXPECT_THAT(error_of(options),
              HasSubstr("ClientKeyFile and ClientCertFile must both be present"));
  options.client_key_file = options.key_file;
  EXPECT_EQ(error_of(options), "");
  options.cipher_suites = {"TLS_NO_SUCH"};
  EXPECT_EQ(error_of(options), "unexpected TLS cipher suite \"TLS_NO_SUCH\"");
  options.key_file.clear();
  EXPECT_THAT(error_of(options), HasSubstr("KeyFile and CertFile must both be present"));
}

TEST(CipherSuites, AreTranslated) {
  auto list =
      parse_cipher_suites({"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256",
                           "TLS_RSA_WITH_RC4_128_SHA", "TLS_RSA_WITH_AES_256_GCM_SHA384"});
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(list->openssl, "ECDHE-RSA-AES128-GCM-SHA256:AES256-GCM-SHA384");
  EXPECT_EQ(list->missing, std::vector<std::string>{"TLS_RSA_WITH_RC4_128_SHA"});
  EXPECT_FALSE(parse_cipher_suites({"TLS_RSA_WITH_RC4_128_SHA"}).ok());
  EXPECT_TRUE(check_cipher_suites({"TLS_RSA_WITH_RC4_128_SHA"}).ok());
  EXPECT_EQ(check_cipher_suites({"TLS_AES_128_GCM_SHA256", "X"}).message(),
            "unexpected TLS cipher suite \"X\"");
  auto only_new = parse_cipher_suites({"TLS_AES_128_GCM_SHA256"});
  ASSERT_TRUE(only_new.ok());
  EXPECT_EQ(only_new->openssl, "");
}

class FakeResolver : public Resolver {
 public:
  std::vector<std::string> names_of(const std::string& ip) override {
    return ip == "10.0.0.1" ? std::vector<std::string>{"m1.example.org"}
                            : std::vector<std::string>{};
  }
  std::vector<std::string> ips_of(const std::string& name) override {
    return name == "m2.example.org" ? std::vector<std::string>{"10.0.0.2"}
                                    : std::vector<std::string>{};
  }
};

TEST(SanCheck, TheCertificateMustBelongToTheMachine) {
  FakeResolver resolver;
  const auto result = [&](std::vector<std::string> ips, std::vector<std::string> names,
                          const std::string& remote) {
    Identity identity;
    identity.ip_addresses = std::move(ips);
    identity.dns_names = std::move(names);
    return check_san(identity, remote, &resolver).message();
  };
  EXPECT_EQ(result({}, {}, "10.0.0.9"), "");
  EXPECT_EQ(result({"10.0.0.9"}, {}, "10.0.0.9"), "");
  EXPECT_EQ(result({"10.0.0.9", "10.0.0.7"}, {}, "10.0.0.8"),
            "x509: certificate is valid for 10.0.0.9, 10.0.0.7, not 10.0.0.8");
  EXPECT_EQ(result({"10.0.0.9"}, {"*.example.org"}, "10.0.0.1"), "");
  EXPECT_EQ(result({}, {"m1.example.org"}, "10.0.0.1"), "");
  EXPECT_EQ(result({}, {"other", "m2.example.org"}, "10.0.0.2"), "");
  EXPECT_EQ(result({}, {"m1.example.org", "*.org"}, "10.0.0.2"),
            "tls: \"10.0.0.2\" does not match any of DNSNames [\"m1.example.org\" \"*.org\"]");
}

TEST_F(ContextTest, SelfSignedCertificateIsMadeOnceAndUsed) {
  config::TlsOptions given;
  given.min_version = "TLS1.3";
  const std::string folder = files_.folder() + "/fixtures/client";
  auto made = self_signed(folder, {"localhost", "127.0.0.1"}, 2, given, log());
  ASSERT_TRUE(made.ok()) << made.status().message();
  EXPECT_TRUE(made->trusts_any_server);
  EXPECT_EQ(made->min_version, "TLS1.3");
  EXPECT_EQ(std::filesystem::status(made->key_file).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);

  auto context = Context::create(*made, Side::kServer, log());
  ASSERT_TRUE(context.ok()) << context.status().message();
  X509* certificate = SSL_CTX_get0_certificate((*context)->current().get());
  EXPECT_EQ(EVP_PKEY_get_bits(X509_get0_pubkey(certificate)), 521);
  EXPECT_EQ(X509_check_ip_asc(certificate, "127.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_host(certificate, "localhost", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_ca(certificate), 1);
  int days = 0, seconds = 0;
  ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(certificate),
                 X509_get0_notAfter(certificate));
  EXPECT_EQ(days, 730);
  const uint64_t lines = lines_.size();
  auto again = self_signed(folder, {"localhost"}, 2, given, log());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(lines_.size(), lines);
  EXPECT_FALSE(self_signed(folder, {"localhost"}, 0, given, log()).ok());
}

}  // namespace
}  // namespace mortise::tls
