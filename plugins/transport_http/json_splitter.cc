#include "plugins/transport_http/json_splitter.h"

namespace mortise::transport_http {
namespace {

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

}  // namespace

void JsonSplitter::append(std::string_view text) {
  if (begin_ > 0) {
    text_.erase(0, begin_);
    scanned_ -= begin_;
    begin_ = 0;
  }
  text_.append(text);
}

JsonSplitter::Result JsonSplitter::next(std::string_view& out) {
  if (depth_ == 0) {
    while (begin_ < text_.size() && is_space(text_[begin_])) ++begin_;
    scanned_ = begin_;
    if (begin_ == text_.size()) {
      // What was taken is not kept for a client that says nothing more.
      std::string().swap(text_);
      begin_ = scanned_ = 0;
      return Result::kMore;
    }
    if (text_[begin_] != '{') return Result::kBad;
  }
  while (scanned_ < text_.size()) {
    const char c = text_[scanned_++];
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if ((c == '}' || c == ']') && --depth_ == 0) {
      out = std::string_view(text_).substr(begin_, scanned_ - begin_);
      begin_ = scanned_;
      return Result::kObject;
    }
  }
  return Result::kMore;
}

bool JsonSplitter::has_rest() const {
  for (size_t i = begin_; i < text_.size(); ++i) {
    if (!is_space(text_[i])) return true;
  }
  return false;
}

std::string JsonSplitter::error() const {
  const char c = begin_ < text_.size() ? text_[begin_] : ' ';
  const bool plain = c >= ' ' && c <= '~';
  std::string text = "invalid character '";
  text.push_back(plain ? c : '?');
  text.append("' looking for beginning of value");
  return text;
}

}  // namespace mortise::transport_http
