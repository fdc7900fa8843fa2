#include "host/integrity/apply_hash.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "host/peer/http.h"

namespace mortise::integrity {
namespace {

using apply::EffectHash;
using Json = nlohmann::json;

constexpr std::string_view kAt = "at=";

// "at=5,9": false for anything else, or too many.
bool read_indexes(std::string_view query, std::vector<uint64_t>* out) {
  if (query.empty()) return true;
  if (!query.starts_with(kAt)) return false;
  const char* p = query.data() + kAt.size();
  const char* end = query.data() + query.size();
  while (p != end) {
    uint64_t index = 0;
    auto [next, error] = std::from_chars(p, end, index);
    if (error != std::errc() || out->size() == kSumsMax) return false;
    out->push_back(index);
    if (next != end && *next++ != ',') return false;
    p = next;
  }
  return true;
}

uint64_t mark_up(uint64_t index) {
  return (index + EffectHash::kMarkEvery - 1) / EffectHash::kMarkEvery * EffectHash::kMarkEvery;
}
uint64_t mark_down(uint64_t index) {
  return index / EffectHash::kMarkEvery * EffectHash::kMarkEvery;
}

}  // namespace

peer::HttpResponse answer_apply_hash(const peer::HttpRequest& request, uint64_t cluster_id,
                                     const EffectHash& effects) {
  if (request.method != "GET") return peer::text_response(405, "Method Not Allowed");
  std::string local_id = peer::hex_text(cluster_id);
  std::string_view remote_id = peer::header_value(request.headers, "X-Etcd-Cluster-ID");
  if (!remote_id.empty() && remote_id != local_id) {
    return peer::text_response(412, "cluster ID mismatch");
  }
  std::vector<uint64_t> at;
  if (!read_indexes(request.query, &at)) return peer::text_response(400, "malformed query");
  auto span = effects.span();
  Json json{{"version", apply::kEffectHashVersion}, {"first", span.first}, {"newest", span.newest}};
  json["sums"] = Json::array();
  for (uint64_t index : at) {
    if (auto sum = effects.sum(index)) json["sums"].push_back({index, *sum});
  }
  peer::HttpResponse response;
  response.headers = {{"X-Etcd-Cluster-ID", local_id}, {"Content-Type", "application/json"}};
  response.body = json.dump();
  return response;
}

std::string apply_hash_question(const std::vector<uint64_t>& at) {
  std::string path(kApplyHashPath);
  for (size_t i = 0; i < at.size(); ++i) {
    path += (i == 0 ? "?" + std::string(kAt) : ",") + std::to_string(at[i]);
  }
  return path;
}

std::optional<ApplyHashAnswer> read_apply_hash(const Result<peer::HttpResponse>& answer) {
  if (!answer.ok() || answer.value().status != 200) return std::nullopt;
  Json json = Json::parse(answer.value().body, nullptr, /*allow_exceptions=*/false);
  auto number = [](const Json& value, uint64_t* out) {
    if (!value.is_number_unsigned()) return false;
    *out = value.get<uint64_t>();
    return true;
  };
  if (!json.is_object() || json.value("version", Json()) != apply::kEffectHashVersion) {
    return std::nullopt;
  }
  ApplyHashAnswer out;
  if (!number(json.value("first", Json()), &out.span.first) ||
      !number(json.value("newest", Json()), &out.span.newest)) {
    return std::nullopt;
  }
  for (const Json& pair : json.value("sums", Json::array())) {
    uint64_t index = 0, sum = 0;
    if (!pair.is_array() || pair.size() != 2 || !number(pair[0], &index) ||
        !number(pair[1], &sum)) {
      return std::nullopt;
    }
    out.sums[index] = sum;
  }
  return out;
}

bool ApplyHashCheck::knows_question(const Peer& peer) {
  return read_apply_hash(options_.ask_all({peer}, apply_hash_question({}))[0]).has_value();
}

ApplyHashCheck::Answers ApplyHashCheck::collect(const std::vector<Peer>& peers) {
  Answers answers;
  auto theirs = options_.ask_all(peers, apply_hash_question(at_));
  for (size_t i = 0; i < peers.size(); ++i) {
    if (auto answer = read_apply_hash(theirs[i])) answers[peers[i].id] = std::move(*answer);
  }
  ApplyHashAnswer ours;
  ours.span = options_.effects->span();
  for (uint64_t index : at_) {
    if (auto sum = options_.effects->sum(index)) ours.sums[index] = *sum;
  }
  answers[options_.local_id] = std::move(ours);
  return answers;
}

size_t ApplyHashCheck::round() {
  std::vector<Peer> peers = options_.peers();
  if (peers.empty()) return 0;
  Answers answers = collect(peers);
  std::vector<uint64_t> common;
  for (uint64_t index : at_) {
    bool known = std::all_of(answers.begin(), answers.end(), [&](const auto& entry) {
      // One that lags, or has just begun, is compared when the next question has found its entries.
      return entry.second.sums.contains(index) || entry.second.span.newest < at_.back() ||
             entry.second.span.first > at_.front();
    });
    if (known) common.push_back(index);
  }
  size_t compared = 0;
  if (common.size() >= 2) {
    uint64_t from = common.front(), to = common.back();
    Answers comparable = answers;
    std::erase_if(comparable, [&](const auto& entry) {
      return !entry.second.sums.contains(from) || !entry.second.sums.contains(to);
    });
    compared = comparable.size() - (comparable.contains(options_.local_id) ? 1 : 0);
    judge(comparable, from, to, peers.size() + 1);
  }
  choose_questions(answers);
  return compared;
}

// The widest span of entries that all have applied, each end as it is and at a mark, since exact
// sums are kept for a short time only. A member without anything in common with the others is left
// out until it has caught up.
void ApplyHashCheck::choose_questions(const Answers& answers) {
  std::vector<EffectHash::Span> spans;
  for (const auto& [id, answer] : answers) spans.push_back(answer.span);
  std::sort(spans.begin(), spans.end(),
            [](const auto& a, const auto& b) { return a.newest < b.newest; });
  at_.clear();
  for (size_t i = 0; i + 1 < spans.size(); ++i) {
    uint64_t from = 0, to = spans[i].newest;
    for (size_t j = i; j < spans.size(); ++j) from = std::max(from, spans[j].first);
    if (from >= to) continue;
    // Marks are kept for so long, too.
    uint64_t kept = EffectHash::kMarkEvery * (EffectHash::kMarksMax / 2);
    if (spans.back().newest > kept) from = std::max(from, mark_up(spans.back().newest - kept));
    at_ = {from, mark_up(from), mark_down(to), to};
    std::erase_if(at_, [&](uint64_t index) { return index < from || index > to; });
    std::sort(at_.begin(), at_.end());
    at_.erase(std::unique(at_.begin(), at_.end()), at_.end());
    return;
  }
}

void ApplyHashCheck::judge(const Answers& answers, uint64_t from, uint64_t to, size_t members) {
  std::map<uint64_t, std::vector<uint64_t>> by_hash;
  for (const auto& [id, answer] : answers) {
    by_hash[answer.sums.at(to) - answer.sums.at(from)].push_back(id);
  }
  if (by_hash.size() <= 1) {
    undecided_rounds_ = 0;
    return;
  }
  const size_t quorum = members / 2 + 1;
  bool has_quorum =
      std::erase_if(by_hash, [&](const auto& entry) { return entry.second.size() >= quorum; }) > 0;
  std::string text = "entries " + std::to_string(from + 1) + " to " + std::to_string(to);
  if (has_quorum) {
    undecided_rounds_ = 0;
    for (const auto& [hash, ids] : by_hash) {
      for (uint64_t id : ids) blame(id, text);
    }
    return;
  }
  bool all_answered = answers.size() == members;
  if (!all_answered && ++undecided_rounds_ < kUndecidedRoundsMax) return;
  undecided_rounds_ = 0;
  blame(0, text);
}

void ApplyHashCheck::blame(uint64_t member, const std::string& text) {
  if (options_.is_raised(member)) return;
  options_.log(
      "error",
      member == 0 ? "members have applied the same entries with different effects, and no majority "
                    "agrees; the alarm is raised for the cluster"
                  : "a member has applied the same entries as the others with different effects",
      {{"local-member-id", peer::hex_text(options_.local_id)},
       {"corrupt-member-id", peer::hex_text(member)},
       {"compared", text}});
  options_.raise(member);
}

}  // namespace mortise::integrity
