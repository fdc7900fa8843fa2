#include "plugins/auth_rbac/bcrypt.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <memory>

#include "plugins/auth_rbac/secret.h"

namespace mortise::auth_rbac {
namespace {

constexpr size_t kSaltBytes = 16;
constexpr size_t kHashBytes = 60;
using Salt = std::array<unsigned char, kSaltBytes>;

// libcrypt's "$2a$" differs from Go's for some passwords beyond ASCII, as a defence against old
// hashes of its own; its "$2b$" is what Go calls "$2a$".
constexpr char kExactVersion = 'b';
constexpr size_t kVersionAt = 2;

struct Workspace {
  crypt_data data{};
  ~Workspace() { OPENSSL_cleanse(&data, sizeof(data)); }
};

// The hash of the password with the setting or hash `setting`, in the version of `setting`.
std::string crypt_with(std::string_view password, std::string setting) {
  const Secret text(password.substr(0, kPasswordBytesMax));
  const char version = setting[kVersionAt];
  setting[kVersionAt] = kExactVersion;
  const auto space = std::make_unique<Workspace>();
  const char* made =
      crypt_rn(text.c_str(), setting.c_str(), &space->data, static_cast<int>(sizeof(space->data)));
  if (made == nullptr) return {};
  std::string hash(made);
  if (hash.size() != kHashBytes) return {};
  hash[kVersionAt] = version;
  return hash;
}

std::string hash_with(std::string_view password, int cost, const Salt& salt) {
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  if (crypt_gensalt_rn("$2b$", static_cast<unsigned long>(cost),
                       reinterpret_cast<const char*>(salt.data()), kSaltBytes, setting,
                       sizeof(setting)) == nullptr) {
    return {};
  }
  setting[kVersionAt] = 'a';
  return crypt_with(password, setting);
}

}  // namespace

bool is_bcrypt_hash(std::string_view hash) {
  return hash.size() == kHashBytes && hash.starts_with("$2") && hash[3] == '$' && hash[6] == '$' &&
         hash.find('\0') == std::string_view::npos;
}

std::string bcrypt_hash(std::string_view password, int cost) {
  Salt salt;
  if (RAND_bytes(salt.data(), kSaltBytes) != 1) return {};
  return hash_with(password, cost, salt);
}

bool bcrypt_matches(std::string_view password, std::string_view hash) {
  if (!is_bcrypt_hash(hash)) return false;
  // Go counts a NUL in; C's strings end there. Such a password would match all that go on from it.
  const bool exact = password.substr(0, kPasswordBytesMax).find('\0') == std::string_view::npos;
  const std::string made = crypt_with(password, std::string(hash));
  return made.size() == hash.size() && CRYPTO_memcmp(made.data(), hash.data(), hash.size()) == 0 &&
         exact;
}

std::string bcrypt_of_entry(uint64_t index, std::string_view name, std::string_view password) {
  const std::string number = std::to_string(index);
  Secret text;
  for (const std::string_view part : {std::string_view(number), name, password}) {
    text.append(part);
    text.append(std::string_view("\0", 1));
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(text.view().data(), text.view().size(), digest, &size, EVP_sha256(), nullptr) !=
      1) {
    return {};
  }
  Salt salt;
  std::copy_n(digest, kSaltBytes, salt.begin());
  return hash_with(password, kBcryptCostDefault, salt);
}

}  // namespace mortise::auth_rbac
