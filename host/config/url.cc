#include "host/config/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "host/config/go_syntax.h"

namespace mortise::config {
namespace {

Status bad_url(std::string_view text, const std::string& why) {
  return invalid("parse " + quote(text) + ": " + why);
}

// The scheme before ':', in lower case; empty if there is none.
Result<std::string> take_scheme(std::string_view whole, std::string_view& rest) {
  for (size_t i = 0; i < rest.size(); ++i) {
    const auto c = static_cast<unsigned char>(rest[i]);
    if (std::isalpha(c)) continue;
    if (std::isdigit(c) || c == '+' || c == '-' || c == '.') {
      if (i == 0) return std::string();
      continue;
    }
    if (c != ':') return std::string();
    if (i == 0) return bad_url(whole, "missing protocol scheme");
    std::string scheme(rest.substr(0, i));
    std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                   [](unsigned char l) { return static_cast<char>(std::tolower(l)); });
    rest.remove_prefix(i + 1);
    return scheme;
  }
  return std::string();
}

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

// `colon_port` is empty or begins with the ':' after the host.
Status check_port(std::string_view whole, std::string_view colon_port) {
  if (colon_port.empty() || (colon_port.front() == ':' && all_digits(colon_port.substr(1))))
    return {};
  return bad_url(whole, "invalid port " + quote(colon_port) + " after host");
}

Status check_host(std::string_view whole, std::string_view host) {
  constexpr std::string_view kRefused = " \\^`{|}";
  for (const char c : host) {
    if (kRefused.find(c) != std::string_view::npos) {
      return bad_url(whole,
                     "invalid character " + quote(std::string_view(&c, 1)) + " in host name");
    }
    if (c == '%') {
      return bad_url(whole, "invalid URL escape " + quote(host.substr(host.find('%'), 3)));
    }
  }
  return {};
}

// What stands in brackets: an IPv6 address, perhaps with a zone.
Status check_literal(std::string_view whole, std::string_view literal) {
  unsigned char address[16];
  const std::string text(literal.substr(0, literal.find('%')));
  if (inet_pton(AF_INET6, text.c_str(), address) == 1) return {};
  return bad_url(whole, "invalid host: ParseAddr(" + quote(literal) + "): unable to parse IP");
}

Status check_authority(std::string_view whole, std::string_view authority) {
  const size_t user_end = authority.rfind('@');
  if (user_end != std::string_view::npos) authority.remove_prefix(user_end + 1);
  if (!authority.empty() && authority.front() == '[') {
    const size_t close = authority.rfind(']');
    if (close == std::string_view::npos) return bad_url(whole, "missing ']' in host");
    MORTISE_RETURN_IF_ERROR(check_port(whole, authority.substr(close + 1)));
    return check_literal(whole, authority.substr(1, close - 1));
  }
  const size_t colon = authority.find(':');
  if (colon != std::string_view::npos) {
    MORTISE_RETURN_IF_ERROR(check_port(whole, authority.substr(colon)));
    authority = authority.substr(0, colon);
  }
  return check_host(whole, authority);
}

// host:port or [host]:port; false if the port is missing or the colons are ambiguous.
bool split_host_port(std::string_view authority, Url& url) {
  if (!authority.empty() && authority.front() == '[') {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos || close + 1 >= authority.size() ||
        authority[close + 1] != ':') {
      return false;
    }
    url.host = authority.substr(1, close - 1);
    url.port = authority.substr(close + 2);
    return url.host.find('[') == std::string::npos && url.port.find(':') == std::string::npos;
  }
  const size_t colon = authority.find(':');
  if (colon == std::string_view::npos || authority.find(':', colon + 1) != std::string_view::npos) {
    return false;
  }
  url.host = authority.substr(0, colon);
  url.port = authority.substr(colon + 1);
  return true;
}

Status fill_tcp(std::string_view text, std::string_view authority, std::string_view path,
                Url& url) {
  const size_t user_end = authority.rfind('@');
  const auto host_port =
      user_end == std::string_view::npos ? authority : authority.substr(user_end + 1);
  if (!split_host_port(host_port, url)) {
    return invalid("URL address does not have the form \"host:port\": " + std::string(text));
  }
  if (!path.empty()) return invalid("URL must not contain a path: " + std::string(text));
  return {};
}

bool is_ip(const std::string& host) {
  unsigned char address[16];
  return inet_pton(AF_INET, host.c_str(), address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), address) == 1;
}

}  // namespace

Result<Url> parse_url(std::string_view raw) {
  const std::string_view text = trim(raw);
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return bad_url(text, "net/url: invalid control character in URL");
    }
  }
  std::string_view rest = text;
  Url url;
  MORTISE_ASSIGN_OR_RETURN(url.scheme, take_scheme(text, rest));
  if (url.scheme.empty() && rest.substr(0, rest.find('/')).find(':') != std::string_view::npos) {
    return bad_url(text, "first path segment in URL cannot contain colon");
  }
  std::string_view authority;
  std::string_view path = rest.substr(0, rest.find_first_of("?#"));
  if (path.substr(0, 2) == "//") {
    path.remove_prefix(2);
    authority = path.substr(0, path.find('/'));
    path.remove_prefix(authority.size());
    MORTISE_RETURN_IF_ERROR(check_authority(text, authority));
  }
  if (url.scheme == "http" || url.scheme == "https") {
    MORTISE_RETURN_IF_ERROR(fill_tcp(text, authority, path, url));
  } else if (url.is_unix()) {
    url.path = std::string(authority) + std::string(path);
  } else {
    return invalid("URL scheme must be http, https, unix, or unixs: " + std::string(text));
  }
  url.text = url.scheme + ":" + std::string(rest);
  return url;
}

Result<std::vector<Url>> parse_urls(const std::vector<std::string>& texts) {
  std::vector<Url> urls;
  for (const std::string& text : texts) {
    MORTISE_ASSIGN_OR_RETURN(Url url, parse_url(text));
    urls.push_back(std::move(url));
  }
  std::stable_sort(urls.begin(), urls.end(),
                   [](const Url& a, const Url& b) { return a.text < b.text; });
  return urls;
}

std::vector<std::string> url_texts(const std::vector<Url>& urls) {
  std::vector<std::string> texts;
  for (const Url& url : urls) texts.push_back(url.text);
  return texts;
}

std::string routable_address(const std::vector<Url>& urls) {
  for (const Url& url : urls) {
    in_addr v4{};
    if (::inet_pton(AF_INET, url.host.c_str(), &v4) == 1) {
      const uint32_t address = ntohl(v4.s_addr);
      if (address >> IN_CLASSA_NSHIFT != IN_LOOPBACKNET && address != INADDR_ANY) return url.host;
    }
    in6_addr v6{};
    if (::inet_pton(AF_INET6, url.host.c_str(), &v6) == 1 && !IN6_IS_ADDR_LOOPBACK(&v6) &&
        !IN6_IS_ADDR_UNSPECIFIED(&v6)) {
      return url.host;
    }
  }
  return {};
}

bool is_port(const std::string& digits) {
  uint16_t number = 0;
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, number);
  return digits.empty() || (parsed.ec == std::errc() && parsed.ptr == end);
}

Status check_bind_urls(const std::vector<Url>& urls) {
  for (const Url& url : urls) {
    if (url.is_unix()) continue;
    if (url.host != "localhost" && !is_ip(url.host)) {
      return invalid("expected IP in URL for binding (" + url.text + ")");
    }
    if (!is_port(url.port)) return invalid("listen tcp: address " + url.port + ": invalid port");
  }
  return {};
}

Status check_host_urls(const std::vector<Url>& urls) {
  for (const Url& url : urls) {
    if (!url.is_unix() && url.host.empty())
      return invalid("unexpected empty host (" + url.text + ")");
  }
  return {};
}

}  // namespace mortise::config
