#include "host/config/url_match.h"

#include <arpa/inet.h>

#include <algorithm>

#include "host/config/go_syntax.h"

namespace mortise::config {
namespace {

// An IP address in its shortest form, an IPv6 one in brackets; empty if it is none.
std::string ip_text(const std::string& host) {
  unsigned char address[sizeof(in6_addr)];
  char text[INET6_ADDRSTRLEN];
  if (inet_pton(AF_INET, host.c_str(), address) == 1) return host;
  if (inet_pton(AF_INET6, host.c_str(), address) != 1) return "";
  inet_ntop(AF_INET6, address, text, sizeof text);
  return "[" + std::string(text) + "]";
}

std::string comparable(const Url& url) {
  if (url.is_unix()) return url.text;
  const std::string ip = ip_text(url.host);
  return url.scheme + "://" + (ip.empty() ? url.host : ip) + ":" + url.port;
}

bool all_equal(const std::vector<Url>& a, const std::vector<Url>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Url& x, const Url& y) { return comparable(x) == comparable(y); });
}

Status resolve_all(std::vector<Url>* urls, const ResolveHost& resolve) {
  for (Url& url : *urls) {
    if (url.is_unix() || url.host == "localhost") continue;
    std::string ip = ip_text(url.host);
    if (ip.empty()) {
      auto found = resolve(url.host);
      if (!found.ok()) {
        return invalid("failed to resolve " + quote(url.text) + " (" + found.status().message() +
                       ")");
      }
      ip = ip_text(*found);
    }
    url.text = url.scheme + "://" + ip + ":" + url.port;
  }
  std::sort(urls->begin(), urls->end(), [](const Url& a, const Url& b) { return a.text < b.text; });
  return Status();
}

std::string list_text(const std::vector<Url>& urls) {
  std::vector<std::string> quoted;
  for (const Url& url : urls) quoted.push_back(quote(url.text));
  return "len([" + join(quoted, " ") + "])";
}

}  // namespace

Status match_urls(std::vector<Url> a, std::vector<Url> b, const ResolveHost& resolve) {
  if (a.size() != b.size()) return invalid(list_text(a) + " != " + list_text(b));
  const auto by_text = [](const Url& x, const Url& y) { return x.text < y.text; };
  std::sort(a.begin(), a.end(), by_text);
  std::sort(b.begin(), b.end(), by_text);
  if (all_equal(a, b)) return Status();
  MORTISE_RETURN_IF_ERROR(resolve_all(&a, resolve));
  MORTISE_RETURN_IF_ERROR(resolve_all(&b, resolve));
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].text == b[i].text) continue;
    return invalid("resolved urls: " + quote(a[i].text) + " != " + quote(b[i].text));
  }
  return Status();
}

}  // namespace mortise::config
