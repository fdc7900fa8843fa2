// Base64, in the alphabet of requests ("+/", padded) and in that of JWT ("-_", bare).
#pragma once

#include <string>
#include <string_view>

namespace mortise::auth_rbac {

std::string base64_encode(std::string_view bytes);
// As Go's decoder: line breaks are skipped, padding is a must. False, and `out` is empty, if bad.
bool base64_decode(std::string_view text, std::string& out);

std::string base64url_encode(std::string_view bytes);
bool base64url_decode(std::string_view text, std::string& out);

}  // namespace mortise::auth_rbac
