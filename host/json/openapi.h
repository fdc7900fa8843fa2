// The HTTP gateway as an OpenAPI 3 document, made from the table of methods and the descriptors.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "mortise/abi/rpc.h"

namespace mortise::json {

// JSON. All paths of all methods that have one, with the schemas of what they take and answer. Made
// anew with each call, which takes milliseconds.
std::string openapi_document(std::span<const mortise_method> methods, std::string_view version);

}  // namespace mortise::json
