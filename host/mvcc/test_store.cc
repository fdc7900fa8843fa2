#include "host/mvcc/test_store.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "host/loader/loader.h"

namespace mortise::testing {
namespace {

const mortise_backend_v1* backend_named(const std::string& name) {
  const char* build = std::getenv("MORTISE_BUILD_DIR");
  MORTISE_CHECK(build != nullptr, "MORTISE_BUILD_DIR is not set");
  auto plugin = loader::load(name, {std::string(build) + "/plugins"}, "backend_");
  MORTISE_CHECK(plugin.ok(), plugin.status().message());
  return loader::backend(**plugin).value();
}

}  // namespace

TestStore::TestStore(const std::string& backend, Wrap wrap) : table_(backend_named(backend)) {
  if (wrap != nullptr) table_ = wrap(table_);
  std::string pattern = (std::filesystem::temp_directory_path() / "mortise-store-XXXXXX").string();
  MORTISE_CHECK(mkdtemp(pattern.data()) != nullptr, "no temporary directory");
  directory_ = pattern;
  open();
}

TestStore::~TestStore() {
  store_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void TestStore::open() {
  store_ = store::Store::open(table_, host_.get(), directory_, "{}").value();
}

void TestStore::reopen() {
  auto synced = store_->sync();
  MORTISE_CHECK(synced.ok(), synced.status().message());
  crash();
}

void TestStore::crash() {
  store_.reset();
  open();
}

Rows TestStore::rows(store::Keyspace keyspace) const {
  store::Reader reader = store_->reader().value();
  store::Cursor cursor = reader.cursor(keyspace).value();
  Rows out;
  Status status = cursor.seek({}, {});
  MORTISE_CHECK(status.ok(), status.message());
  std::string_view key, value;
  while (cursor.next(&key, &value)) out.emplace(key, value);
  MORTISE_CHECK(cursor.status().ok(), cursor.status().message());
  return out;
}

std::string escape(std::string_view bytes) {
  std::string out;
  for (char c : bytes) {
    auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7f && c != '\\' && c != '"' && c != '=') {
      out.push_back(c);
      continue;
    }
    char hex[8];
    std::snprintf(hex, sizeof hex, "\\x%02x", byte);
    out += hex;
  }
  return out;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) != "\\x" || i + 4 > text.size()) {
      out.push_back(text[i]);
      continue;
    }
    out.push_back(static_cast<char>(std::stoi(std::string(text.substr(i + 2, 2)), nullptr, 16)));
    i += 3;
  }
  return out;
}

}  // namespace mortise::testing
