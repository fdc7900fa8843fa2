// Requests and responses of the peer port as plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mortise::peer {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// The first value of a header, names compared without case; empty if there is none.
std::string_view header_value(const HttpHeaders& headers, std::string_view name);

struct HttpRequest {
  std::string method;
  std::string path;   // Without the query.
  std::string query;  // What follows '?'.
  HttpHeaders headers;
  std::string body;
  std::string remote;  // Address of the client.
};

struct HttpResponse {
  int status = 200;
  HttpHeaders headers;  // Content-Length, Date and Connection are added.
  std::string body;
};

// A plain text error: the text and a line break, with the headers that Go's http.Error sets.
HttpResponse text_response(int status, std::string_view text);

// Lower-case hex without padding, as ids stand in paths and headers.
std::string hex_text(uint64_t id);
// Nothing but hex digits that fit 64 bits; false otherwise.
bool parse_hex(std::string_view text, uint64_t* id);

}  // namespace mortise::peer
