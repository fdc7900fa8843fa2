// Compares the running hashes of the members (host/apply/effect_hash.h): GET /mortise/apply-hash of
// the peer port, and who is at fault when they differ.
//
// In each round the checker asks all others for their sums at a few entries that all are expected
// to know, and compares the entries between two of them that all do know. Members that are no
// mortise (an etcd answers 404) or of another version of the hash are left out, as are those that
// do not answer. Who differs from a majority of the cluster gets the alarm; if there is none,
// nobody can say who is at fault, and the alarm is the cluster's, as etcd does it: at once if all
// members have answered, else after kUndecidedRoundsMax rounds.
//
// answer_apply_hash() is for any thread and short. ApplyHashCheck is used by one thread, which
// waits.
#pragma once

#include <optional>

#include "host/apply/effect_hash.h"
#include "host/integrity/asking.h"

namespace mortise::integrity {

constexpr std::chrono::milliseconds kApplyHashTimeLimit{1000};
constexpr size_t kSumsMax = 16;  // In one question.
constexpr int kUndecidedRoundsMax = 5;

peer::HttpResponse answer_apply_hash(const peer::HttpRequest& request, uint64_t cluster_id,
                                     const apply::EffectHash& effects);

// What a member says of itself.
struct ApplyHashAnswer {
  apply::EffectHash::Span span;
  std::map<uint64_t, uint64_t> sums;  // By index.
};

std::string apply_hash_question(const std::vector<uint64_t>& at);
// Nothing if the other side does not know the question, or means something else by it.
std::optional<ApplyHashAnswer> read_apply_hash(const Result<peer::HttpResponse>& answer);

struct ApplyHashCheckOptions {
  uint64_t local_id = 0;
  const apply::EffectHash* effects = nullptr;
  std::function<std::vector<Peer>()> peers;
  // All answers to a question, in the order of the members.
  std::function<std::vector<Result<peer::HttpResponse>>(const std::vector<Peer>&,
                                                        const std::string& path)>
      ask_all;
  std::function<bool(uint64_t member_id)> is_raised;
  // Logs the alarm CORRUPT for a member; 0 is the cluster.
  std::function<void(uint64_t member_id)> raise;
  LogHook log;
};

class ApplyHashCheck {
 public:
  explicit ApplyHashCheck(ApplyHashCheckOptions options) : options_(std::move(options)) {}

  // Members that could be compared with this one.
  size_t round();
  // Whether a member answers the question at all.
  bool knows_question(const Peer& peer);

 private:
  using Answers = std::map<uint64_t, ApplyHashAnswer>;  // By member.
  Answers collect(const std::vector<Peer>& peers);
  void choose_questions(const Answers& answers);
  void judge(const Answers& answers, uint64_t from, uint64_t to, size_t members);
  void blame(uint64_t member, const std::string& text);

  const ApplyHashCheckOptions options_;
  std::vector<uint64_t> at_;  // The next question's.
  int undecided_rounds_ = 0;
};

}  // namespace mortise::integrity
