#include "plugins/auth_rbac/jwt.h"

#include <sys/stat.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "plugins/auth_rbac/base64.h"
#include "plugins/auth_rbac/errors.h"

namespace mortise::auth_rbac {
namespace {

using nlohmann::json;

constexpr std::chrono::nanoseconds kLookInterval = std::chrono::seconds(1);
constexpr std::chrono::nanoseconds kTtlDefault = std::chrono::minutes(5);

int64_t monotonic_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

// What tells one content of a file from the next without reading it.
std::string stamp_of(const std::string& file) {
  struct stat s {};
  if (file.empty() || stat(file.c_str(), &s) != 0) return "-";
  return std::to_string(s.st_ino) + "," + std::to_string(s.st_size) + "," +
         std::to_string(s.st_mtim.tv_sec) + "." + std::to_string(s.st_mtim.tv_nsec) + "," +
         std::to_string(s.st_ctim.tv_sec) + "." + std::to_string(s.st_ctim.tv_nsec);
}

bool read_file(const std::string& name, Secret& out) {
  if (name.empty()) return true;
  std::ifstream in(name, std::ios::binary);
  char chunk[4096];
  size_t total = 0;
  while (in && total <= kKeyFileBytesMax) {
    in.read(chunk, sizeof(chunk));
    const auto got = static_cast<size_t>(in.gcount());
    out.append(std::string_view(chunk, got));
    total += got;
  }
  OPENSSL_cleanse(chunk, sizeof(chunk));
  return in.eof() && total <= kKeyFileBytesMax;
}

json parse_object(std::string_view part) {
  std::string text;
  if (!base64url_decode(part, text)) return json();
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  return parsed.is_object() ? parsed : json();
}

// Absent is fine; anything but a number is not.
bool read_time(const json& claims, const char* name, double otherwise, double& out) {
  out = otherwise;
  const auto it = claims.find(name);
  if (it == claims.end()) return true;
  if (!it->is_number()) return false;
  out = it->get<double>();
  return std::isfinite(out);
}

bool in_time(const json& claims, int64_t now) {
  double ends = 0, begins = 0;
  if (!read_time(claims, "exp", static_cast<double>(INT64_MAX), ends)) return false;
  if (!read_time(claims, "nbf", 0, begins)) return false;
  const auto at = static_cast<double>(now);
  return at < ends && begins <= at;
}

bool read_claims(const json& claims, std::string& user, uint64_t& auth_revision) {
  const auto name = claims.find("username");
  const auto revision = claims.find("revision");
  if (name == claims.end() || !name->is_string()) return false;
  if (revision == claims.end() || !revision->is_number()) return false;
  user = name->get<std::string>();
  const auto number = revision->get<double>();
  if (!(number >= 0) || number >= 9.2e18) return false;
  auth_revision =
      revision->is_number_unsigned() ? revision->get<uint64_t>() : static_cast<uint64_t>(number);
  return true;
}

}  // namespace

int64_t wall_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Jwt::Jwt(sdk::Host host, const JwtAlgorithm& algorithm, std::string public_file,
         std::string private_file, std::chrono::nanoseconds ttl, WallClock clock)
    : host_(host),
      algorithm_(algorithm),
      public_file_(std::move(public_file)),
      private_file_(std::move(private_file)),
      ttl_(ttl),
      clock_(std::move(clock)) {}

sdk::Status Jwt::create(sdk::Host host, const TokenOptions& options, std::unique_ptr<Jwt>& out,
                        WallClock clock) {
  const auto option = [&](std::string_view name) {
    const auto it = options.of_kind.find(name);
    return it == options.of_kind.end() ? std::string() : it->second;
  };
  const auto bad = [&](const std::string& why) {
    host.log(MORTISE_LOG_ERROR, "problem loading JWT options", {{"error", why}});
    return invalid_options();
  };
  std::chrono::nanoseconds ttl = kTtlDefault;
  if (!option("ttl").empty() && !parse_duration(option("ttl"), ttl)) {
    return bad("the ttl is not a duration");
  }
  const std::string method = option("sign-method");
  const JwtAlgorithm* algorithm = find_algorithm(method);
  if (algorithm == nullptr) {
    return method == "none" ? sdk::invalid("unsupported signing method: none")
                            : bad("auth: invalid auth signature method");
  }
  for (const auto& [name, value] : options.of_kind) {
    if (name != "ttl" && name != "sign-method" && name != "pub-key" && name != "priv-key") {
      host.log(MORTISE_LOG_WARN, "unknown JWT options", {{"keys", name}});
    }
  }
  std::unique_ptr<Jwt> made(
      new Jwt(host, *algorithm, option("pub-key"), option("priv-key"), ttl, std::move(clock)));
  const sdk::Status status = made->read_keys(made->key_, made->stamp_);
  if (status.code == MORTISE_E_IO) return bad(status.message);
  MORTISE_SDK_RETURN_IF_ERROR(status);
  out = std::move(made);
  return {};
}

sdk::Status Jwt::read_keys(std::shared_ptr<const JwtKey>& out, std::string& stamp) const {
  // Before the content: a change in between is seen the next time.
  stamp = stamp_of(public_file_) + " " + stamp_of(private_file_);
  Secret open, secret;
  for (const auto& [file, to] : {std::pair{&public_file_, &open}, {&private_file_, &secret}}) {
    if (!read_file(*file, *to)) return sdk::Status(MORTISE_E_IO, "cannot read " + *file);
  }
  return JwtKey::make(algorithm_, open.view(), secret.view(), out);
}

void Jwt::reload() {
  const std::string stamp = stamp_of(public_file_) + " " + stamp_of(private_file_);
  const std::lock_guard lock(mutex_);
  if (stamp == stamp_) return;
  std::shared_ptr<const JwtKey> key;
  const sdk::Status status = read_keys(key, stamp_);
  if (status.ok()) {
    key_ = std::move(key);
    host_.log(MORTISE_LOG_INFO, "loaded changed JWT keys");
  } else {
    host_.log(MORTISE_LOG_WARN, "changed JWT keys are of no use, the old ones stay",
              {{"error", status.message}});
  }
}

void Jwt::reload_now_and_then() {
  int64_t due = next_look_ns_;
  const int64_t now = monotonic_ns();
  if (now >= due && next_look_ns_.compare_exchange_strong(due, now + kLookInterval.count())) {
    reload();
  }
}

std::shared_ptr<const JwtKey> Jwt::key() {
  reload_now_and_then();
  const std::lock_guard lock(mutex_);
  return key_;
}

bool Jwt::signing_is_slow() const {
  return algorithm_.family == KeyFamily::kRsa || algorithm_.family == KeyFamily::kRsaPss ||
         algorithm_.curve_bits > 256;
}

sdk::RpcStatus Jwt::sign(std::string_view user, uint64_t auth_revision, std::string& token) {
  const std::shared_ptr<const JwtKey> key = this->key();
  if (!key->can_sign()) return refuse(kVerifyOnly);
  const json header = {{"alg", algorithm_.name}, {"typ", "JWT"}};
  const int64_t ttl_s = std::chrono::floor<std::chrono::seconds>(ttl_).count();
  const json claims = {{"username", user}, {"revision", auth_revision}, {"exp", clock_() + ttl_s}};
  const auto text = [](const json& object) {
    return base64url_encode(object.dump(-1, ' ', false, json::error_handler_t::replace));
  };
  std::string made = text(header) + "." + text(claims);
  const std::string signature = key->sign(made);
  if (signature.empty()) return sdk::RpcStatus{kInternal, "auth: cannot sign the token"};
  token = std::move(made) + "." + base64url_encode(signature);
  return granted();
}

bool Jwt::verify(std::string_view token, std::string& user, uint64_t& auth_revision) {
  if (token.size() > kJwtBytesMax) return false;
  const size_t first = token.find('.');
  if (first == std::string_view::npos) return false;
  const size_t second = token.find('.', first + 1);
  if (second == std::string_view::npos) return false;
  std::string signature;
  // A third dot is in the signature then, where it is no letter of base64.
  if (!base64url_decode(token.substr(second + 1), signature)) return false;
  const json header = parse_object(token.substr(0, first));
  const auto algorithm = header.find("alg");
  if (algorithm == header.end() || *algorithm != algorithm_.name) return false;
  if (header.contains("crit")) return false;
  if (!key()->verify(token.substr(0, second), signature)) return false;
  const json claims = parse_object(token.substr(first + 1, second - first - 1));
  return claims.is_object() && in_time(claims, clock_()) &&
         read_claims(claims, user, auth_revision);
}

}  // namespace mortise::auth_rbac
