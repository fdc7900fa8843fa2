#include "host/discovery/dns.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <tuple>

namespace mortise::discovery {
namespace {

constexpr uint16_t kDnsPort = 53;

// The state of libresolv, which is closed in the end.
class Resolver {
 public:
  Resolver() = default;
  ~Resolver() {
    if (open_) res_nclose(&state_);
  }
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  Status open(const std::string& server) {
    if (res_ninit(&state_) != 0) return invalid("the resolver cannot be set up");
    open_ = true;
    return server.empty() ? Status() : ask_only(server);
  }
  res_state state() { return &state_; }
  // " on 127.0.0.1:53"
  std::string server_text() const {
    char text[INET_ADDRSTRLEN];
    const sockaddr_in& first = state_.nsaddr_list[0];
    if (state_.nscount == 0 || first.sin_family != AF_INET) return "";
    inet_ntop(AF_INET, &first.sin_addr, text, sizeof text);
    return " on " + std::string(text) + ":" + std::to_string(ntohs(first.sin_port));
  }

 private:
  Status ask_only(const std::string& server) {
    const size_t colon = server.find(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    uint16_t port = kDnsPort;
    const std::string port_text = colon == std::string::npos ? "" : server.substr(colon + 1);
    const char* const end = port_text.data() + port_text.size();
    const bool good_port =
        colon == std::string::npos || std::from_chars(port_text.data(), end, port).ptr == end;
    if (!good_port || port == 0 ||
        inet_pton(AF_INET, server.substr(0, colon).c_str(), &address.sin_addr) != 1) {
      return invalid("\"" + server + "\" is no IPv4 address of a name server");
    }
    address.sin_port = htons(port);
    res_nclose(&state_);  // Forgets addresses of IPv6 servers, too.
    state_.nscount = 1;
    state_.nsaddr_list[0] = address;
    return Status();
  }

  struct __res_state state_ {};
  bool open_ = false;
};

std::string problem_text(int h_error, int error) {
  if (h_error == HOST_NOT_FOUND || h_error == NO_DATA) return "no such host";
  if (error == ETIMEDOUT) return "i/o timeout";
  if (error == ECONNREFUSED) return "connection refused";
  return "server misbehaving";
}

// Priority, weight, port, and a name that may point into the message.
bool parse_record(const ns_msg& message, const ns_rr& row, SrvRecord* record) {
  constexpr size_t kFixedBytes = 6;
  const unsigned char* data = ns_rr_rdata(row);
  if (ns_rr_rdlen(row) <= kFixedBytes) return false;
  record->priority = static_cast<uint16_t>(ns_get16(data));
  record->weight = static_cast<uint16_t>(ns_get16(data + 2));
  record->port = static_cast<uint16_t>(ns_get16(data + 4));
  char name[NS_MAXDNAME];
  if (ns_name_uncompress(ns_msg_base(message), ns_msg_end(message), data + kFixedBytes, name,
                         sizeof name) < 0) {
    return false;
  }
  record->target = name;
  while (record->target.ends_with('.')) record->target.pop_back();
  return !record->target.empty();
}

}  // namespace

Result<std::vector<SrvRecord>> lookup_srv(const std::string& name, const std::string& server) {
  Resolver resolver;
  MORTISE_RETURN_IF_ERROR(resolver.open(server));
  std::vector<unsigned char> answer(NS_MAXMSG);
  errno = 0;
  const int size = res_nsearch(resolver.state(), name.c_str(), ns_c_in, ns_t_srv, answer.data(),
                               static_cast<int>(answer.size()));
  const std::string lookup = "lookup " + name + resolver.server_text() + ": ";
  if (size < 0) {
    return invalid(lookup + problem_text(resolver.state()->res_h_errno, errno));
  }
  ns_msg message;
  if (ns_initparse(answer.data(), std::min(size, NS_MAXMSG), &message) < 0) {
    return invalid(lookup + "cannot unmarshal DNS message");
  }
  std::vector<SrvRecord> records;
  for (int i = 0; i < ns_msg_count(message, ns_s_an); ++i) {
    ns_rr row;
    if (ns_parserr(&message, ns_s_an, i, &row) < 0) {
      return invalid(lookup + "cannot unmarshal DNS message");
    }
    SrvRecord record;
    if (ns_rr_type(row) == ns_t_srv && parse_record(message, row, &record)) {
      records.push_back(std::move(record));
    }
  }
  if (records.empty()) return invalid(lookup + "no such host");
  std::sort(records.begin(), records.end(), [](const SrvRecord& a, const SrvRecord& b) {
    return std::tuple(a.priority, -int{a.weight}, a.target, a.port) <
           std::tuple(b.priority, -int{b.weight}, b.target, b.port);
  });
  return records;
}

Result<std::string> lookup_address(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  for (const int family : {AF_INET, AF_INET6}) {
    hints.ai_family = family;
    addrinfo* raw = nullptr;
    if (getaddrinfo(host.c_str(), nullptr, &hints, &raw) != 0) continue;
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(raw, freeaddrinfo);
    char text[NI_MAXHOST];
    if (getnameinfo(raw->ai_addr, raw->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) ==
        0) {
      return std::string(text);
    }
  }
  return invalid("lookup " + host + ": no such host");
}

}  // namespace mortise::discovery
