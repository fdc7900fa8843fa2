// What the checks for diverging members work with. Shared by this folder and host/server.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mortise::integrity {

using LogValue = std::variant<std::string, int64_t>;
using LogFields = std::vector<std::pair<std::string, LogValue>>;
using LogHook =
    std::function<void(std::string_view level, std::string_view message, LogFields fields)>;

// The paths of the peer port that the checks ask.
constexpr std::string_view kHashKvPath = "/members/hashkv";
constexpr std::string_view kApplyHashPath = "/mortise/apply-hash";

// Another member, where it is reached.
struct Peer {
  uint64_t id = 0;
  std::vector<std::string> urls;
};

// The hash of a member's history at a revision, as HashKV answers it.
struct KvHash {
  uint32_t hash = 0;
  int64_t compact_revision = 0;
  int64_t revision = 0;          // That was hashed.
  int64_t current_revision = 0;  // The member's newest.
  friend bool operator==(const KvHash&, const KvHash&) = default;
};

}  // namespace mortise::integrity
