#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "host/config/go_syntax.h"
#include "host/config/validate.h"

namespace mortise::config {
namespace {

constexpr uint64_t kDefaultMegabytes = 100;
constexpr uint64_t kMegabytesMax = uint64_t{1} << 40;  // No overflow in bytes.

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

Status wrong(const std::string& key, std::string_view wanted) {
  return invalid("invalid log rotation config: " + key + " must be " + std::string(wanted));
}

Status set(const std::string& key, const nlohmann::json& value, LogRotation* rotation) {
  if (value.is_null()) return {};
  const std::string name = lower(key);
  if (name == "localtime" || name == "compress") {
    if (!value.is_boolean()) return wrong(key, "true or false");
    (name == "compress" ? rotation->compress : rotation->local_time) = value.get<bool>();
    return {};
  }
  // --log-outputs names the file.
  if (name == "filename") return {};
  if (name != "maxsize" && name != "maxage" && name != "maxbackups") {
    return invalid("invalid log rotation config: unknown key " + quote(key));
  }
  if (!value.is_number_unsigned()) return wrong(key, "a number that is not negative");
  const auto number = value.get<uint64_t>();
  if (name == "maxage") rotation->max_days = number;
  if (name == "maxbackups") rotation->max_backups = number;
  if (name == "maxsize") rotation->max_megabytes = std::min(number, kMegabytesMax);
  return {};
}

}  // namespace

Result<LogRotation> parse_log_rotation(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return invalid("improperly formatted log rotation config");
  if (!json.is_object()) return invalid("invalid log rotation config: expected an object");
  LogRotation rotation;
  for (const auto& [key, value] : json.items()) {
    MORTISE_RETURN_IF_ERROR(set(key, value, &rotation));
  }
  if (rotation.max_megabytes == 0) rotation.max_megabytes = kDefaultMegabytes;
  return rotation;
}

}  // namespace mortise::config
