#include "host/config/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

#include "host/config/go_syntax.h"

extern "C" char** environ;

namespace mortise::config {
namespace {

std::string lower_error(int os_errno) {
  std::string text = std::strerror(os_errno);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z')
    text[0] = static_cast<char>(text[0] + 'a' - 'A');
  return text;
}

// The interface of the default route in /proc/net/route: Iface Destination Gateway Flags RefCnt Use
// Metric Mask ... with a heading line; numbers are hexadecimal.
std::string default_interface_v4() {
  std::ifstream routes("/proc/net/route");
  std::string line;
  std::string best;
  unsigned long best_metric = 0;
  std::getline(routes, line);
  while (std::getline(routes, line)) {
    std::istringstream fields(line);
    std::string name, destination, gateway, flags, references, uses, mask;
    unsigned long metric = 0;
    if (!(fields >> name >> destination >> gateway >> flags >> references >> uses >> metric >>
          mask))
      continue;
    if (destination != "00000000" || mask != "00000000") continue;
    if (best.empty() || metric < best_metric) {
      best = name;
      best_metric = metric;
    }
  }
  return best;
}

// /proc/net/ipv6_route: destination, its prefix length, source, its length, next hop, metric,
// references, uses, flags, interface. The loopback interface holds a default route that leads
// nowhere.
std::string default_interface_v6() {
  std::ifstream routes("/proc/net/ipv6_route");
  std::string line;
  while (std::getline(routes, line)) {
    std::istringstream fields(line);
    std::string destination, length, skipped, name;
    if (!(fields >> destination >> length)) continue;
    for (int i = 0; i < 7; ++i) fields >> skipped;
    if (!(fields >> name) || name == "lo") continue;
    if (length == "00" && destination == std::string(32, '0')) return name;
  }
  return "";
}

std::string address_of(const std::string& interface, int family) {
  ifaddrs* raw = nullptr;
  if (interface.empty() || getifaddrs(&raw) != 0) return "";
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> all(raw, freeifaddrs);
  for (const ifaddrs* entry = all.get(); entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != family) continue;
    if (interface != entry->ifa_name) continue;
    char text[INET6_ADDRSTRLEN] = {};
    if (family == AF_INET) {
      sockaddr_in address;
      std::memcpy(&address, entry->ifa_addr, sizeof(address));
      if (inet_ntop(family, &address.sin_addr, text, sizeof(text)) != nullptr) return text;
      continue;
    }
    sockaddr_in6 address;
    std::memcpy(&address, entry->ifa_addr, sizeof(address));
    if (IN6_IS_ADDR_LINKLOCAL(&address.sin6_addr)) continue;
    if (inet_ntop(family, &address.sin6_addr, text, sizeof(text)) != nullptr) return text;
  }
  return "";
}

}  // namespace

std::vector<std::string> process_arguments(int argc, const char* const* argv) {
  return std::vector<std::string>(argv, argv + argc);
}

std::map<std::string, std::string> process_environment() {
  std::map<std::string, std::string> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string variable = *entry;
    const size_t equals = variable.find('=');
    if (equals != std::string::npos)
      environment.emplace(variable.substr(0, equals), variable.substr(equals + 1));
  }
  return environment;
}

Result<std::string> read_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return invalid("open " + path + ": " + lower_error(errno));
  std::string content;
  char buffer[16384];
  ssize_t count = 0;
  while ((count = read(fd, buffer, sizeof(buffer))) != 0) {
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    content.append(buffer, static_cast<size_t>(count));
  }
  const int read_errno = errno;
  close(fd);
  if (count < 0) return invalid("read " + path + ": " + lower_error(read_errno));
  return content;
}

Result<std::string> default_host() {
  const std::string v4 = default_interface_v4();
  const std::string v6 = default_interface_v6();
  if (v4.empty() && v6.empty()) return not_found("could not find default route");
  std::string address = address_of(v4, AF_INET);
  if (address.empty()) address = address_of(v6, AF_INET6);
  if (address.empty()) return not_found("could not find default host");
  return address;
}

Result<std::string> resolve_host(const std::string& host,
                                 std::chrono::steady_clock::time_point until) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  for (;;) {
    addrinfo* raw = nullptr;
    const int code = getaddrinfo(host.c_str(), nullptr, &hints, &raw);
    if (code == 0) {
      const std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(raw, freeaddrinfo);
      char text[NI_MAXHOST];
      if (getnameinfo(raw->ai_addr, raw->ai_addrlen, text, sizeof text, nullptr, 0,
                      NI_NUMERICHOST) == 0) {
        return std::string(text);
      }
    }
    constexpr std::chrono::seconds kPause(1);
    if (std::chrono::steady_clock::now() + kPause > until) {
      return invalid("lookup " + host + ": " + gai_strerror(code));
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace mortise::config
