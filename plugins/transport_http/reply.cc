#include "plugins/transport_http/reply.h"

#include <time.h>

#include <charconv>
#include <cstdio>
#include <utility>

namespace mortise::transport_http {
namespace {

constexpr std::string_view kJsonType = "Content-Type: application/json\r\n";
constexpr std::string_view kGatewayFields =
    "Content-Type: application/json\r\nGrpc-Metadata-Content-Type: application/grpc\r\n";
constexpr std::string_view kTrailer = "Grpc-Trailer-Content-Type";
constexpr std::string_view kLastChunk = "0\r\n\r\n";

void append_number(std::string& out, uint64_t number, int base = 10) {
  char text[24];
  out.append(text, std::to_chars(text, text + sizeof(text), number, base).ptr);
}

// A value that came from elsewhere must not begin a line of its own.
std::string one_line(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c == '\r' || c == '\n' || c == '\0') c = ' ';
  }
  return out;
}

size_t utf8_size(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  size_t size = lead < 0x80 ? 1 : lead >> 5 == 0x6 ? 2 : lead >> 4 == 0xe ? 3 : 4;
  if ((lead >= 0x80 && lead < 0xc2) || lead > 0xf4 || size > text.size()) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  return size;
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out.push_back('"');
  while (!text.empty()) {
    const char c = text[0];
    size_t size = 1;
    if (c == '"' || c == '\\') {
      out.append({'\\', c});
    } else if (c == '\n') {
      out.append("\\n");
    } else if (c == '\r') {
      out.append("\\r");
    } else if (c == '\t') {
      out.append("\\t");
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out.append({'\\', 'u', '0', '0', kHex[(c >> 4) & 0xf], kHex[c & 0xf]});
    } else if (size = utf8_size(text); size > 0) {
      out.append(text.substr(0, size));
    } else {
      out.append("\xef\xbf\xbd");
      size = 1;
    }
    text.remove_prefix(size);
  }
  out.push_back('"');
}

// Answers of methods, which come in chunks if the client takes trailers.
void write_gateway(Output& out, const ReplyStyle& style, ReplyHead head, sdk::Buffer body,
                   std::string_view trailer) {
  if (!style.accepts_trailers || style.http_10) {
    head.length = body.size();
    write_head(out.text(), style, head);
    if (!style.without_body) out.append(std::move(body));
    return;
  }
  head.kind = BodyKind::kChunked;
  std::string fields(head.fields);
  if (!trailer.empty()) fields.append("Trailer: ").append(kTrailer).append("\r\n");
  head.fields = fields;
  write_head(out.text(), style, head);
  if (style.without_body) return;
  if (!body.empty()) append_chunk(out.text(), body.view());
  if (trailer.empty()) {
    out.text().append(kLastChunk);
  } else {
    out.text().append("0\r\n").append(kTrailer).append(": ").append(trailer).append("\r\n\r\n");
  }
}

}  // namespace

std::string_view date_field() {
  thread_local time_t t_second = 0;
  thread_local char t_text[48];
  thread_local size_t t_size = 0;
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != t_second) {
    t_second = now.tv_sec;
    tm parts{};
    gmtime_r(&t_second, &parts);
    constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const int size = snprintf(
        t_text, sizeof(t_text), "Date: %s, %02u %s %04u %02u:%02u:%02u GMT\r\n",
        kDays[parts.tm_wday], static_cast<unsigned>(parts.tm_mday) % 100u, kMonths[parts.tm_mon],
        static_cast<unsigned>(parts.tm_year + 1900) % 10000u,
        static_cast<unsigned>(parts.tm_hour) % 100u, static_cast<unsigned>(parts.tm_min) % 100u,
        static_cast<unsigned>(parts.tm_sec) % 100u);
    t_size = static_cast<size_t>(size);
  }
  return {t_text, t_size};
}

void write_head(std::string& out, const ReplyStyle& style, const ReplyHead& head) {
  out.append(style.http_10 ? "HTTP/1.0 " : "HTTP/1.1 ");
  append_number(out, static_cast<uint64_t>(head.status));
  out.push_back(' ');
  out.append(http_status_text(head.status));
  out.append("\r\n");
  if (!style.cors_origin.empty()) {
    out.append(
        "Access-Control-Allow-Headers: accept, content-type, authorization\r\n"
        "Access-Control-Allow-Methods: POST, GET, OPTIONS, PUT, DELETE\r\n"
        "Access-Control-Allow-Origin: ");
    out.append(style.cors_origin);
    out.append("\r\n");
  }
  out.append(head.fields);
  out.append(date_field());
  if (head.kind == BodyKind::kLength) {
    out.append("Content-Length: ");
    append_number(out, head.length);
    out.append("\r\n");
  }
  const bool closes = !style.keep_alive || head.kind == BodyKind::kUntilClose;
  if (closes && !style.http_10) out.append("Connection: close\r\n");
  if (!closes && style.http_10) out.append("Connection: keep-alive\r\n");
  if (head.kind == BodyKind::kChunked) out.append("Transfer-Encoding: chunked\r\n");
  out.append("\r\n");
}

void append_chunk(std::string& out, std::string_view bytes) {
  append_number(out, bytes.size(), 16);
  out.append("\r\n").append(bytes).append("\r\n");
}

std::string error_json(mortise_rpc_code code, std::string_view message) {
  std::string out = "{\"code\":";
  append_number(out, static_cast<uint64_t>(code));
  if (!message.empty()) {
    out.append(",\"message\":");
    append_json_string(out, message);
  }
  out.push_back('}');
  return out;
}

void write_answer(Output& out, const ReplyStyle& style, sdk::Buffer body) {
  write_gateway(out, style, {200, kGatewayFields}, std::move(body), {});
}

void write_error(Output& out, const ReplyStyle& style, mortise_rpc_code code,
                 std::string_view message) {
  std::string fields(kJsonType);
  if (code == kUnauthenticated) {
    fields.append("Www-Authenticate: ").append(one_line(message)).append("\r\n");
  }
  write_gateway(out, style, {http_status(code), fields},
                sdk::Buffer::from(error_json(code, message)), "application/grpc");
}

void write_text(Output& out, const ReplyStyle& style, int status, std::string_view text) {
  write_page(out, style, {status, "text/plain; charset=utf-8", {}, {}},
             sdk::Buffer::from(std::string(text)));
}

void write_redirect(Output& out, const ReplyStyle& style, std::string_view location,
                    bool has_body) {
  Page page{307, {}, {}, {}};
  std::string body;
  if (has_body) {
    page.content_type = "text/html; charset=utf-8";
    body.append("<a href=\"");
    for (const char c : location) {
      if (c == '&' || c == '\'') {
        body.append(c == '&' ? "&amp;" : "&#39;");
      } else {
        body.push_back(c);
      }
    }
    body.append("\">Temporary Redirect</a>.\n\n");
  }
  std::string field("Location: ");
  field.append(location).append("\r\n");
  page.more_fields = field;
  write_page(out, style, page, sdk::Buffer::from(std::move(body)));
}

void write_refusal(Output& out, int status, std::string_view reason) {
  std::string line = std::to_string(status);
  line.append(" ").append(http_status_text(status));
  if (!reason.empty()) line.append(": ").append(reason);
  std::string& text = out.text();
  text.append("HTTP/1.1 ").append(line).append("\r\n");
  text.append("Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n");
  text.append(line);
}

void write_page(Output& out, const ReplyStyle& style, const Page& page, sdk::Buffer body) {
  std::string fields;
  if (!page.allow.empty()) fields.append("Allow: ").append(one_line(page.allow)).append("\r\n");
  if (!page.content_type.empty()) {
    fields.append("Content-Type: ").append(one_line(page.content_type)).append("\r\n");
  }
  fields.append(page.more_fields);
  if (page.content_type == "text/plain; charset=utf-8") {
    fields.append("X-Content-Type-Options: nosniff\r\n");
  }
  const bool no_body = page.status == 204 || page.status == 304;
  write_head(out.text(), style,
             {page.status, fields, no_body ? BodyKind::kNone : BodyKind::kLength, body.size()});
  if (!style.without_body && !no_body) out.append(std::move(body));
}

}  // namespace mortise::transport_http
