#include "plugins/auth_rbac/failure_limits.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace mortise::auth_rbac {
namespace {

std::string text_of(int family, const void* address) {
  char text[INET6_ADDRSTRLEN] = {};
  return ::inet_ntop(family, address, text, sizeof(text)) != nullptr ? text : "";
}

// Empty if it is no address of IPv6.
std::string network_of(std::string_view host) {
  in6_addr address{};
  const std::string text(host.substr(0, host.find('%')));
  if (::inet_pton(AF_INET6, text.c_str(), &address) != 1) return {};
  if (IN6_IS_ADDR_V4MAPPED(&address)) return text_of(AF_INET, &address.s6_addr[12]);
  std::memset(&address.s6_addr[8], 0, 8);
  return text_of(AF_INET6, &address) + "/64";
}

}  // namespace

std::string address_of(std::string_view remote) {
  if (remote.starts_with("unix:")) return std::string(remote);
  const std::string_view host = remote.substr(0, remote.rfind(':'));
  std::string network;
  if (host.starts_with('[') && host.ends_with(']')) {
    network = network_of(host.substr(1, host.size() - 2));
  }
  return network.empty() ? std::string(host) : network;
}

FailureLimits::Bucket& FailureLimits::bucket(const Digest& key, double most, double per_second) {
  const int64_t now = clock_().count();
  const auto [it, added] = buckets_.try_emplace(key);
  Bucket& b = it->second;
  if (added) {
    b.tries = most;
    b.age = ages_.insert(ages_.end(), key);
  } else {
    const double seconds = static_cast<double>(now - b.filled_ns) / 1e9;
    b.tries = std::min(most, b.tries + seconds * per_second);
    ages_.splice(ages_.end(), ages_, b.age);
  }
  b.filled_ns = now;
  return b;
}

bool FailureLimits::admit(std::string_view user, std::string_view remote) {
  const Digest of_address = hash_.of({user, address_of(remote)});
  const Digest of_user = hash_.of({user});
  const std::lock_guard lock(mutex_);
  while (buckets_.size() + 2 > buckets_max_ && !ages_.empty()) {
    buckets_.erase(ages_.front());
    ages_.pop_front();
  }
  Bucket& near = bucket(of_address, kLoginTriesOfAddressMax, kLoginTriesOfAddressPerSecond);
  Bucket& far = bucket(of_user, kLoginTriesOfUserMax, kLoginTriesOfUserPerSecond);
  if (near.tries < 1 || far.tries < 1) return false;
  near.tries -= 1;
  far.tries -= 1;
  return true;
}

void FailureLimits::give_back(std::string_view user, std::string_view remote) {
  const std::lock_guard lock(mutex_);
  for (const Digest& key : {hash_.of({user, address_of(remote)}), hash_.of({user})}) {
    const auto it = buckets_.find(key);
    if (it != buckets_.end()) it->second.tries += 1;
  }
}

}  // namespace mortise::auth_rbac
