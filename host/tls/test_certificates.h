// Certificates of tests: an authority that issues what a test asks for. Test support.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct evp_pkey_st;
struct x509_st;

namespace mortise::tls {

struct Issued {
  std::string certificate;  // PEM, as what follows.
  std::string key;
  uint64_t serial = 0;
};

struct IssueOptions {
  std::string common_name;
  std::vector<std::string> hosts = {"localhost", "127.0.0.1"};  // Names and IP addresses.
  bool for_servers = true;
  bool for_clients = true;
};

class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name);
  ~TestAuthority();

  Issued issue(const IssueOptions& options);
  const std::string& certificate() const { return pem_; }
  // A revocation list with these serial numbers, DER.
  std::string revocation_list(const std::vector<uint64_t>& serials) const;

 private:
  evp_pkey_st* key_ = nullptr;
  x509_st* certificate_ = nullptr;
  std::string pem_;
  uint64_t last_serial_ = 1000;
};

}  // namespace mortise::tls
