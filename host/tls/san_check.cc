#include "host/tls/san_check.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>

#include "host/config/go_syntax.h"

namespace mortise::tls {
namespace {

bool contains(const std::vector<std::string>& all, const std::string& one) {
  return std::ranges::find(all, one) != all.end();
}

std::string listed(const std::vector<std::string>& names) {
  std::string out = "[";
  for (const std::string& name : names) out += (out.size() > 1 ? " \"" : "\"") + name + "\"";
  return out + "]";
}

bool matches(const std::string& pattern, const std::string& name) {
  if (!pattern.starts_with("*.")) return pattern == name;
  return name.ends_with(std::string_view(pattern).substr(1));
}

class SystemResolver : public Resolver {
 public:
  std::vector<std::string> names_of(const std::string& ip) override {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(ip.c_str(), nullptr, &hints, &found) != 0) return {};
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> guard(found, &::freeaddrinfo);
    char name[NI_MAXHOST];
    if (::getnameinfo(found->ai_addr, found->ai_addrlen, name, sizeof name, nullptr, 0,
                      NI_NAMEREQD) != 0) {
      return {};
    }
    std::string text(name);
    if (text.ends_with('.')) text.pop_back();
    return {text};
  }
  std::vector<std::string> ips_of(const std::string& name) override {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(name.c_str(), nullptr, &hints, &found) != 0) return {};
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> guard(found, &::freeaddrinfo);
    std::vector<std::string> out;
    for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
      char text[NI_MAXHOST];
      if (::getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) ==
          0) {
        out.emplace_back(text);
      }
    }
    return out;
  }
};

}  // namespace

Resolver* system_resolver() {
  static SystemResolver resolver;
  return &resolver;
}

bool needs_resolver(const Identity& identity, const std::string& remote_ip) {
  return !identity.dns_names.empty() && !contains(identity.ip_addresses, remote_ip);
}

Status check_san(const Identity& identity, const std::string& remote_ip, Resolver* resolver) {
  const auto& dns_names = identity.dns_names;
  if (identity.ip_addresses.empty() && dns_names.empty()) return Status();
  if (contains(identity.ip_addresses, remote_ip)) return Status();
  if (dns_names.empty()) {
    return invalid("x509: certificate is valid for " + config::join(identity.ip_addresses, ", ") +
                   ", not " + remote_ip);
  }
  for (const std::string& name : resolver->names_of(remote_ip)) {
    for (const std::string& pattern : dns_names) {
      if (matches(pattern, name)) return Status();
    }
  }
  for (const std::string& name : dns_names) {
    if (!name.starts_with("*.") && contains(resolver->ips_of(name), remote_ip)) return Status();
  }
  return invalid("tls: \"" + remote_ip + "\" does not match any of DNSNames " + listed(dns_names));
}

}  // namespace mortise::tls
