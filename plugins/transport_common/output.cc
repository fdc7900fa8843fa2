#include "plugins/transport_common/output.h"

#include <algorithm>
#include <utility>

#include "plugins/transport_common/loop.h"

namespace mortise::transport_common {
namespace {

constexpr size_t kCopyBytesMax = 16 << 10;
constexpr size_t kPieces = 64;
// A buffer that grew beyond this is not kept.
constexpr size_t kSpareBytesMax = 256 << 10;

iovec piece(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

}  // namespace

std::string& Output::text() {
  if (text_.capacity() < spare_.text.capacity() && text_.empty()) text_.swap(spare_.text);
  return text_;
}

void Output::append(sdk::Buffer body) {
  if (body.size() <= kCopyBytesMax) {
    text().append(body.view());
    return;
  }
  const std::string_view all = body.view();
  append(std::make_shared<const sdk::Buffer>(std::move(body)), all);
}

void Output::append(std::shared_ptr<const sdk::Buffer> body, std::string_view part) {
  end_text();
  segments_bytes_ += part.size();
  segments_.push_back({{}, std::move(body), part});
}

// What is appended next goes behind the text that there is.
void Output::end_text() {
  if (text_.size() == text_sent_) return;
  text_.erase(0, std::exchange(text_sent_, 0));
  segments_bytes_ += text_.size();
  segments_.push_back({std::exchange(text_, {}), {}, {}});
}

size_t Output::collect(iovec* pieces) const {
  size_t count = 0;
  for (const Segment& segment : segments_) {
    if (count == kPieces) return count;
    std::string_view bytes = segment.view();
    if (count == 0) bytes.remove_prefix(first_sent_);
    pieces[count++] = piece(bytes);
  }
  if (count < kPieces && text_.size() > text_sent_) {
    pieces[count++] = piece(std::string_view(text_).substr(text_sent_));
  }
  return count;
}

void Output::drop(size_t bytes) {
  size_t gone = 0;
  while (gone < segments_.size() && bytes > 0) {
    const size_t left = segments_[gone].view().size() - first_sent_;
    const size_t now = std::min(left, bytes);
    bytes -= now;
    segments_bytes_ -= now;
    first_sent_ += now;
    if (now < left) break;
    first_sent_ = 0;
    ++gone;
  }
  segments_.erase(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(gone));
  text_sent_ += bytes;
}

void Output::give_back() {
  text_.clear();
  text_sent_ = 0;
  if (text_.capacity() > spare_.text.capacity() && text_.capacity() <= kSpareBytesMax) {
    text_.swap(spare_.text);
  }
  std::string().swap(text_);
  std::vector<Segment>().swap(segments_);
}

Output::Result Output::flush(int fd) {
  while (!empty()) {
    iovec pieces[kPieces];
    const size_t count = collect(pieces);
    size_t size = 0;
    for (size_t i = 0; i < count; ++i) size += pieces[i].iov_len;
    const ssize_t sent = send_pieces(fd, pieces, count);
    if (sent < 0) return Result::kBroken;
    drop(static_cast<size_t>(sent));
    if (static_cast<size_t>(sent) < size) return Result::kBlocked;
  }
  give_back();
  return Result::kDone;
}

}  // namespace mortise::transport_common
