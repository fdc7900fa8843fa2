#include "plugins/transport_grpc/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

namespace mortise::transport_grpc {
namespace {

constexpr int kWindowBits = 15;
constexpr int kOnlyGzip = 16;
constexpr uint32_t kFirstBytes = 512;
constexpr size_t kTrailerBytes = 4;

class Inflater {
 public:
  explicit Inflater(std::string_view packed) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    stream_.avail_in = static_cast<uInt>(packed.size());
    usable_ = inflateInit2(&stream_, kWindowBits + kOnlyGzip) == Z_OK;
  }
  ~Inflater() {
    if (usable_) inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  bool usable() const { return usable_; }
  bool at_end() const { return stream_.avail_in == 0; }
  bool begin_next() { return inflateReset(&stream_) == Z_OK; }
  // Zlib's result. Adds what it unpacks to `out`, up to `capacity`.
  int run(Unpacked& out, uint32_t capacity) {
    stream_.next_out = out.data + out.size;
    stream_.avail_out = capacity - out.size;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    out.size = capacity - stream_.avail_out;
    return result;
  }

 private:
  z_stream stream_{};
  bool usable_ = false;
};

// The size that the last bytes give. Only a hint: they are the client's.
uint32_t stated_size(std::string_view packed) {
  if (packed.size() < kTrailerBytes) return 0;
  uint32_t size = 0;
  for (size_t i = 1; i <= kTrailerBytes; ++i) {
    size = size << 8 | static_cast<uint8_t>(packed[packed.size() - i]);
  }
  return size;
}

bool set_capacity(Unpacked& out, uint32_t capacity) {
  auto* const data = static_cast<uint8_t*>(std::realloc(out.data, capacity));
  if (data == nullptr) return false;
  out.data = data;
  return true;
}

}  // namespace

Unpacked::~Unpacked() { std::free(data); }

UnpackResult unpack_gzip(std::string_view packed, uint64_t max, Unpacked& out) {
  constexpr uint64_t kMost = std::numeric_limits<uint32_t>::max();
  // One byte beyond the limit tells that there are more.
  const auto most = static_cast<uint32_t>(std::min(max, kMost - 1) + 1);
  Inflater inflater(packed);
  if (!inflater.usable()) return UnpackResult::kNoMemory;
  // With a byte to spare the end shows without room for more.
  uint64_t capacity = uint64_t{std::max(stated_size(packed), kFirstBytes)} + 1;
  for (;;) {
    capacity = std::min<uint64_t>(capacity, most);
    if (!set_capacity(out, static_cast<uint32_t>(capacity))) return UnpackResult::kNoMemory;
    int result = Z_OK;
    while (out.size < capacity && result == Z_OK) {
      result = inflater.run(out, static_cast<uint32_t>(capacity));
      // What follows is another part of the same, as gzip has it.
      if (result != Z_STREAM_END || inflater.at_end()) continue;
      result = inflater.begin_next() ? Z_OK : Z_DATA_ERROR;
    }
    if (out.size == most) return UnpackResult::kTooLarge;
    if (result == Z_STREAM_END) return UnpackResult::kDone;
    if (result == Z_MEM_ERROR) return UnpackResult::kNoMemory;
    if (out.size < capacity) return UnpackResult::kBroken;
    capacity *= 2;
  }
}

}  // namespace mortise::transport_grpc
