#include "plugins/transport_http/routes.h"

namespace mortise::transport_http {

Routes::Routes(const mortise_host_rpc_v1& rpc) {
  for (uint32_t i = 0; i < rpc.method_count; ++i) {
    const mortise_method& method = rpc.methods[i];
    const bool known = method.kind == MORTISE_UNARY || method.kind == MORTISE_SERVER_STREAM ||
                       method.kind == MORTISE_BIDI_STREAM;
    if (!known) continue;
    for (const char* const* path = method.http_paths; *path != nullptr; ++path) {
      methods_.emplace(*path, &method);
    }
  }
}

const mortise_method* Routes::find(std::string_view path) const {
  const auto found = methods_.find(path);
  return found == methods_.end() ? nullptr : found->second;
}

int http_status(mortise_rpc_code code) {
  switch (code) {
    case 0: return 200;
    case 1: return 499;
    case 3:
    case 9:
    case 11: return 400;
    case 4: return 504;
    case 5: return 404;
    case 6:
    case 10: return 409;
    case 7: return 403;
    case 8: return 429;
    case 12: return 501;
    case 14: return 503;
    case 16: return 401;
    default: return 500;
  }
}

std::string_view http_status_text(int status) {
  switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 301: return "Moved Permanently";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Request Entity Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
  }
}

}  // namespace mortise::transport_http
