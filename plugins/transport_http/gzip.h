// Pages, compressed for clients that take it. Pure.
#pragma once

#include <string>
#include <string_view>

namespace mortise::transport_http {

// False, and `out` is of no use, if the library cannot.
bool gzip(std::string_view text, std::string& out);

}  // namespace mortise::transport_http
