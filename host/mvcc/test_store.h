// A store on the example memory backend in a directory of its own, for tests.
//
// The plugin is the one that the build has made: MORTISE_BUILD_DIR names the build directory.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "host/loader/host_services.h"
#include "host/store/store.h"

namespace mortise::testing {

using Rows = std::map<std::string, std::string>;

class TestStore {
 public:
  // "memory", or another backend of the build; `wrap` may put a table of its own before the
  // plugin's.
  using Wrap = const mortise_backend_v1* (*)(const mortise_backend_v1*);
  explicit TestStore(const std::string& backend = "memory", Wrap wrap = nullptr);
  ~TestStore();
  TestStore(const TestStore&) = delete;
  TestStore& operator=(const TestStore&) = delete;

  store::Store* get() { return store_.get(); }
  // Makes everything durable, closes the store and opens it again.
  void reopen();
  // Closes and opens it without that: what was committed since the last sync is lost.
  void crash();
  // All rows of one keyspace.
  Rows rows(store::Keyspace keyspace) const;

 private:
  void open();
  const mortise_backend_v1* table_;
  std::string directory_;
  loader::HostObject host_{loader::HostOptions{}};
  std::unique_ptr<store::Store> store_;
};

// Of a byte string, for messages and scenario files: printable as it is, the rest as \xHH.
std::string escape(std::string_view bytes);
// Undoes it.
std::string unescape(std::string_view text);

}  // namespace mortise::testing
