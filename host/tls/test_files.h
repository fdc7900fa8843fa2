// Certificates of a test in files, and options that name them. Test support.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "host/config/tls_options.h"
#include "host/tls/test_certificates.h"

namespace mortise::tls {

class TestFiles {
 public:
  TestFiles() {
    std::string pattern = std::filesystem::temp_directory_path() / "mortise-tls-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~TestFiles() { std::filesystem::remove_all(folder_); }
  TestFiles(const TestFiles&) = delete;
  TestFiles& operator=(const TestFiles&) = delete;

  // The file's path. Replaced as tools do it, by another file.
  std::string write(const std::string& name, const std::string& bytes) const {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path + ".new", std::ios::binary) << bytes;
    std::filesystem::rename(path + ".new", path);
    return path;
  }
  void write(const config::TlsOptions& options, const Issued& issued) const {
    write(std::filesystem::path(options.cert_file).filename(), issued.certificate);
    write(std::filesystem::path(options.key_file).filename(), issued.key);
  }
  config::TlsOptions options(const std::string& name, const Issued& issued) const {
    config::TlsOptions out;
    out.cert_file = write(name + ".crt", issued.certificate);
    out.key_file = write(name + ".key", issued.key);
    return out;
  }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

}  // namespace mortise::tls
