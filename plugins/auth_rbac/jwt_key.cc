#include "plugins/auth_rbac/jwt_key.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <utility>

namespace mortise::auth_rbac {
namespace {

constexpr JwtAlgorithm kAlgorithms[] = {
    {"HS256", KeyFamily::kHmac, "SHA256", 0},   {"HS384", KeyFamily::kHmac, "SHA384", 0},
    {"HS512", KeyFamily::kHmac, "SHA512", 0},   {"RS256", KeyFamily::kRsa, "SHA256", 0},
    {"RS384", KeyFamily::kRsa, "SHA384", 0},    {"RS512", KeyFamily::kRsa, "SHA512", 0},
    {"PS256", KeyFamily::kRsaPss, "SHA256", 0}, {"PS384", KeyFamily::kRsaPss, "SHA384", 0},
    {"PS512", KeyFamily::kRsaPss, "SHA512", 0}, {"ES256", KeyFamily::kEc, "SHA256", 256},
    {"ES384", KeyFamily::kEc, "SHA384", 384},   {"ES512", KeyFamily::kEc, "SHA512", 521},
    {"EdDSA", KeyFamily::kEd25519, nullptr, 0}};

constexpr int kRsaBitsMin = 1024;

template <auto kFree>
struct Free {
  template <class T>
  void operator()(T* p) const {
    kFree(p);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free>>;
using Context = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Free<ECDSA_SIG_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Decoder = std::unique_ptr<OSSL_DECODER_CTX, Free<OSSL_DECODER_CTX_free>>;

const unsigned char* raw(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Bio reader_of(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// A key with a passphrase is no key here: nobody is there to be asked.
int no_passphrase(char*, int, int, void*) { return -1; }

bool fits(const JwtAlgorithm& a, const EVP_PKEY* key) {
  switch (a.family) {
    case KeyFamily::kRsa:
    case KeyFamily::kRsaPss:
      return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= kRsaBitsMin;
    case KeyFamily::kEc:
      return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_bits(key) == a.curve_bits;
    case KeyFamily::kEd25519: return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
    case KeyFamily::kHmac: break;
  }
  return false;
}

sdk::Status no_key_for(const JwtAlgorithm& a, const char* what) {
  const char* family = a.family == KeyFamily::kEc        ? "ECDSA"
                       : a.family == KeyFamily::kEd25519 ? "Ed25519"
                                                         : "RSA";
  return sdk::invalid(std::string("key is not a valid ") + family + " " + what + " key");
}

// Salts as long as the digest, and any when verifying, as golang-jwt does.
bool set_padding(const JwtAlgorithm& a, EVP_PKEY_CTX* c, bool signing) {
  if (a.family != KeyFamily::kRsaPss) return true;
  return EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) > 0 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(
             c, signing ? RSA_PSS_SALTLEN_DIGEST : RSA_PSS_SALTLEN_AUTO) > 0;
}

// ECDSA in a token is two numbers of fixed size; OpenSSL speaks DER.
size_t number_bytes(const JwtAlgorithm& a) { return static_cast<size_t>(a.curve_bits + 7) / 8; }

std::string from_der(const JwtAlgorithm& a, std::string_view der) {
  const unsigned char* at = raw(der);
  const Signature sig(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (sig == nullptr) return {};
  const size_t size = number_bytes(a);
  std::string out(2 * size, '\0');
  auto* to = reinterpret_cast<unsigned char*>(out.data());
  const int width = static_cast<int>(size);
  if (BN_bn2binpad(ECDSA_SIG_get0_r(sig.get()), to, width) != width ||
      BN_bn2binpad(ECDSA_SIG_get0_s(sig.get()), to + size, width) != width) {
    return {};
  }
  return out;
}

std::string to_der(const JwtAlgorithm& a, std::string_view numbers) {
  const size_t size = number_bytes(a);
  if (numbers.size() != 2 * size) return {};
  const Signature sig(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(raw(numbers), static_cast<int>(size), nullptr);
  BIGNUM* s = BN_bin2bn(raw(numbers) + size, static_cast<int>(size), nullptr);
  if (sig == nullptr || r == nullptr || s == nullptr || ECDSA_SIG_set0(sig.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return {};
  }
  unsigned char* der = nullptr;
  const int length = i2d_ECDSA_SIG(sig.get(), &der);
  if (length <= 0) return {};
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(length));
  OPENSSL_free(der);
  return out;
}

}  // namespace

const JwtAlgorithm* find_algorithm(std::string_view name) {
  for (const JwtAlgorithm& a : kAlgorithms) {
    if (name == a.name) return &a;
  }
  return nullptr;
}

void JwtKey::FreeKey::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }

JwtKey::KeyPtr JwtKey::read_private(std::string_view pem) {
  const Bio in = reader_of(pem);
  return KeyPtr(PEM_read_bio_PrivateKey(in.get(), nullptr, &no_passphrase, nullptr));
}

JwtKey::KeyPtr JwtKey::read_public(std::string_view pem) {
  if (pem.find("PRIVATE KEY-----") != std::string_view::npos) return nullptr;
  EVP_PKEY* key = nullptr;
  const Decoder decoder(OSSL_DECODER_CTX_new_for_pkey(
      &key, "PEM", nullptr, nullptr, OSSL_KEYMGMT_SELECT_PUBLIC_KEY, nullptr, nullptr));
  const Bio in = reader_of(pem);
  if (decoder != nullptr && OSSL_DECODER_from_bio(decoder.get(), in.get()) == 1) return KeyPtr(key);
  const Bio again = reader_of(pem);
  const Certificate cert(PEM_read_bio_X509(again.get(), nullptr, &no_passphrase, nullptr));
  return KeyPtr(cert != nullptr ? X509_get_pubkey(cert.get()) : nullptr);
}

sdk::Status JwtKey::make(const JwtAlgorithm& algorithm, std::string_view public_text,
                         std::string_view private_text, std::shared_ptr<const JwtKey>& out) {
  const sdk::Status missing = sdk::invalid("auth: missing key data");
  if (algorithm.family == KeyFamily::kHmac) {
    if (private_text.empty()) return missing;
    out.reset(new JwtKey(algorithm, nullptr, Secret(private_text), true));
    return {};
  }
  if (private_text.empty() && public_text.empty()) return missing;
  KeyPtr open, secret;
  if (!private_text.empty()) {
    secret = read_private(private_text);
    if (secret == nullptr || !fits(algorithm, secret.get())) {
      ERR_clear_error();
      return no_key_for(algorithm, "private");
    }
  }
  if (!public_text.empty()) {
    open = read_public(public_text);
    if (open == nullptr || !fits(algorithm, open.get())) {
      ERR_clear_error();
      return no_key_for(algorithm, "public");
    }
  }
  ERR_clear_error();
  if (open != nullptr && secret != nullptr && EVP_PKEY_eq(open.get(), secret.get()) != 1) {
    return sdk::invalid("auth: public and private keys don't match");
  }
  const bool can_sign = secret != nullptr;
  out.reset(
      new JwtKey(algorithm, can_sign ? std::move(secret) : std::move(open), Secret(), can_sign));
  return {};
}

std::string JwtKey::hmac(std::string_view text) const {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  const std::string_view key = secret_.view();
  const EVP_MD* md = EVP_get_digestbyname(algorithm_.digest);
  if (HMAC(md, key.data(), static_cast<int>(key.size()), raw(text), text.size(), out, &size) ==
      nullptr) {
    return {};
  }
  return std::string(reinterpret_cast<char*>(out), size);
}

std::string JwtKey::sign(std::string_view text) const {
  if (!can_sign_) return {};
  if (algorithm_.family == KeyFamily::kHmac) return hmac(text);
  const Context c(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  size_t size = 0;
  std::string out;
  if (c != nullptr &&
      EVP_DigestSignInit_ex(c.get(), &key_context, algorithm_.digest, nullptr, nullptr, key_.get(),
                            nullptr) == 1 &&
      set_padding(algorithm_, key_context, true) &&
      EVP_DigestSign(c.get(), nullptr, &size, raw(text), text.size()) == 1) {
    out.resize(size);
    const int done = EVP_DigestSign(c.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                                    raw(text), text.size());
    out.resize(done == 1 ? size : 0);
  }
  ERR_clear_error();
  if (out.empty() || algorithm_.family != KeyFamily::kEc) return out;
  return from_der(algorithm_, out);
}

bool JwtKey::verify_with_key(std::string_view text, std::string_view signature) const {
  const Context c(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  return c != nullptr &&
         EVP_DigestVerifyInit_ex(c.get(), &key_context, algorithm_.digest, nullptr, nullptr,
                                 key_.get(), nullptr) == 1 &&
         set_padding(algorithm_, key_context, false) &&
         EVP_DigestVerify(c.get(), raw(signature), signature.size(), raw(text), text.size()) == 1;
}

bool JwtKey::verify(std::string_view text, std::string_view signature) const {
  if (signature.empty()) return false;
  if (algorithm_.family == KeyFamily::kHmac) {
    const std::string right = hmac(text);
    return right.size() == signature.size() &&
           CRYPTO_memcmp(right.data(), signature.data(), right.size()) == 0;
  }
  bool good = false;
  if (algorithm_.family == KeyFamily::kEc) {
    const std::string der = to_der(algorithm_, signature);
    good = !der.empty() && verify_with_key(text, der);
  } else {
    good = verify_with_key(text, signature);
  }
  ERR_clear_error();
  return good;
}

}  // namespace mortise::auth_rbac
