// A backend as the checks use it: the C table behind C++ values. Every result is copied out at
// once, so that a check compares what the plugin gave and not what its memory became later.
//
// Threads: as the table's roles say. Handles close themselves, cursors before readers before stores
// if they are declared in that order.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mortise/abi/backend.h"

namespace mortise::conformance {

struct Outcome {
  mortise_status status = MORTISE_OK;
  std::string message;
  bool ok() const { return status == MORTISE_OK; }
};

struct Op {
  mortise_op_kind kind;
  uint32_t keyspace;
  std::string key;
  std::string value;
};
inline Op put(uint32_t keyspace, std::string key, std::string value) {
  return {MORTISE_OP_PUT, keyspace, std::move(key), std::move(value)};
}
inline Op del(uint32_t keyspace, std::string key) {
  return {MORTISE_OP_DELETE, keyspace, std::move(key), ""};
}
inline Op del_range(uint32_t keyspace, std::string from, std::string to) {
  return {MORTISE_OP_DELETE_RANGE, keyspace, std::move(from), std::move(to)};
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

// What the store should hold: the same operations on std::map.
struct Model {
  std::array<std::map<std::string, std::string>, MORTISE_KEYSPACE_COUNT_MAX> maps;
  void apply(const std::vector<Op>& ops);
  // The pairs of [lower, upper), as a cursor would hand them out.
  Pairs scan(uint32_t keyspace, const std::string& lower, const std::string& upper,
             uint32_t flags) const;
  bool operator==(const Model&) const = default;
};

class Cursor {
 public:
  Cursor() = default;
  Cursor(const mortise_backend_v1* table, mortise_cursor* handle)
      : table_(table), handle_(handle) {}
  Cursor(Cursor&& other) noexcept
      : table_(other.table_), handle_(std::exchange(other.handle_, nullptr)) {}
  Cursor& operator=(Cursor&& other) noexcept;
  ~Cursor() { close(); }
  Outcome seek(std::string_view lower, std::string_view upper);
  Outcome next(std::string& key, std::string& value);
  // As next(), but without a copy: what the plugin handed out, for as long as it promises.
  Outcome next_spans(std::string_view& key, std::string_view& value);
  void close();

 private:
  const mortise_backend_v1* table_ = nullptr;
  mortise_cursor* handle_ = nullptr;
};

class Reader {
 public:
  Reader() = default;
  Reader(const mortise_backend_v1* table, mortise_reader* handle)
      : table_(table), handle_(handle) {}
  Reader(Reader&& other) noexcept
      : table_(other.table_), handle_(std::exchange(other.handle_, nullptr)) {}
  Reader& operator=(Reader&& other) noexcept;
  ~Reader() { close(); }
  Outcome get(uint32_t keyspace, std::string_view key, std::string& value) const;
  Outcome get_span(uint32_t keyspace, std::string_view key, std::string_view& value) const;
  Outcome cursor(uint32_t keyspace, uint32_t flags, Cursor& out) const;
  Outcome scan(uint32_t keyspace, std::string_view lower, std::string_view upper, uint32_t flags,
               Pairs& out) const;
  // Everything in every keyspace.
  Outcome read_all(Model& out) const;
  void close();
  bool is_open() const { return handle_ != nullptr; }

 private:
  const mortise_backend_v1* table_ = nullptr;
  mortise_reader* handle_ = nullptr;
};

class Store {
 public:
  Store() = default;
  Store(Store&& other) noexcept
      : table_(other.table_), handle_(std::exchange(other.handle_, nullptr)) {}
  Store& operator=(Store&& other) noexcept;
  ~Store() { close(); }

  static Outcome open(const mortise_backend_v1* table, const mortise_host* host,
                      const std::string& path, const std::string& config, Store& out);
  Outcome commit(const std::vector<Op>& ops, uint64_t index, bool sync = false, uint64_t term = 1);
  Outcome sync(uint64_t& index);
  Outcome applied(uint64_t& index, uint64_t& term);
  Outcome reader(Reader& out);
  Outcome size(mortise_store_size& out);
  Outcome reclaim();
  Outcome checkpoint(const std::string& path);
  // Hands out `content`, and then the status `end`, which is E_NOT_FOUND unless a failure is
  // wanted.
  Outcome replace(const Model& content, uint64_t index, uint64_t term,
                  mortise_status end = MORTISE_E_NOT_FOUND);
  void close();

 private:
  const mortise_backend_v1* table_ = nullptr;
  mortise_backend* handle_ = nullptr;
};

}  // namespace mortise::conformance
