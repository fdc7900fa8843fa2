// Where the bytes of a bbolt file come from: a file, or memory (a map of a file, or a test's).
//
// Any thread; what is viewed does not change while it is read. Whoever may be cut short from
// outside should be a FileSource: a memory map ends the process then.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "host/base/status.h"

namespace mortise::bbolt {

class Source {
 public:
  virtual ~Source() = default;
  virtual uint64_t size() const = 0;
  // The `bytes` from `offset` on, which lie within the source: in place, or copied to *copy. The
  // view lives as long as both.
  virtual Result<std::string_view> view(uint64_t offset, size_t bytes, std::string* copy) const = 0;
};

class MemorySource : public Source {
 public:
  // `bytes` outlive the source.
  explicit MemorySource(std::string_view bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  Result<std::string_view> view(uint64_t offset, size_t bytes, std::string* copy) const override;

 private:
  std::string_view bytes_;
};

class FileSource : public Source {
 public:
  static Result<std::unique_ptr<FileSource>> open(const std::string& path);
  ~FileSource() override;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;
  uint64_t size() const override { return size_; }
  Result<std::string_view> view(uint64_t offset, size_t bytes, std::string* copy) const override;

 private:
  FileSource(std::string path, int fd, uint64_t size)
      : path_(std::move(path)), fd_(fd), size_(size) {}
  const std::string path_;
  const int fd_;
  const uint64_t size_;
};

}  // namespace mortise::bbolt
