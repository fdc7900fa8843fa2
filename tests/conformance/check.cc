#include "tests/conformance/check.h"

#include <cstdio>
#include <filesystem>

namespace mortise::conformance {

std::string show(std::string_view bytes) {
  constexpr size_t kShown = 48;
  std::string text = "\"";
  for (size_t i = 0; i < bytes.size() && i < kShown; ++i) {
    const auto c = static_cast<unsigned char>(bytes[i]);
    char escaped[8];
    std::snprintf(escaped, sizeof(escaped), c >= 0x20 && c < 0x7F ? "%c" : "\\x%02x", c);
    text += escaped;
  }
  text += '"';
  if (bytes.size() > kShown) text += "... of " + std::to_string(bytes.size()) + " bytes";
  return text;
}

std::string status_name(mortise_status status) {
  switch (status) {
    case MORTISE_OK: return "OK";
    case MORTISE_E_NOT_FOUND: return "E_NOT_FOUND";
    case MORTISE_E_INVALID: return "E_INVALID";
    case MORTISE_E_UNSUPPORTED: return "E_UNSUPPORTED";
    case MORTISE_E_IN_USE: return "E_IN_USE";
    case MORTISE_E_STOPPED: return "E_STOPPED";
    case MORTISE_E_IO: return "E_IO";
    case MORTISE_E_NO_SPACE: return "E_NO_SPACE";
    case MORTISE_E_CORRUPTION: return "E_CORRUPTION";
    case MORTISE_E_NEWER_FORMAT: return "E_NEWER_FORMAT";
    case MORTISE_E_INTERNAL: return "E_INTERNAL";
    default: return "status " + std::to_string(status);
  }
}

std::string random_bytes(std::mt19937_64& random, size_t size) {
  std::string bytes(size, '\0');
  uint64_t bits = 0;
  for (size_t i = 0; i < size; ++i) {
    if (i % 8 == 0) bits = random();
    bytes[i] = static_cast<char>(bits >> (8 * (i % 8)));
  }
  return bytes;
}

std::string Context::fresh_directory(const std::string& name) {
  const std::string path = path_in(name);
  std::error_code ec;
  std::filesystem::remove_all(path, ec);
  std::filesystem::create_directories(path, ec);
  if (ec) fail(path + ": " + ec.message());
  return path;
}

void Context::fail(std::string text) {
  const std::lock_guard lock(mutex_);
  if (failure_.empty()) failure_ = std::move(text);
}

void Context::fail_condition(std::string_view text, const char* condition) {
  std::string line(text);
  line.append(" (not: ").append(condition).append(")");
  fail(std::move(line));
}

bool Context::failed() const {
  const std::lock_guard lock(mutex_);
  return !failure_.empty();
}

std::string Context::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

bool Context::good(const Outcome& outcome, const std::string& what) {
  if (outcome.ok()) return true;
  fail(what + ": " + status_name(outcome.status) + ": " + outcome.message);
  return false;
}

bool Context::answers(const Outcome& outcome, mortise_status wanted, const std::string& what) {
  if (outcome.status != wanted) {
    fail(what + ": wanted " + status_name(wanted) + ", found " + status_name(outcome.status) +
         (outcome.message.empty() ? "" : ": " + outcome.message));
    return false;
  }
  if (wanted != MORTISE_OK && wanted != MORTISE_E_NOT_FOUND && outcome.message.empty()) {
    fail(what + ": " + status_name(wanted) + " without a message");
    return false;
  }
  return true;
}

bool Context::equal(const Pairs& found, const Pairs& wanted, const std::string& what) {
  for (size_t i = 0; i < found.size() && i < wanted.size(); ++i) {
    if (found[i] == wanted[i]) continue;
    const bool key = found[i].first != wanted[i].first;
    fail(what + ": pair " + std::to_string(i) + (key ? ": wanted key " : ": wanted value ") +
         show(key ? wanted[i].first : wanted[i].second) + ", found " +
         show(key ? found[i].first : found[i].second));
    return false;
  }
  if (found.size() != wanted.size()) {
    fail(what + ": wanted " + std::to_string(wanted.size()) + " pairs, found " +
         std::to_string(found.size()));
    return false;
  }
  return true;
}

bool Context::equal(const Model& found, const Model& wanted, const std::string& what) {
  for (uint32_t k = 0; k < MORTISE_KEYSPACE_COUNT_MAX; ++k) {
    if (found.maps[k] == wanted.maps[k]) continue;
    const Pairs a(found.maps[k].begin(), found.maps[k].end());
    const Pairs b(wanted.maps[k].begin(), wanted.maps[k].end());
    return equal(a, b, what + ": keyspace " + std::to_string(k));
  }
  return true;
}

bool Context::holds(Store& store, const Model& wanted, const std::string& what) {
  Reader reader;
  Model found;
  return good(store.reader(reader), what + ": reader_open") &&
         good(reader.read_all(found), what + ": scan") && equal(found, wanted, what);
}

bool Context::position(Store& store, uint64_t index, uint64_t term, const std::string& what) {
  uint64_t i = 0, t = 0;
  if (!good(store.applied(i, t), what + ": applied")) return false;
  if (i == index && t == term) return true;
  fail(what + ": wanted position " + std::to_string(index) + "/" + std::to_string(term) +
       ", found " + std::to_string(i) + "/" + std::to_string(t));
  return false;
}

}  // namespace mortise::conformance
