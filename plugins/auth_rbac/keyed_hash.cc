#include "plugins/auth_rbac/keyed_hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <new>

namespace mortise::auth_rbac {
namespace {

const EVP_MD* sha256() {
  static const EVP_MD* md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return md;
}

struct FreeContext {
  void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
};

EVP_MD_CTX* context() {
  thread_local const std::unique_ptr<EVP_MD_CTX, FreeContext> mine(EVP_MD_CTX_new());
  if (mine == nullptr) throw std::bad_alloc();
  return mine.get();
}

}  // namespace

bool DigestEqual::operator()(const Digest& a, const Digest& b) const {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::unique_ptr<KeyedHash> KeyedHash::make() {
  std::unique_ptr<KeyedHash> made(new KeyedHash());
  Digest key;
  if (sha256() == nullptr || RAND_priv_bytes(key.data(), static_cast<int>(key.size())) != 1) {
    return nullptr;
  }
  made->inner_.fill(0x36);
  made->outer_.fill(0x5c);
  for (size_t i = 0; i < key.size(); ++i) {
    made->inner_[i] ^= key[i];
    made->outer_[i] ^= key[i];
  }
  OPENSSL_cleanse(key.data(), key.size());
  return made;
}

KeyedHash::~KeyedHash() {
  OPENSSL_cleanse(inner_.data(), inner_.size());
  OPENSSL_cleanse(outer_.data(), outer_.size());
}

Digest KeyedHash::of(std::initializer_list<std::string_view> parts) const {
  EVP_MD_CTX* c = context();
  Digest digest;
  bool good = EVP_DigestInit_ex2(c, sha256(), nullptr) == 1 &&
              EVP_DigestUpdate(c, inner_.data(), inner_.size()) == 1;
  for (const std::string_view part : parts) {
    const uint64_t size = part.size();
    good = good && EVP_DigestUpdate(c, &size, sizeof(size)) == 1 &&
           EVP_DigestUpdate(c, part.data(), part.size()) == 1;
  }
  good = good && EVP_DigestFinal_ex(c, digest.data(), nullptr) == 1 &&
         EVP_DigestInit_ex2(c, sha256(), nullptr) == 1 &&
         EVP_DigestUpdate(c, outer_.data(), outer_.size()) == 1 &&
         EVP_DigestUpdate(c, digest.data(), digest.size()) == 1 &&
         EVP_DigestFinal_ex(c, digest.data(), nullptr) == 1;
  if (!good) throw std::bad_alloc();  // Nothing else makes it fail.
  return digest;
}

}  // namespace mortise::auth_rbac
