// Bytes that are wiped before their memory is given back: passwords on their way, keys.
//
// One thread at a time. Move only; a moved-from Secret is empty.
#pragma once

#include <openssl/crypto.h>

#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace mortise::auth_rbac {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text) { append(text); }
  Secret(Secret&& other) noexcept { swap(other); }
  Secret& operator=(Secret&& other) noexcept {
    Secret taken(std::move(other));
    swap(taken);
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() {
    if (bytes_ != nullptr) OPENSSL_cleanse(bytes_.get(), room_);
  }

  void append(std::string_view text) {
    if (bytes_ == nullptr || size_ + text.size() + 1 > room_) grow(size_ + text.size() + 1);
    if (!text.empty()) std::memcpy(bytes_.get() + size_, text.data(), text.size());
    size_ += text.size();
    bytes_[size_] = '\0';
  }
  bool empty() const { return size_ == 0; }
  std::string_view view() const { return std::string_view(bytes_.get(), size_); }
  const char* c_str() const { return bytes_ != nullptr ? bytes_.get() : ""; }

 private:
  void grow(size_t needed) {
    Secret larger;
    larger.room_ = needed * 2;
    larger.bytes_ = std::make_unique<char[]>(larger.room_);
    larger.size_ = size_;
    if (size_ != 0) std::memcpy(larger.bytes_.get(), bytes_.get(), size_);
    swap(larger);
  }
  void swap(Secret& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(size_, other.size_);
    std::swap(room_, other.room_);
  }

  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0;
  size_t room_ = 0;
};

}  // namespace mortise::auth_rbac
