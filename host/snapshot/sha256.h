// SHA-256 over bytes that come in pieces.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;  // OpenSSL's.

namespace mortise::snapshot {

constexpr size_t kSha256Bytes = 32;

class Sha256 {
 public:
  Sha256();
  void add(std::string_view bytes);
  // The 32 bytes of the digest; the last call.
  std::string finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace mortise::snapshot
