#include "tests/sim/options.h"

#include <iterator>
#include <utility>

namespace mortise::sim {
namespace {

constexpr std::pair<Bug, const char*> kNames[] = {
    {Bug::kNone, "none"},
    {Bug::kAcknowledgeBeforeSync, "acknowledge-before-sync"},
    {Bug::kVoteTwice, "vote-twice"},
    {Bug::kCommitOldTerms, "commit-old-terms"},
    {Bug::kApplyBeforeDurable, "apply-before-durable"},
    {Bug::kNoPreVote, "no-pre-vote"},
    {Bug::kLoseAppliedIndex, "lose-applied-index"},
    {Bug::kReadWithoutQuorum, "read-without-quorum"},
};

}  // namespace

std::optional<Bug> bug_named(const std::string& name) {
  for (const auto& [bug, known] : kNames) {
    if (name == known) return bug;
  }
  return std::nullopt;
}

const char* name_of(Bug bug) {
  for (const auto& [known, name] : kNames) {
    if (bug == known) return name;
  }
  return "?";
}

}  // namespace mortise::sim
