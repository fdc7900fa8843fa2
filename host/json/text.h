// The scalars of JSON: integers, base64, strings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "host/base/byte_buffer.h"

namespace mortise::json {

// A number of JSON as an integer: "12", "-3", "1e3", "20.0", "500e-2". False if `text` is not a
// number of JSON, or not an integer, or out of the range of the type.
bool parse_signed(std::string_view text, int64_t min, int64_t max, int64_t* out);
bool parse_unsigned(std::string_view text, uint64_t max, uint64_t* out);

void append_unsigned(uint64_t value, ByteBuffer* out);
void append_signed(int64_t value, ByteBuffer* out);

// The standard alphabet or that of URLs, with padding or without, line breaks ignored. Writes fewer
// bytes than it reads, so `out` may be text.data(). False if `text` is not base64.
bool base64_decode(std::string_view text, char* out, size_t* size);
// The standard alphabet, with padding.
void append_base64(std::string_view bytes, ByteBuffer* out);

// Where the first byte is that belongs to no UTF-8 character; text.size() if there is none.
size_t find_invalid_utf8(std::string_view text);
// With quotation marks; `text` is UTF-8.
void append_quoted(std::string_view text, ByteBuffer* out);
void append_quoted(std::string_view text, std::string* out);

// At most `max` bytes of `text`, whole characters.
std::string_view cut_utf8(std::string_view text, size_t max);

}  // namespace mortise::json
