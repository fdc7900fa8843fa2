// Cuts a text of JSON objects, one after the other, into its objects. It looks for the ends only;
// what is between them is judged by who reads the object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mortise::transport_http {

class JsonSplitter {
 public:
  enum class Result : uint8_t { kObject, kMore, kBad };

  void append(std::string_view text);
  // On kObject `out` is the next one, until append() or next(). After kBad it stays at that.
  Result next(std::string_view& out);
  // Is there something that is not a whole object?
  bool has_rest() const;
  size_t size() const { return text_.size() - begin_; }
  // Of kBad.
  std::string error() const;

 private:
  std::string text_;
  size_t begin_ = 0;    // Of the object.
  size_t scanned_ = 0;  // Up to here.
  size_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace mortise::transport_http
