#include "host/discovery/join.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <source_location>

#include "host/config/config.h"
#include "host/config/go_syntax.h"

namespace mortise::discovery {
namespace {

constexpr uint32_t kBackoffsMax = 8;  // 2^8 s, then no longer.
// Between two looks at who has come. etcd watches the keys instead; here a request is all that a
// connection is needed for.
constexpr std::chrono::milliseconds kLookPeriod{500};

// The members that have registered, the first to come in front.
class Members {
 public:
  explicit Members(std::string prefix) : prefix_(std::move(prefix)) {}

  // Empty, or why the entry is none of a member.
  std::string_view add(const Entry& entry) {
    if (!entry.key.starts_with(prefix_)) return "invalid peer registry key";
    if (entry.value.find('=') == std::string::npos) {
      return "invalid peer info returned from discovery service";
    }
    if (contains(entry.key)) return "found duplicate peer from discovery service";
    entries_.push_back(entry);
    std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
      return a.create_revision < b.create_revision;
    });
    return {};
  }
  bool contains(std::string_view key) const { return place(key) < entries_.size(); }
  size_t place(std::string_view key) const {
    size_t at = 0;
    while (at < entries_.size() && entries_[at].key != key) ++at;
    return at;
  }
  size_t size() const { return entries_.size(); }
  std::string initial_cluster(size_t size) const {
    std::vector<std::string> members;
    for (const Entry& entry : entries_) {
      if (members.size() < size) members.push_back(entry.value);
    }
    return config::join(members, ",");
  }

 private:
  std::string prefix_;
  std::vector<Entry> entries_;
};

std::string trimmed(const std::string& text) { return std::string(config::trim(text)); }

// As Go joins paths: without "//", "." and "..".
std::string registry_path(const std::string& token) {
  std::string path = std::filesystem::path("/_etcd/registry/" + token).lexically_normal();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

class Joiner {
 public:
  Joiner(Registry* registry, const JoinOptions& options)
      : registry_(registry),
        options_(options),
        size_key_(registry_path(options.token) + "/_config/size"),
        prefix_(registry_path(options.token) + "/members"),
        own_key_(prefix_ + "/" + options.member_id),
        members_(prefix_) {}

  Result<std::string> run() {
    MORTISE_RETURN_IF_ERROR(check());
    register_self();
    MORTISE_RETURN_IF_ERROR(check());
    wait_for_peers();
    return initial_cluster();
  }

 private:
  void log(peer::LogLevel level, std::string_view message, peer::LogFields fields,
           std::source_location where = std::source_location::current()) const {
    fields.push_back({"discovery-token", options_.token});
    fields.push_back({"discovery-endpoints", config::join(options_.endpoints, ",")});
    options_.log(level, message, fields, where);
  }

  void back_off(const std::string& step) {
    failures_ = std::min(failures_ + 1, kBackoffsMax);
    const std::chrono::seconds pause(uint64_t{1} << failures_);
    log(peer::LogLevel::kWarn, "retry connecting to discovery service",
        {{"reason", step}, {"backoff", std::chrono::nanoseconds(pause)}});
    options_.sleep(pause);
  }

  // Does until it succeeds; a failure is logged as `message`.
  template <typename Action>
  auto insist(const std::string& step, std::string_view message, Action action) {
    for (;;) {
      auto result = action();
      if (result.ok()) {
        failures_ = 0;
        return result;
      }
      log(peer::LogLevel::kWarn, message, {{"error", error_of(result)}});
      back_off(step);
    }
  }
  static std::string error_of(const Status& status) { return status.message(); }
  template <typename T>
  static std::string error_of(const Result<T>& result) {
    return result.status().message();
  }

  Status read_size() {
    auto found = insist("cluster status check", "failed to get cluster size from discovery service",
                        [&] { return registry_->get(size_key_, /*is_prefix=*/false); });
    if (found->empty()) return invalid("discovery: size key not found");
    std::string_view text = found->front().value;
    if (text.starts_with('+')) text.remove_prefix(1);
    int64_t size = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
    if (error != std::errc() || end != text.data() + text.size() || size <= 0) {
      return invalid("discovery: size key is bad");
    }
    size_ = static_cast<size_t>(size);
    return Status();
  }

  void look() {
    auto found =
        insist("cluster status check", "failed to get cluster members from discovery service",
               [&] { return registry_->get(prefix_, /*is_prefix=*/true); });
    for (Entry& entry : *found) {
      entry.key = trimmed(entry.key);
      entry.value = trimmed(entry.value);
      if (members_.contains(entry.key)) continue;
      const std::string_view problem = members_.add(entry);
      log(problem.empty() ? peer::LogLevel::kInfo : peer::LogLevel::kWarn,
          problem.empty() ? "found peer from discovery service" : problem,
          {{"memberKey", entry.key}, {"memberInfo", entry.value}});
    }
  }

  // Is there room for this member, or is it one of the first already?
  Status check() {
    MORTISE_RETURN_IF_ERROR(read_size());
    members_ = Members(prefix_);
    look();
    const size_t place = members_.place(own_key_);
    if (place >= size_) return invalid("discovery: cluster is full");
    return Status();
  }

  void register_self() {
    [[maybe_unused]] const Status done = insist(
        "register member itself", "failed to register members itself to the discovery service",
        [&] { return registry_->put(own_key_, options_.member); });
    log(peer::LogLevel::kInfo, "register member itself successfully",
        {{"memberKey", own_key_}, {"memberInfo", options_.member}});
  }

  void wait_for_peers() {
    const auto fields = [&] {
      return peer::LogFields{{"clusterSize", uint64_t{size_}},
                             {"found-peers", uint64_t{members_.size()}}};
    };
    if (members_.size() >= size_) return;
    log(peer::LogLevel::kInfo, "waiting for peers from discovery service", fields());
    while (members_.size() < size_) {
      options_.sleep(kLookPeriod);
      look();
    }
    log(peer::LogLevel::kInfo, "found all needed peers from discovery service", fields());
  }

  Result<std::string> initial_cluster() const {
    const std::string text = members_.initial_cluster(size_);
    if (!config::initial_members(text).ok()) return invalid("discovery: invalid peer URL");
    return text;
  }

  Registry* const registry_;
  const JoinOptions& options_;
  const std::string size_key_, prefix_, own_key_;
  Members members_;
  size_t size_ = 0;
  uint32_t failures_ = 0;
};

}  // namespace

Result<std::string> join(Registry* registry, const JoinOptions& options) {
  return Joiner(registry, options).run();
}

}  // namespace mortise::discovery
