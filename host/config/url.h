// URLs of listeners and members, as etcd accepts them: http, https, unix and unixs. Used by the
// options and by host/server, which binds and advertises them. Plain values; pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/base/status.h"

namespace mortise::config {

struct Url {
  std::string scheme;  // "http", "https", "unix" or "unixs"
  std::string host;    // Without brackets. Empty for unix sockets and for ":2379".
  std::string port;    // Digits or empty.
  std::string path;    // Of the socket file for unix and unixs; empty for http and https.
  std::string text;    // As it is logged, compared and sent to clients.

  bool is_unix() const { return scheme == "unix" || scheme == "unixs"; }
  bool is_secure() const { return scheme == "https" || scheme == "unixs"; }
  bool operator==(const Url& other) const { return text == other.text; }
};

Result<Url> parse_url(std::string_view text);

// One URL for each string, blanks around it removed, sorted by text; kInvalid with etcd's text if
// one is malformed. Duplicates stay.
Result<std::vector<Url>> parse_urls(const std::vector<std::string>& texts);

std::vector<std::string> url_texts(const std::vector<Url>& urls);

// The first host that is an IP address and no loopback or unspecified one; empty if there is none.
std::string routable_address(const std::vector<Url>& urls);

// Whether it is empty or a number up to 65535; the resolver would cut a larger one to 16 bits.
bool is_port(const std::string& digits);

// kInvalid unless every URL names an IP address or localhost, so that it can be bound.
Status check_bind_urls(const std::vector<Url>& urls);
// kInvalid if a URL has no host.
Status check_host_urls(const std::vector<Url>& urls);

}  // namespace mortise::config
