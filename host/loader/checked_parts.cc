#include "host/loader/checked_parts.h"

namespace mortise::loader {

void Lent::bury(std::unique_ptr<uint8_t[]> copy, size_t size) {
  constexpr size_t kBuriedBytesMax = 16 << 20;
  static std::mutex mutex;
  static auto* buried = new std::deque<std::pair<std::unique_ptr<uint8_t[]>, size_t>>();
  static size_t bytes = 0;
  const std::lock_guard lock(mutex);
  buried->emplace_back(std::move(copy), size);
  bytes += size;
  while (bytes > kBuriedBytesMax || buried->size() > 4096) {
    bytes -= buried->front().second;
    buried->pop_front();
  }
}

void check_status(mortise_status status, bool may_be_not_found, const char* function) {
  switch (status) {
    case MORTISE_OK:
    case MORTISE_E_INVALID:
    case MORTISE_E_UNSUPPORTED:
    case MORTISE_E_IN_USE:
    case MORTISE_E_STOPPED:
    case MORTISE_E_IO:
    case MORTISE_E_NO_SPACE:
    case MORTISE_E_CORRUPTION:
    case MORTISE_E_NEWER_FORMAT:
    case MORTISE_E_INTERNAL: return;
    case MORTISE_E_NOT_FOUND:
      if (may_be_not_found) return;
      break;
    default: break;
  }
  MORTISE_CHECK(false,
                std::string("plugin: ") + function + " returned status " + std::to_string(status));
}

}  // namespace mortise::loader
