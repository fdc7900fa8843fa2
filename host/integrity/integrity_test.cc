#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/integrity/apply_hash.h"
#include "host/integrity/kv_checks.h"

namespace mortise::integrity {
namespace {

using apply::EffectHash;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Answer = Result<peer::HttpResponse>;

constexpr uint64_t kCluster = 0xabc;

peer::HttpRequest get(std::string body, std::string cluster = "abc") {
  peer::HttpRequest request;
  request.method = "GET";
  request.headers = {{"X-Etcd-Cluster-ID", std::move(cluster)}};
  request.body = std::move(body);
  return request;
}

TEST(HashKv, SpeaksEtcdsJson) {
  int64_t asked = -1;
  auto hash_at = [&](int64_t revision) -> Result<LocalHash> {
    asked = revision;
    return LocalHash{{}, {3'000'000'000u, -1, 7, 9}};
  };
  auto response = answer_hash_kv(get(R"({"revision":7})"), kCluster, hash_at);
  EXPECT_EQ(asked, 7);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, R"({"header":{"revision":9},"hash":3000000000,"compact_revision":-1,)"
                           R"("hash_revision":7})");
  EXPECT_EQ(peer::header_value(response.headers, "x-etcd-cluster-id"), "abc");
  PeerHash read = read_hash_kv({5, {}}, response);
  EXPECT_EQ(read.failure, PeerHash::Failure::kNone) << read.error;
  EXPECT_EQ(read.hash, (KvHash{3'000'000'000u, -1, 7, 9}));

  EXPECT_EQ(answer_hash_kv(get("{}"), kCluster, hash_at).status, 200);
  EXPECT_EQ(asked, 0);
  EXPECT_EQ(answer_hash_kv(get("{}", ""), kCluster, hash_at).status, 200);
  EXPECT_EQ(hash_kv_request(0), "{}");
  EXPECT_EQ(hash_kv_request(7), R"({"revision":7})");
}

TEST(HashKv, RefusesAsEtcdDoes) {
  auto fails = [&](const RpcStatus& rpc) {
    return [rpc](int64_t) -> Result<LocalHash> { return LocalHash{rpc, {}}; };
  };
  auto none = fails(RpcStatus());
  for (const char* body : {"", "[]", "7", R"({"revision":"7"})", R"({"revision":1.5})", "{"}) {
    auto response = answer_hash_kv(get(body), kCluster, none);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_EQ(response.body, "error unmarshalling request\n");
  }
  auto other_method = get("{}");
  other_method.method = "POST";
  EXPECT_EQ(answer_hash_kv(other_method, kCluster, none).status, 405);

  auto mismatch = answer_hash_kv(get("{}", "abd"), kCluster, none);
  EXPECT_EQ(mismatch.status, 412);
  EXPECT_EQ(mismatch.body, "cluster ID mismatch\n");
  auto compacted = answer_hash_kv(get("{}"), kCluster, fails(rpc_errors::kCompacted));
  EXPECT_EQ(compacted.status, 400);
  EXPECT_EQ(compacted.body, "mvcc: required revision has been compacted\n");
  auto future = answer_hash_kv(get("{}"), kCluster, fails(rpc_errors::kFutureRevision));
  EXPECT_EQ(future.body, "mvcc: required revision is a future revision\n");

  using Failure = PeerHash::Failure;
  EXPECT_EQ(read_hash_kv({}, mismatch).failure, Failure::kClusterMismatch);
  EXPECT_EQ(read_hash_kv({}, compacted).failure, Failure::kCompacted);
  EXPECT_EQ(read_hash_kv({}, future).failure, Failure::kFutureRevision);
  EXPECT_EQ(read_hash_kv({}, peer::text_response(404, "no")).failure, Failure::kOther);
  EXPECT_EQ(read_hash_kv({}, Status(StatusCode::kIo, "gone")).failure, Failure::kOther);
  peer::HttpResponse senseless;
  senseless.body = R"({"hash":-1})";
  EXPECT_EQ(read_hash_kv({}, senseless).failure, Failure::kOther);
}

// What the leader, member 1, sees of members 2 and 3.
class KvChecksTest : public ::testing::Test {
 protected:
  KvChecksTest() : checks_(options()) {}

  KvChecksOptions options() {
    KvChecksOptions options;
    options.local_id = 1;
    options.hash_at = [this](int64_t) -> Result<LocalHash> {
      LocalHash out{{}, local_.front()};
      if (local_.size() > 1) local_.erase(local_.begin());
      return out;
    };
    options.ask_peers = [this](int64_t revision) {
      asked_.push_back(revision);
      return peers_;
    };
    options.past_hashes = [this] { return past_; };
    options.confirm_linearizable = [] { return RpcStatus(); };
    options.is_raised = [this](uint64_t id) { return id == known_; };
    options.raise = [this](uint64_t id) { raised_.push_back(id); };
    options.log = [this](std::string_view, std::string_view message, const LogFields&) {
      lines_.emplace_back(message);
    };
    return options;
  }
  static PeerHash answer(uint64_t id, KvHash hash) {
    return {{id, {}}, PeerHash::Failure::kNone, "", hash};
  }
  static PeerHash no_answer(uint64_t id) { return {{id, {}}, PeerHash::Failure::kOther, "?", {}}; }

  std::vector<KvHash> local_{{10, 2, 7, 7}};
  std::vector<KvHash> past_;
  std::vector<PeerHash> peers_;
  std::vector<uint64_t> raised_;
  uint64_t known_ = 404;
  std::vector<int64_t> asked_;
  std::vector<std::string> lines_;
  KvChecks checks_;
};

TEST_F(KvChecksTest, AMemberStartsIfNobodySaysOtherwise) {
  peers_ = {answer(2, {10, 2, 7, 9}), no_answer(3)};
  EXPECT_TRUE(checks_.check_at_start().ok());
  EXPECT_THAT(asked_, ElementsAre(7));
  peers_ = {answer(2, {11, 3, 7, 9}), no_answer(3)};
  EXPECT_TRUE(checks_.check_at_start().ok()) << "another compaction, another hash";
  EXPECT_THAT(lines_, Contains("initial corruption checking passed; no corruption"));
  peers_ = {answer(2, {10, 2, 7, 9}), answer(3, {11, 2, 7, 7})};
  EXPECT_TRUE(checks_.check_at_start().ok()) << "two of three agree";
  peers_ = {no_answer(2), answer(3, {11, 2, 7, 7})};
  known_ = 3;
  EXPECT_TRUE(checks_.check_at_start().ok()) << "member 3 is known to differ";
  known_ = 404;
  EXPECT_EQ(checks_.check_at_start().message(), "1 found data inconsistency with peers");
}

TEST_F(KvChecksTest, TheLeaderBlamesWhoDiffers) {
  peers_ = {answer(2, {10, 2, 7, 7}), answer(3, {10, 2, 7, 7})};
  EXPECT_TRUE(checks_.check_newest().ok());
  EXPECT_THAT(raised_, IsEmpty());
  peers_[1].hash.hash = 11;
  EXPECT_TRUE(checks_.check_newest().ok());
  EXPECT_THAT(raised_, ElementsAre(3));
  peers_[1].hash = {10, 2, 7, 8};
  EXPECT_TRUE(checks_.check_newest().ok());
  EXPECT_THAT(raised_, ElementsAre(3, 3)) << "a follower is ahead of the leader";
  peers_[0].hash = {9, 3, 7, 7};
  EXPECT_TRUE(checks_.check_newest().ok());
  EXPECT_THAT(raised_, ElementsAre(3, 3, 2)) << "one alarm in a pass";
  peers_ = {answer(2, {11, 1, 7, 7}), no_answer(3)};
  EXPECT_TRUE(checks_.check_newest().ok());
  EXPECT_EQ(raised_.size(), 3u);
}

TEST_F(KvChecksTest, TheLeaderBlamesItselfIfItsHistoryChanges) {
  local_ = {{10, 2, 7, 7}, {12, 2, 7, 7}};
  peers_ = {answer(2, {10, 2, 7, 7})};
  EXPECT_TRUE(checks_.check_newest().ok());
  EXPECT_THAT(raised_, ElementsAre(1));
}

TEST_F(KvChecksTest, CompactionsOfTheMajorityAreRight) {
  past_ = {{10, 2, 5, 9}, {20, 5, 8, 9}};
  peers_ = {answer(2, {20, 5, 8, 9}), answer(3, {21, 5, 8, 9})};
  checks_.check_compactions();
  EXPECT_THAT(asked_, ElementsAre(8));
  EXPECT_THAT(raised_, ElementsAre(3));
  peers_ = {answer(2, {21, 5, 8, 9}), answer(3, {21, 5, 8, 9})};
  checks_.check_compactions();
  EXPECT_THAT(raised_, ElementsAre(3, 1)) << "the leader may be the one";
  peers_ = {answer(2, {22, 5, 8, 9}), answer(3, {21, 5, 8, 9})};
  checks_.check_compactions();
  EXPECT_THAT(raised_, ElementsAre(3, 1, 0)) << "nobody knows who is right";
  peers_ = {no_answer(2), answer(3, {21, 5, 8, 9})};
  checks_.check_compactions();
  EXPECT_THAT(raised_, ElementsAre(3, 1, 0, 0));
}

TEST_F(KvChecksTest, OlderCompactionsAreLookedAtUntilOneIsCheckedOnAll) {
  past_ = {{10, 2, 5, 9}, {20, 5, 8, 9}};
  peers_ = {answer(2, {20, 5, 8, 9}), no_answer(3)};
  checks_.check_compactions();
  EXPECT_THAT(asked_, ElementsAre(8, 5));
  peers_[1] = answer(3, {20, 5, 8, 9});
  checks_.check_compactions();
  EXPECT_THAT(asked_, ElementsAre(8, 5, 8));
  checks_.check_compactions();
  EXPECT_THAT(asked_, ElementsAre(8, 5, 8)) << "checked already";
  EXPECT_THAT(raised_, IsEmpty());
}

// Members 1 to n, of which member 1 checks. All of what they say goes through their HTTP answers.
class ApplyHashTest : public ::testing::Test {
 protected:
  struct Member {
    std::unique_ptr<EffectHash> effects = std::make_unique<EffectHash>();
    bool answers = true;
    bool is_etcd = false;
    bool diverges = false;
  };

  void start(size_t count) {
    members_.resize(count);
    for (Member& member : members_) member.effects->start(0);
    ApplyHashCheckOptions options;
    options.local_id = 1;
    options.effects = members_[0].effects.get();
    options.peers = [this] {
      std::vector<Peer> peers;
      for (size_t i = 1; i < members_.size(); ++i) peers.push_back({i + 1, {}});
      return peers;
    };
    options.ask_all = [this](const std::vector<Peer>& peers, const std::string& path) {
      std::vector<Answer> answers;
      for (const Peer& peer : peers) answers.push_back(ask(members_[peer.id - 1], path));
      return answers;
    };
    options.is_raised = [this](uint64_t id) {
      return std::find(raised_.begin(), raised_.end(), id) != raised_.end();
    };
    options.raise = [this](uint64_t id) { raised_.push_back(id); };
    options.log = [](std::string_view, std::string_view, const LogFields&) {};
    check_ = std::make_unique<ApplyHashCheck>(std::move(options));
  }
  static Answer ask(const Member& member, const std::string& path) {
    if (!member.answers) return Status(StatusCode::kIo, "no answer");
    if (member.is_etcd) return peer::text_response(404, "404 page not found");
    auto request = get("");
    size_t mark = path.find('?');
    request.path = path.substr(0, mark);
    if (mark != std::string::npos) request.query = path.substr(mark + 1);
    EXPECT_EQ(request.path, kApplyHashPath);
    return answer_apply_hash(request, kCluster, *member.effects);
  }
  static void apply(Member* member, uint64_t entries) {
    uint64_t newest = member->effects->span().newest;
    for (uint64_t index = newest + 1; index <= newest + entries; ++index) {
      member->effects->add(apply::effect_digest(index, 1, member->diverges ? 2 : 1, {}));
    }
    member->effects->show();
  }
  void apply_all(uint64_t entries) {
    for (Member& member : members_) apply(&member, entries);
  }

  std::vector<Member> members_;
  std::vector<uint64_t> raised_;
  std::unique_ptr<ApplyHashCheck> check_;
};

TEST_F(ApplyHashTest, TheOneThatDiffersIsFoundAfterAFewEntries) {
  start(3);
  apply_all(10);
  check_->round();
  EXPECT_EQ(check_->round(), 2u);
  EXPECT_THAT(raised_, IsEmpty());
  members_[2].diverges = true;
  apply_all(1);
  for (int i = 0; i < 2; ++i) check_->round();
  EXPECT_THAT(raised_, ElementsAre(3));
  for (int i = 0; i < 9; ++i) check_->round();
  EXPECT_EQ(raised_.size(), 1u) << "an alarm that is there is not raised again";
}

TEST_F(ApplyHashTest, TheCheckerMayBeTheOne) {
  start(3);
  members_[0].diverges = true;
  apply_all(3);
  for (int i = 0; i < 2; ++i) check_->round();
  EXPECT_THAT(raised_, ElementsAre(1));
}

TEST_F(ApplyHashTest, EntriesGoOnWhileItChecks) {
  start(3);
  // More than exact sums are kept of, in each round.
  const uint64_t burst = EffectHash::kNewestMax + 777;
  for (int i = 0; i < 4; ++i) {
    apply_all(burst);
    size_t compared = check_->round();
    if (i > 0) {
      EXPECT_EQ(compared, 2u);
    }
  }
  EXPECT_THAT(raised_, IsEmpty());
  members_[1].diverges = true;
  for (int i = 0; i < 3; ++i) {
    apply_all(burst);
    check_->round();
  }
  EXPECT_THAT(raised_, ElementsAre(2));
}

TEST_F(ApplyHashTest, AMemberThatBeganLaterIsComparedFromThere) {
  start(3);
  apply_all(50);
  check_->round();
  // As after a restart, or with a snapshot.
  members_[1].effects->start(50);
  apply_all(2);
  for (int i = 0; i < 2; ++i) check_->round();
  EXPECT_EQ(check_->round(), 2u);
  EXPECT_THAT(raised_, IsEmpty());
  members_[1].diverges = true;
  apply_all(1);
  for (int i = 0; i < 2; ++i) check_->round();
  EXPECT_THAT(raised_, ElementsAre(2));
}

TEST_F(ApplyHashTest, AMemberThatLagsDoesNotHideAnother) {
  start(5);
  for (size_t i = 0; i < 4; ++i) {
    members_[i].effects->start(100);
    members_[i].diverges = i == 3;
    apply(&members_[i], 20);
  }
  apply(&members_[4], 30);
  for (int i = 0; i < 2; ++i) check_->round();
  EXPECT_THAT(raised_, ElementsAre(4));
}

TEST_F(ApplyHashTest, WithoutAMajorityTheClusterIsToBlame) {
  start(3);
  members_[1].diverges = true;
  members_[2].answers = false;
  apply_all(5);
  for (int i = 0; i < kUndecidedRoundsMax; ++i) check_->round();
  EXPECT_THAT(raised_, IsEmpty()) << "the third one may yet say who is right";
  members_[2].answers = true;
  check_->round();
  EXPECT_THAT(raised_, ElementsAre(2));

  raised_.clear();
  start(2);
  members_[0].diverges = false;
  members_[1].diverges = true;
  apply_all(5);
  for (int i = 0; i < 2; ++i) check_->round();
  EXPECT_THAT(raised_, ElementsAre(0));
}

TEST_F(ApplyHashTest, AnEtcdIsLeftOut) {
  start(3);
  members_[1].is_etcd = true;
  apply_all(5);
  EXPECT_FALSE(check_->knows_question({2, {}}));
  EXPECT_TRUE(check_->knows_question({3, {}}));
  check_->round();
  EXPECT_EQ(check_->round(), 1u);
  EXPECT_THAT(raised_, IsEmpty());
}

TEST_F(ApplyHashTest, AnswersThatMakeNoSenseAreNone) {
  auto read = [](std::string body) {
    peer::HttpResponse response;
    response.body = std::move(body);
    return read_apply_hash(response);
  };
  EXPECT_TRUE(read(R"({"version":2,"first":1,"newest":2,"sums":[[2,18446744073709551615]]})"));
  EXPECT_FALSE(read(R"({"version":1,"first":1,"newest":2,"sums":[]})"));
  for (const char* body :
       {"", "{}", "[]", R"({"version":2})", R"({"version":2,"first":-1,"newest":2})",
        R"({"version":2,"first":1,"newest":2,"sums":[[2]]})",
        R"({"version":2,"first":1,"newest":2,"sums":7})"}) {
    EXPECT_FALSE(read(body)) << body;
  }
  start(1);
  for (const char* query :
       {"x=1", "at=1;2", "at=a", "at=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"}) {
    auto request = get("");
    request.query = query;
    EXPECT_EQ(answer_apply_hash(request, kCluster, *members_[0].effects).status, 400) << query;
  }
  EXPECT_EQ(answer_apply_hash(get("", "abd"), kCluster, *members_[0].effects).status, 412);
}

}  // namespace
}  // namespace mortise::integrity
