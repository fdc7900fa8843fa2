// The parts of a request's target. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mortise::transport_http {

// False if a '%' is not followed by two hex digits, or stands for a zero byte.
bool percent_decode(std::string_view text, std::string& out);

// The path, as sent, without "//", "/./" and "/../"; a last '/' stays. It begins with one '/'.
std::string clean_path(std::string_view path);

// As it may stand in a `Location`: nothing that ends the line, or that browsers take for a '/'.
std::string escape_location(std::string_view text);

// The decoded value of the first `name` in a query, empty if there is none; false if it is
// malformed.
bool query_value(std::string_view query, std::string_view name, std::string& out);

// "1H", "20M", "5S", "100m", "7u", "1n": at most eight digits and a unit.
bool parse_grpc_timeout(std::string_view text, uint64_t& out_ns);

}  // namespace mortise::transport_http
