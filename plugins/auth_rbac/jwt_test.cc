// JWTs: those that are taken, and every trick with those that are not.
#include "plugins/auth_rbac/jwt.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "plugins/auth_rbac/base64.h"
#include "plugins/auth_rbac/test_util.h"

namespace mortise::auth_rbac {
namespace {

namespace fs = std::filesystem;
using std::chrono::nanoseconds;

constexpr int64_t kNow = 1'800'000'000;

// The two halves of a key as PEM.
struct Pair {
  std::string open;
  std::string secret;
};

Pair pem_of(EVP_PKEY* key) {
  Pair out;
  for (const bool secret : {false, true}) {
    BIO* bio = BIO_new(BIO_s_mem());
    if (secret) {
      PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
    } else {
      PEM_write_bio_PUBKEY(bio, key);
    }
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    (secret ? out.secret : out.open).assign(data, static_cast<size_t>(size));
    BIO_free(bio);
  }
  EVP_PKEY_free(key);
  return out;
}

const Pair& rsa() {
  static const Pair pair = pem_of(EVP_RSA_gen(2048));
  return pair;
}
const Pair& ec(const char* curve = "P-256") {
  static std::map<std::string, Pair> all;
  auto& pair = all[curve];
  if (pair.open.empty()) pair = pem_of(EVP_EC_gen(curve));
  return pair;
}
const Pair& ed() {
  static const Pair pair = pem_of(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  return pair;
}

std::string encoded(std::string_view header, std::string_view claims) {
  return base64url_encode(header) + "." + base64url_encode(claims);
}

constexpr char kGoodClaims[] = R"({"username":"u","revision":7,"exp":1800000100})";

// A token of any header and claims, signed by whatever key with whatever algorithm.
std::string forge(std::string_view header, std::string_view claims, const char* algorithm,
                  std::string_view secret) {
  std::shared_ptr<const JwtKey> key;
  const sdk::Status made = JwtKey::make(*find_algorithm(algorithm), "", secret, key);
  EXPECT_TRUE(made.ok()) << made.message;
  const std::string text = encoded(header, claims);
  return text + "." + base64url_encode(key->sign(text));
}

std::string header_of(const char* algorithm) {
  return std::string(R"({"alg":")") + algorithm + R"(","typ":"JWT"})";
}

class JwtTest : public testing::Test {
 protected:
  JwtTest() {
    char name[] = "/tmp/mortise-jwt-XXXXXX";
    directory = mkdtemp(name);
  }
  ~JwtTest() override { fs::remove_all(directory); }

  std::string file(const std::string& name, std::string_view content) const {
    const std::string path = directory + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  sdk::Status create(const std::string& options_text) {
    TokenOptions options;
    const sdk::Status parsed = options.parse(options_text);
    if (!parsed.ok()) return parsed;
    return Jwt::create(sdk::Host(), options, jwt, [this] { return now; });
  }
  void make(const char* algorithm, const Pair& pair, const std::string& more = "") {
    const sdk::Status status =
        create("jwt,pub-key=" + file("pub", pair.open) + ",priv-key=" + file("priv", pair.secret) +
               ",sign-method=" + algorithm + more);
    ASSERT_TRUE(status.ok()) << status.message;
  }
  // Whose the token is; empty if refused.
  std::string user_of(std::string_view token) {
    std::string user;
    revision = 0;
    return jwt->verify(token, user, revision) ? user : "";
  }

  std::string directory;
  int64_t now = kNow;
  std::unique_ptr<Jwt> jwt;
  uint64_t revision = 0;
};

TEST_F(JwtTest, EveryAlgorithmSignsAndVerifies) {
  const std::pair<const char*, const Pair*> all[] = {
      {"RS256", &rsa()},       {"RS384", &rsa()}, {"RS512", &rsa()},       {"PS256", &rsa()},
      {"PS384", &rsa()},       {"PS512", &rsa()}, {"ES256", &ec("P-256")}, {"ES384", &ec("P-384")},
      {"ES512", &ec("P-521")}, {"EdDSA", &ed()},  {"HS256", &ed()},        {"HS384", &ed()},
      {"HS512", &ed()}};  // For the last ones any bytes are a secret.
  for (const auto& [algorithm, pair] : all) {
    SCOPED_TRACE(algorithm);
    make(algorithm, *pair);
    std::string token;
    ASSERT_EQ(jwt->sign("u\"\\\xc3\xa4", 7, token).code, 0);
    EXPECT_EQ(user_of(token), "u\"\\\xc3\xa4");
    EXPECT_EQ(revision, 7u);
    for (const size_t at : {size_t{3}, token.find('.') + 5, token.rfind('.') + 5}) {
      std::string changed = token;
      changed[at] = changed[at] == 'A' ? 'B' : 'A';
      EXPECT_EQ(user_of(changed), "") << at;
    }
    EXPECT_EQ(user_of(token.substr(0, token.rfind('.'))), "");
    EXPECT_EQ(user_of(token.substr(0, token.rfind('.') + 1)), "");
    EXPECT_EQ(user_of(token + "AAAA"), "");
    EXPECT_EQ(user_of(token + ".AAAA"), "");
  }
}

TEST_F(JwtTest, TakesTokensOfGo) {
  const std::map<std::string, std::string> keys = {{"RS256", "pub-key=testdata/rsa.pub"},
                                                   {"PS512", "pub-key=testdata/rsa_pkcs1.pub"},
                                                   {"ES512", "pub-key=testdata/ec.pub"},
                                                   {"EdDSA", "pub-key=testdata/ed25519.pub"},
                                                   {"HS256", "priv-key=" + file("s", "secret")}};
  std::ifstream in("testdata/tokens_of_go.txt");
  std::string algorithm, token;
  int count = 0;
  while (in >> algorithm >> token) {
    const sdk::Status status = create("jwt," + keys.at(algorithm) + ",sign-method=" + algorithm);
    ASSERT_TRUE(status.ok()) << status.message;
    EXPECT_EQ(user_of(token), "u") << algorithm;
    EXPECT_EQ(revision, 7u);
    ++count;
  }
  EXPECT_EQ(count, 5);
}

TEST_F(JwtTest, TimesOfATokenCount) {
  make("ES256", ec(), ",ttl=90s");
  std::string token;
  ASSERT_EQ(jwt->sign("u", 7, token).code, 0);
  now += 89;
  EXPECT_EQ(user_of(token), "u");
  now += 1;
  EXPECT_EQ(user_of(token), "");
  now = kNow;
  const auto with = [&](const std::string& more) {
    return user_of(forge(header_of("ES256"), R"({"username":"u","revision":7)" + more + "}",
                         "ES256", ec().secret));
  };
  EXPECT_EQ(with(""), "u");  // As in etcd: who signs without an end means it.
  EXPECT_EQ(with(R"(,"exp":1800000001)"), "u");
  EXPECT_EQ(with(R"(,"exp":1800000000)"), "");
  EXPECT_EQ(with(R"(,"exp":1799999999.9)"), "");
  EXPECT_EQ(with(R"(,"exp":0)"), "");
  EXPECT_EQ(with(R"(,"exp":-1)"), "");
  EXPECT_EQ(with(R"(,"exp":"1900000000")"), "");
  EXPECT_EQ(with(R"(,"exp":null)"), "");
  EXPECT_EQ(with(R"(,"exp":[])"), "");
  EXPECT_EQ(with(R"(,"nbf":1800000000)"), "u");
  EXPECT_EQ(with(R"(,"nbf":1800000001)"), "");
  EXPECT_EQ(with(R"(,"nbf":"0")"), "");
}

TEST_F(JwtTest, ClaimsThatNameNobody) {
  make("ES256", ec());
  for (const char* claims :
       {R"({})", R"({"username":"u"})", R"({"revision":7})", R"({"username":7,"revision":7})",
        R"({"username":"u","revision":"7"})", R"({"username":"u","revision":-1})",
        R"({"username":"u","revision":1e30})", R"({"username":["u"],"revision":7})", R"([])",
        R"("u")", R"(null)", R"({"username":"u","revision":7)", ""}) {
    EXPECT_EQ(user_of(forge(header_of("ES256"), claims, "ES256", ec().secret)), "") << claims;
  }
  EXPECT_EQ(user_of(forge(header_of("ES256"), kGoodClaims, "ES256", ec().secret)), "u");
}

TEST_F(JwtTest, NoneIsNoAlgorithm) {
  make("ES256", ec());
  for (const char* alg : {"none", "None", "NONE", "nOnE", ""}) {
    const std::string text = encoded(header_of(alg), kGoodClaims);
    EXPECT_EQ(user_of(text + "."), "");
    EXPECT_EQ(user_of(text), "");
    EXPECT_EQ(user_of(text + "." + base64url_encode("x")), "");
  }
}

// The public key is known to all. Who takes the algorithm out of the token takes it for a secret.
TEST_F(JwtTest, PublicKeyIsNoSecret) {
  for (const auto& [algorithm, pair] :
       {std::pair{"RS256", rsa()}, {"ES256", ec()}, {"EdDSA", ed()}}) {
    make(algorithm, pair);
    for (const char* hs : {"HS256", "HS384", "HS512"}) {
      EXPECT_EQ(user_of(forge(header_of(hs), kGoodClaims, hs, pair.open)), "");
      EXPECT_EQ(user_of(forge(header_of(algorithm), kGoodClaims, hs, pair.open)), "");
    }
  }
}

TEST_F(JwtTest, AlgorithmIsPinned) {
  make("RS256", rsa());
  for (const char* other : {"RS384", "RS512", "PS256", "PS384", "PS512"}) {
    EXPECT_EQ(user_of(forge(header_of(other), kGoodClaims, other, rsa().secret)), "") << other;
    EXPECT_EQ(user_of(forge(header_of("RS256"), kGoodClaims, other, rsa().secret)), "") << other;
  }
  EXPECT_EQ(user_of(forge(header_of("ES256"), kGoodClaims, "ES256", ec().secret)), "");
  EXPECT_EQ(user_of(forge(header_of("rs256"), kGoodClaims, "RS256", rsa().secret)), "");
  EXPECT_EQ(user_of(forge(R"({"typ":"JWT"})", kGoodClaims, "RS256", rsa().secret)), "");
  EXPECT_EQ(user_of(forge(R"({"alg":["RS256"]})", kGoodClaims, "RS256", rsa().secret)), "");
  EXPECT_EQ(user_of(forge(header_of("RS256"), kGoodClaims, "RS256", rsa().secret)), "u");
}

TEST_F(JwtTest, KeyOfATokenIsNotAsked) {
  make("ES256", ec());
  const Pair mine = pem_of(EVP_EC_gen("P-256"));
  for (const char* more : {R"("jwk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"})",
                           R"("jku":"http://127.0.0.1:1/keys")", R"("kid":"../../../dev/null")",
                           R"("x5u":"http://127.0.0.1:1/")", R"("x5c":["AA"])"}) {
    const std::string header = std::string(R"({"alg":"ES256",)") + more + "}";
    EXPECT_EQ(user_of(forge(header, kGoodClaims, "ES256", mine.secret)), "") << more;
    EXPECT_EQ(user_of(forge(header, kGoodClaims, "ES256", ec().secret)), "u") << more;
  }
  // What must be understood is not.
  EXPECT_EQ(user_of(forge(R"({"alg":"ES256","crit":["exp"]})", kGoodClaims, "ES256", ec().secret)),
            "");
}

TEST_F(JwtTest, SignaturesOfOddShapes) {
  make("ES256", ec());
  const std::string text = encoded(header_of("ES256"), kGoodClaims);
  const auto with = [&](const std::string& signature) {
    return user_of(text + "." + base64url_encode(signature));
  };
  EXPECT_EQ(with(std::string(64, '\0')), "");  // r = s = 0
  EXPECT_EQ(with(std::string(64, '\xff')), "");
  EXPECT_EQ(with(std::string(63, '\1')), "");
  EXPECT_EQ(with(std::string(65, '\1')), "");
  EXPECT_EQ(with(std::string(1'000, '\1')), "");
  const std::string good = forge(header_of("ES256"), kGoodClaims, "ES256", ec().secret);
  EXPECT_EQ(user_of(good + "="), "");
  EXPECT_EQ(user_of(good + "\n"), "");
  EXPECT_EQ(user_of(" " + good), "");
  EXPECT_EQ(user_of(""), "");
  EXPECT_EQ(user_of("."), "");
  EXPECT_EQ(user_of(".."), "");
  EXPECT_EQ(user_of("..."), "");
  EXPECT_EQ(user_of(std::string(1'000'000, 'a')), "");
  // Deep nesting is parsed without recursion.
  EXPECT_EQ(user_of(forge(std::string(10'000, '['), kGoodClaims, "ES256", ec().secret)), "");
}

// Each period was a piece of memory of its own.
TEST_F(JwtTest, CVE_2025_30204_PeriodsMakeNoPieces) {
  make("ES256", ec());
  const std::string good = forge(header_of("ES256"), kGoodClaims, "ES256", ec().secret);
  ASSERT_EQ(user_of(good), "u");
  for (const size_t periods : {1, 2, 100'000, 10'000'000}) {
    const std::string many(periods, '.');
    EXPECT_EQ(user_of(many), "");
    EXPECT_EQ(user_of(good + many), "");
    EXPECT_EQ(user_of(many + good), "");
  }
}

TEST_F(JwtTest, VerifyOnly) {
  ASSERT_TRUE(create("jwt,pub-key=" + file("p", rsa().open) + ",sign-method=RS256").ok());
  std::string token;
  const auto status = jwt->sign("u", 7, token);
  EXPECT_EQ(status.code, 2);
  EXPECT_EQ(status.message, "auth: token signing attempted with verify-only key");
  EXPECT_EQ(user_of(forge(header_of("RS256"), kGoodClaims, "RS256", rsa().secret)), "u");
}

TEST_F(JwtTest, OptionsThatAreRefused) {
  const std::string open = file("rsa.pub", rsa().open), secret = file("rsa.key", rsa().secret);
  const std::string curve = file("ec.key", ec().secret), other = file("other", ec("P-384").open);
  const std::string locked = file("locked",
                                  "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                                  "AAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
  const std::string foreign = file("foreign", pem_of(EVP_RSA_gen(2048)).open);
  const std::string invalid = "auth: invalid auth options";
  const std::pair<std::string, std::string> all[] = {
      {"simple,a", invalid},
      {"jwt", invalid},
      {"jwt,sign-method=RS257,priv-key=" + secret, invalid},
      {"jwt,sign-method=RS256,sign-method=RS256,priv-key=" + secret, invalid},
      {"jwt,sign-method=RS256,priv-key=" + secret + ",ttl=5", invalid},
      {"jwt,sign-method=RS256,priv-key=" + directory + "/missing", invalid},
      {"jwt,sign-method=none,priv-key=" + secret, "unsupported signing method: none"},
      {"jwt,sign-method=RS256", "auth: missing key data"},
      {"jwt,sign-method=HS256,pub-key=" + open, "auth: missing key data"},
      {"jwt,sign-method=RS256,pub-key=" + foreign + ",priv-key=" + secret,
       "auth: public and private keys don't match"},
      {"jwt,sign-method=RS256,priv-key=" + curve, "key is not a valid RSA private key"},
      {"jwt,sign-method=RS256,priv-key=" + locked, "key is not a valid RSA private key"},
      {"jwt,sign-method=RS256,priv-key=" + open, "key is not a valid RSA private key"},
      {"jwt,sign-method=RS256,pub-key=" + secret, "key is not a valid RSA public key"},
      {"jwt,sign-method=ES256,pub-key=" + other, "key is not a valid ECDSA public key"},
      {"jwt,sign-method=EdDSA,priv-key=" + curve, "key is not a valid Ed25519 private key"},
      {"unknown", invalid}};
  for (const auto& [text, message] : all) {
    EXPECT_EQ(create(text).message, message) << text;
  }
  EXPECT_TRUE(create("jwt,sign-method=RS256,x=y,ttl=,pub-key=,priv-key=" + secret).ok());
}

TEST_F(JwtTest, KeysAreReadAgainWhenTheirFilesChange) {
  make("ES256", ec());
  const Pair next = pem_of(EVP_EC_gen("P-256"));
  const std::string before = forge(header_of("ES256"), kGoodClaims, "ES256", ec().secret);
  const std::string after = forge(header_of("ES256"), kGoodClaims, "ES256", next.secret);
  EXPECT_EQ(user_of(after), "");
  file("priv", "half a k");
  jwt->reload();
  EXPECT_EQ(user_of(before), "u");  // The old key stays in use.
  file("priv", next.secret);
  jwt->reload();
  EXPECT_EQ(user_of(before), "u");  // And while the two files are not a pair.
  file("pub", next.open);
  jwt->reload();
  EXPECT_EQ(user_of(after), "u");
  EXPECT_EQ(user_of(before), "");
}

TEST(Durations, AsGoReadsThem) {
  const std::pair<const char*, int64_t> good[] = {{"0", 0},
                                                  {"5m", 300'000'000'000},
                                                  {"1h30m", 5'400'000'000'000},
                                                  {"1.5s", 1'500'000'000},
                                                  {"-2us", -2'000},
                                                  {"+3ms", 3'000'000},
                                                  {"2\u00b5s", 2'000},
                                                  {"7ns", 7},
                                                  {".5s", 500'000'000}};
  for (const auto& [text, ns] : good) {
    nanoseconds out{-1};
    EXPECT_TRUE(parse_duration(text, out)) << text;
    EXPECT_EQ(out.count(), ns) << text;
  }
  for (const char* bad :
       {"", "-", "5", "m", "5x", "1h5", "1.2.3s", " 5m", "5m ", "1e3s", "99999999999999999999h"}) {
    nanoseconds out{};
    EXPECT_FALSE(parse_duration(bad, out)) << bad;
  }
}

// ---- The plugin with JWTs ----

TEST_F(JwtTest, LoginAndIdentityThroughThePlugin) {
  for (const auto& [algorithm, pair] : {std::pair{"RS256", rsa()}, {"EdDSA", ed()}}) {
    Member m(R"({"bcrypt_cost":4,"token":"jwt,sign-method=)" + std::string(algorithm) +
             ",priv-key=" + file("key", pair.secret) + "\"}");
    m.enable();
    for (int i = 0; i < 3; ++i) {  // The first by bcrypt, the next ones remembered.
      const Answer answer = m.login("root", "pw");
      ASSERT_EQ(answer.status.code, 0);
      EXPECT_EQ(m.user_of(answer.bytes), "root");
    }
    const std::string token = m.token("root", "pw");
    mortise_identity out{};
    ASSERT_EQ(m.identify(token, out).code, 0);
    const mortise_access what = access(MORTISE_ACCESS_WRITE, "k");
    EXPECT_EQ(m.rbac->authorize(out, {&what, 1}).code, 0);
    // Whatever changes, the token keeps its revision, so it is of no use for keys any more.
    m.apply(kRoleAdd, request({"r"}));
    ASSERT_EQ(m.identify(token, out).code, 0);
    EXPECT_EQ(m.rbac->authorize(out, {&what, 1}).code, MORTISE_AUTH_STALE);
    EXPECT_EQ(m.identify("abcdefghijklmnop.99", out).code, 16);
    EXPECT_EQ(m.identify(token + "A", out).message, "etcdserver: invalid auth token");
  }
}

TEST_F(JwtTest, NamesThatDoNotFitAreRefused) {
  Member m(R"({"bcrypt_cost":4,"token":"jwt,sign-method=ES256,priv-key=)" +
           file("key", ec().secret) + "\"}");
  m.enable();
  for (const std::string& name : {std::string(), std::string(257, 'x'), std::string(10'000, 'x')}) {
    const std::string claims = R"({"username":")" + name + R"(","revision":7})";
    mortise_identity out{};
    EXPECT_EQ(m.identify(forge(header_of("ES256"), claims, "ES256", ec().secret), out).code, 16);
    EXPECT_EQ(out.user_size, 0u);
  }
}

}  // namespace
}  // namespace mortise::auth_rbac
