#include "host/peer/http_io.h"

#include <ctime>

namespace mortise::peer {
namespace {

namespace http = boost::beast::http;

void append_header(std::string_view name, std::string_view value, std::string* out) {
  out->append(name).append(": ").append(value).append("\r\n");
}

std::string date_text() {
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[64];
  return std::string(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
}

std::string status_line(int status) {
  auto reason = http::obsolete_reason(static_cast<http::status>(status));
  std::string out = "HTTP/1.1 " + std::to_string(status) + " ";
  out.append(reason.data(), reason.size());
  return out.append("\r\n");
}

}  // namespace

HttpHeaders copy_headers(const http::fields& fields) {
  HttpHeaders out;
  for (const auto& field : fields) {
    auto name = field.name_string();
    auto value = field.value();
    out.emplace_back(std::string(name.data(), name.size()),
                     std::string(value.data(), value.size()));
  }
  return out;
}

std::string request_head(std::string_view method, std::string_view target, std::string_view host,
                         const HttpHeaders& headers, uint64_t length) {
  std::string out;
  out.append(method).append(" ").append(target).append(" HTTP/1.1\r\n");
  append_header("Host", host, &out);
  for (const auto& [name, value] : headers) append_header(name, value, &out);
  if (length > 0 || method == "POST") {
    append_header("Content-Length", std::to_string(length), &out);
  }
  return out.append("\r\n");
}

std::string request_bytes(std::string_view method, std::string_view target, std::string_view host,
                          const HttpHeaders& headers, std::string_view body) {
  return request_head(method, target, host, headers, body.size()).append(body);
}

std::string response_bytes(const HttpResponse& response, bool keep_alive, bool with_body) {
  std::string out = status_line(response.status);
  for (const auto& [name, value] : response.headers) append_header(name, value, &out);
  append_header("Date", date_text(), &out);
  if (response.status != 204) {
    append_header("Content-Length", std::to_string(response.body.size()), &out);
  }
  if (!keep_alive) append_header("Connection", "close", &out);
  out.append("\r\n");
  if (with_body && response.status != 204) out.append(response.body);
  return out;
}

std::string chunked_head(const HttpHeaders& headers) {
  std::string out = status_line(200);
  for (const auto& [name, value] : headers) append_header(name, value, &out);
  append_header("Date", date_text(), &out);
  append_header("Transfer-Encoding", "chunked", &out);
  return out.append("\r\n");
}

}  // namespace mortise::peer
