// Writes heads and the bodies that this side makes itself. What a client sees stands in the order
// in which etcd sends it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mortise/sdk/bytes.h"
#include "plugins/transport_common/output.h"
#include "plugins/transport_http/routes.h"

namespace mortise::transport_http {

using transport_common::Output;

// What of a request its answer depends on.
struct ReplyStyle {
  bool http_10 = false;
  bool keep_alive = false;
  bool without_body = false;      // HEAD
  bool accepts_trailers = false;  // etcd then sends answers of methods in chunks.
  std::string cors_origin;        // Empty: no headers for it.
};

enum class BodyKind : uint8_t { kLength, kChunked, kUntilClose, kNone };

struct ReplyHead {
  int status = 200;
  std::string_view fields;  // "Name: value\r\n" ...
  BodyKind kind = BodyKind::kLength;
  uint64_t length = 0;
};

void write_head(std::string& out, const ReplyStyle& style, const ReplyHead& head);

// The answer of a method; its body is JSON.
void write_answer(Output& out, const ReplyStyle& style, sdk::Buffer body);
void write_error(Output& out, const ReplyStyle& style, mortise_rpc_code code,
                 std::string_view message);
void write_text(Output& out, const ReplyStyle& style, int status, std::string_view text);
// 307; without a body unless `has_body`.
void write_redirect(Output& out, const ReplyStyle& style, std::string_view location, bool has_body);
// To whoever does not speak HTTP well; the connection is closed.
void write_refusal(Output& out, int status, std::string_view reason);

struct Page {
  int status = 200;
  std::string_view content_type;
  std::string_view allow;
  std::string_view more_fields;  // "Name: value\r\n" ...
};
void write_page(Output& out, const ReplyStyle& style, const Page& page, sdk::Buffer body);

// {"code":5,"message":"Not Found"}
std::string error_json(mortise_rpc_code code, std::string_view message);
void append_chunk(std::string& out, std::string_view bytes);

// Of the field `Date`, line included.
std::string_view date_field();

}  // namespace mortise::transport_http
