#include "tests/conformance/client.h"

#include <algorithm>

namespace mortise::conformance {
namespace {

mortise_bytes bytes(std::string_view v) {
  return {reinterpret_cast<const uint8_t*>(v.data()), v.size()};
}

std::string_view view(mortise_bytes b) { return {reinterpret_cast<const char*>(b.data), b.size}; }

// Runs a call of the table with an error struct and gathers both.
template <typename Call>
Outcome run(Call call) {
  mortise_error error{};
  error.struct_size = sizeof(error);
  Outcome outcome;
  outcome.status = call(&error);
  if (!outcome.ok()) {
    error.message[MORTISE_ERROR_MESSAGE_MAX - 1] = '\0';
    outcome.message = error.message;
  }
  return outcome;
}

// OK comes with a handle, and a failure without one.
Outcome agree(Outcome outcome, const void* handle, const char* call) {
  if (outcome.ok() == (handle != nullptr)) return outcome;
  return {MORTISE_E_INTERNAL, std::string(call) + " and its handle do not agree"};
}

}  // namespace

void Model::apply(const std::vector<Op>& ops) {
  for (const Op& op : ops) {
    auto& map = maps[op.keyspace];
    if (op.kind == MORTISE_OP_PUT) {
      map[op.key] = op.value;
    } else if (op.kind == MORTISE_OP_DELETE) {
      map.erase(op.key);
    } else if (op.value.empty() || op.key < op.value) {
      map.erase(map.lower_bound(op.key), op.value.empty() ? map.end() : map.lower_bound(op.value));
    }
  }
}

Pairs Model::scan(uint32_t keyspace, const std::string& lower, const std::string& upper,
                  uint32_t flags) const {
  const auto& map = maps[keyspace];
  Pairs pairs;
  if (upper.empty() || lower < upper) {
    const auto end = upper.empty() ? map.end() : map.lower_bound(upper);
    for (auto it = map.lower_bound(lower); it != end; ++it) pairs.emplace_back(*it);
  }
  if ((flags & MORTISE_CURSOR_REVERSE) != 0) std::reverse(pairs.begin(), pairs.end());
  if ((flags & MORTISE_CURSOR_KEYS_ONLY) != 0) {
    for (auto& pair : pairs) pair.second.clear();
  }
  return pairs;
}

Cursor& Cursor::operator=(Cursor&& other) noexcept {
  if (this != &other) {
    close();
    table_ = other.table_;
    handle_ = std::exchange(other.handle_, nullptr);
  }
  return *this;
}

Outcome Cursor::seek(std::string_view lower, std::string_view upper) {
  return run([&](mortise_error* e) {
    return table_->cursor_seek(handle_, bytes(lower), bytes(upper), e);
  });
}

Outcome Cursor::next(std::string& key, std::string& value) {
  std::string_view k, v;
  Outcome outcome = next_spans(k, v);
  if (outcome.ok()) {
    key = k;
    value = v;
  }
  return outcome;
}

Outcome Cursor::next_spans(std::string_view& key, std::string_view& value) {
  mortise_bytes k{}, v{};
  Outcome outcome = run([&](mortise_error* e) { return table_->cursor_next(handle_, &k, &v, e); });
  if (outcome.ok()) {
    key = view(k);
    value = view(v);
  }
  return outcome;
}

void Cursor::close() {
  if (handle_ != nullptr) table_->cursor_close(std::exchange(handle_, nullptr));
}

Reader& Reader::operator=(Reader&& other) noexcept {
  if (this != &other) {
    close();
    table_ = other.table_;
    handle_ = std::exchange(other.handle_, nullptr);
  }
  return *this;
}

Outcome Reader::get(uint32_t keyspace, std::string_view key, std::string& value) const {
  std::string_view span;
  Outcome outcome = get_span(keyspace, key, span);
  if (outcome.ok()) value = span;
  return outcome;
}

Outcome Reader::get_span(uint32_t keyspace, std::string_view key, std::string_view& value) const {
  mortise_bytes found{};
  Outcome outcome =
      run([&](mortise_error* e) { return table_->get(handle_, keyspace, bytes(key), &found, e); });
  if (outcome.ok()) value = view(found);
  return outcome;
}

Outcome Reader::cursor(uint32_t keyspace, uint32_t flags, Cursor& out) const {
  mortise_cursor* handle = nullptr;
  Outcome outcome = run(
      [&](mortise_error* e) { return table_->cursor_open(handle_, keyspace, flags, &handle, e); });
  outcome = agree(outcome, handle, "cursor_open()");
  if (outcome.ok()) out = Cursor(table_, handle);
  return outcome;
}

Outcome Reader::scan(uint32_t keyspace, std::string_view lower, std::string_view upper,
                     uint32_t flags, Pairs& out) const {
  out.clear();
  Cursor c;
  Outcome outcome = cursor(keyspace, flags, c);
  if (outcome.ok()) outcome = c.seek(lower, upper);
  std::string key, value;
  while (outcome.ok()) {
    outcome = c.next(key, value);
    if (outcome.ok()) out.emplace_back(key, value);
  }
  if (outcome.status == MORTISE_E_NOT_FOUND) return Outcome();
  return outcome;
}

Outcome Reader::read_all(Model& out) const {
  for (uint32_t k = 0; k < MORTISE_KEYSPACE_COUNT_MAX; ++k) {
    Pairs pairs;
    Outcome outcome = scan(k, "", "", 0, pairs);
    if (!outcome.ok()) return outcome;
    out.maps[k] = std::map<std::string, std::string>(pairs.begin(), pairs.end());
    if (out.maps[k].size() != pairs.size()) return {MORTISE_E_INTERNAL, "a scan repeats a key"};
  }
  return Outcome();
}

void Reader::close() {
  if (handle_ != nullptr) table_->reader_close(std::exchange(handle_, nullptr));
}

Store& Store::operator=(Store&& other) noexcept {
  if (this != &other) {
    close();
    table_ = other.table_;
    handle_ = std::exchange(other.handle_, nullptr);
  }
  return *this;
}

Outcome Store::open(const mortise_backend_v1* table, const mortise_host* host,
                    const std::string& path, const std::string& config, Store& out) {
  out.close();
  mortise_backend* handle = nullptr;
  Outcome outcome = run([&](mortise_error* e) {
    return table->store_open(host, path.c_str(), bytes(config), &handle, e);
  });
  outcome = agree(outcome, handle, "store_open()");
  if (outcome.ok() != (handle != nullptr)) return outcome;
  out.table_ = table;
  out.handle_ = handle;
  return outcome;
}

Outcome Store::commit(const std::vector<Op>& ops, uint64_t index, bool sync, uint64_t term) {
  std::vector<mortise_write_op> list;
  list.reserve(ops.size());
  for (const Op& op : ops) list.push_back({op.kind, op.keyspace, bytes(op.key), bytes(op.value)});
  mortise_commit_request request{};
  request.struct_size = sizeof(request);
  request.sync = sync ? 1 : 0;
  request.applied_index = index;
  request.applied_term = term;
  request.ops = list.data();
  request.op_count = list.size();
  return run([&](mortise_error* e) { return table_->commit(handle_, &request, e); });
}

Outcome Store::sync(uint64_t& index) {
  return run([&](mortise_error* e) { return table_->sync(handle_, &index, e); });
}

Outcome Store::applied(uint64_t& index, uint64_t& term) {
  return run([&](mortise_error* e) { return table_->applied(handle_, &index, &term, e); });
}

Outcome Store::reader(Reader& out) {
  mortise_reader* handle = nullptr;
  Outcome outcome = run([&](mortise_error* e) { return table_->reader_open(handle_, &handle, e); });
  outcome = agree(outcome, handle, "reader_open()");
  if (outcome.ok()) out = Reader(table_, handle);
  return outcome;
}

Outcome Store::size(mortise_store_size& out) {
  out = {};
  out.struct_size = sizeof(out);
  return run([&](mortise_error* e) { return table_->size(handle_, &out, e); });
}

Outcome Store::reclaim() {
  return run([&](mortise_error* e) { return table_->reclaim(handle_, e); });
}

Outcome Store::checkpoint(const std::string& path) {
  return run([&](mortise_error* e) { return table_->checkpoint(handle_, path.c_str(), e); });
}

Outcome Store::replace(const Model& content, uint64_t index, uint64_t term, mortise_status end) {
  struct Source {
    const Model& content;
    mortise_status end;
    uint32_t keyspace = 0;
    std::map<std::string, std::string>::const_iterator at;
    std::string key, value;  // Copies that the next call overwrites, as the contract allows.
  } source{content, end, 0, content.maps[0].begin(), {}, {}};
  const auto next = [](void* context, uint32_t* keyspace, mortise_bytes* key,
                       mortise_bytes* value) -> mortise_status {
    auto& s = *static_cast<Source*>(context);
    while (s.at == s.content.maps[s.keyspace].end()) {
      if (s.keyspace + 1 == MORTISE_KEYSPACE_COUNT_MAX) return s.end;
      s.at = s.content.maps[++s.keyspace].begin();
    }
    s.key = s.at->first;
    s.value = s.at->second;
    ++s.at;
    *keyspace = s.keyspace;
    *key = bytes(s.key);
    *value = bytes(s.value);
    return MORTISE_OK;
  };
  return run(
      [&](mortise_error* e) { return table_->replace(handle_, index, term, +next, &source, e); });
}

void Store::close() {
  if (handle_ != nullptr) table_->store_close(std::exchange(handle_, nullptr));
}

}  // namespace mortise::conformance
