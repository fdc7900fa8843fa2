// Words for what is wrong with a request: those of etcd's gateway, which are Go's.
#pragma once

#include <string>
#include <string_view>

namespace mortise::json {

// What RapidJSON can tell of broken syntax.
enum class SyntaxError {
  kValue,  // Something else where a value should be, or within true, false, null or a number.
  kObjectKey,
  kAfterObjectKey,
  kAfterObjectValue,
  kAfterArrayElement,
  kString,  // The offset is that of a backslash or of a character that may not stand in strings.
  kHexEscape,
  kSurrogate,
  kFraction,
  kExponent,
  kNumberTooLarge,
  kDepth,
};

// `offset` is where reading stopped.
std::string syntax_error(SyntaxError error, std::string_view json, size_t offset);
// The string around `offset` is no UTF-8, or has half of a pair of surrogates.
std::string string_error(std::string_view json, size_t offset, std::string_view what);
// Where the string begins that `offset` is in.
size_t string_begin(std::string_view json, size_t offset);
// "(line 1:8)": counted in characters from 1.
std::string position(std::string_view json, size_t offset);
// The token that begins at `offset`, as it stands there; cut if it is long.
std::string raw_token(std::string_view json, size_t offset);

}  // namespace mortise::json
