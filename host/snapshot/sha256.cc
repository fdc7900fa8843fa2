#include "host/snapshot/sha256.h"

#include <openssl/evp.h>

#include "host/base/check.h"

namespace mortise::snapshot {

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  MORTISE_CHECK(
      context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1,
      "SHA-256 is not available");
}

void Sha256::add(std::string_view bytes) {
  MORTISE_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1,
                "SHA-256 failed");
}

std::string Sha256::finish() {
  std::string digest(kSha256Bytes, '\0');
  MORTISE_CHECK(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()),
                                   nullptr) == 1,
                "SHA-256 failed");
  return digest;
}

}  // namespace mortise::snapshot
