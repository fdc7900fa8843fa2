// Every error that one member can be made to give, held against answers recorded from etcd 3.7.1
// in testdata/errors_etcd_3_7.txt, and, where it says the same, against Debian's etcd 3.4.
//
// MORTISE_RECORD_ETCD=<an etcd 3.7.1> in the environment writes the file anew.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using namespace etcdserverpb;  // NOLINT: names of messages only.

std::string recorded_path() { return "testdata/errors_etcd_3_7.txt"; }

// Go's protobuf writes a space or a no-break space there, as its build has it.
std::string plain_spaces(std::string text) {
  const std::string wide = "\xc2\xa0";
  for (size_t at; (at = text.find(wide)) != std::string::npos;) text.replace(at, wide.size(), " ");
  return text;
}

// What etcd 3.4 does not know, or does not survive.
bool is_newer_than_3_4(const std::string& name) {
  for (const char* part : {"range stream", "RangeStream", "downgrade: ", "unknown order",
                           "unknown target", "negative target", "unknown alarm", "cut short",
                           "wire type", "wrong type", "no service", "puts within", "auth status"}) {
    if (name.find(part) != std::string::npos) return true;
  }
  return false;
}

constexpr const char* kNotAsked = "not asked";

// Asks, and writes down what was answered under a name.
class Questioner {
 public:
  // With `older` it leaves out what etcd 3.4 cannot be asked.
  Questioner(Client* client, bool older) : c_(client), older_(older) {}

  std::vector<std::pair<std::string, std::string>> answers;

  void ask_all() {
    keys();
    ranges();
    streams();
    puts();
    txns();
    revisions();
    leases();
    downgrade();
    bytes();
    sizes();
    no_space();
    corrupt();
    others();
  }

 private:
  bool leaves_out(const std::string& name) {
    if (!older_ || !is_newer_than_3_4(name)) return false;
    answers.emplace_back(name, kNotAsked);
    return true;
  }
  void note(const std::string& name, const grpc::Status& status) {
    answers.emplace_back(name, plain_spaces(status_text(status)));
  }
  template <typename Stub, typename Request, typename Response>
  void ask(const std::string& name, Stub& stub,
           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
           const Request& request) {
    if (leaves_out(name)) return;
    Response response;
    note(name, c_->call(stub, method, request, &response));
  }
  void range(const std::string& name, const RangeRequest& r) {
    ask(name, c_->kv(), &KV::Stub::Range, r);
  }
  void stream(const std::string& name, const RangeRequest& r) {
    if (leaves_out(name)) return;
    RangeResponse response;
    note(name, c_->range_stream(r, &response));
  }
  void put(const std::string& name, const PutRequest& r) { ask(name, c_->kv(), &KV::Stub::Put, r); }
  void del(const std::string& name, const DeleteRangeRequest& r) {
    ask(name, c_->kv(), &KV::Stub::DeleteRange, r);
  }
  void txn(const std::string& name, const TxnRequest& r) { ask(name, c_->kv(), &KV::Stub::Txn, r); }
  void compact(const std::string& name, int64_t revision) {
    CompactionRequest r;
    r.set_revision(revision);
    ask(name, c_->kv(), &KV::Stub::Compact, r);
  }
  void grant(const std::string& name, int64_t id, int64_t ttl) {
    LeaseGrantRequest r;
    r.set_id(id);
    r.set_ttl(ttl);
    ask(name, c_->lease(), &Lease::Stub::LeaseGrant, r);
  }
  void alarm(const std::string& name, AlarmRequest::AlarmAction action, AlarmType type) {
    AlarmRequest r;
    r.set_action(action);
    r.set_memberid(5);
    r.set_alarm(type);
    ask(name, c_->maintenance(), &Maintenance::Stub::Alarm, r);
  }
  void downgrade(const std::string& name, int action, const std::string& version) {
    DowngradeRequest r;
    r.set_action(static_cast<DowngradeRequest::DowngradeAction>(action));
    r.set_version(version);
    ask("downgrade: " + name, c_->maintenance(), &Maintenance::Stub::Downgrade, r);
  }
  void raw(const std::string& name, const std::string& method, const std::string& bytes) {
    if (leaves_out(name)) return;
    std::string response;
    note(name, c_->call_raw(method, bytes, &response));
  }

  static RangeRequest range_of(const std::string& key, const std::string& end = "") {
    RangeRequest r;
    r.set_key(key);
    r.set_range_end(end);
    return r;
  }
  static PutRequest put_of(const std::string& key, const std::string& value = "v") {
    PutRequest r;
    r.set_key(key);
    r.set_value(value);
    return r;
  }
  static DeleteRangeRequest del_of(const std::string& key, const std::string& end = "") {
    DeleteRangeRequest r;
    r.set_key(key);
    r.set_range_end(end);
    return r;
  }

  void keys() {
    range("range without a key", {});
    stream("range stream without a key", {});
    put("put without a key", {});
    del("delete without a key", {});
    range("range that ends before it begins", range_of("b", "a"));
    del("delete that ends before it begins", del_of("b", "a"));
  }

  void ranges() {
    RangeRequest r = range_of("k");
    r.set_sort_order(static_cast<RangeRequest::SortOrder>(3));
    range("range, unknown order", r);
    stream("range stream, unknown order", r);
    r.set_sort_order(RangeRequest::ASCEND);
    r.set_sort_target(static_cast<RangeRequest::SortTarget>(5));
    range("range, unknown target", r);
    r.set_sort_target(static_cast<RangeRequest::SortTarget>(-1));
    range("range, negative target", r);
    r = range_of("k");
    r.set_limit(-1);
    range("range, negative limit", r);
    r = range_of("k");
    r.set_revision(-5);
    range("range, negative revision", r);
  }

  void streams() {
    RangeRequest r = range_of("k", "l");
    r.set_sort_order(RangeRequest::ASCEND);
    stream("range stream, ascending keys", r);
    r.set_sort_order(RangeRequest::DESCEND);
    stream("range stream, descending keys", r);
    r.set_sort_order(RangeRequest::ASCEND);
    r.set_sort_target(RangeRequest::MOD);
    stream("range stream, by revision", r);
    r.set_sort_order(RangeRequest::NONE);
    stream("range stream, a target and no order", r);
    r = range_of("k", "l");
    r.set_min_mod_revision(1);
    stream("range stream, filter", r);
    r = range_of("k", "l");
    r.set_max_create_revision(1);
    r.set_count_only(true);
    stream("range stream, filter of a count", r);
    r = range_of("k", "l");
    r.set_revision(100000);
    stream("range stream, future revision", r);
    r.set_count_only(true);
    stream("range stream, count at a future revision", r);
  }

  void puts() {
    PutRequest r = put_of("new");
    r.set_ignore_value(true);
    put("put, value and ignore_value", r);
    r.clear_value();
    put("put, ignore_value of a new key", r);
    r = put_of("new");
    r.set_ignore_lease(true);
    put("put, ignore_lease of a new key", r);
    r.set_lease(3);
    put("put, lease and ignore_lease", r);
    r = put_of("new");
    r.set_lease(3);
    put("put, no such lease", r);
    r.set_lease(-3);
    put("put, negative lease", r);
  }

  static void add_put(TxnRequest* t, const std::string& key) {
    *t->add_success()->mutable_request_put() = put_of(key);
  }

  void txns() {
    TxnRequest t;
    t.add_compare();
    txn("txn, compare without a key", t);
    t.Clear();
    t.add_success();
    txn("txn, operation of no kind", t);
    t.Clear();
    for (int i = 0; i < 129; ++i) *t.add_failure()->mutable_request_range() = range_of("k");
    txn("txn, too many operations", t);
    t.Clear();
    for (int i = 0; i < 129; ++i) t.add_compare()->set_key("k");
    txn("txn, too many compares", t);
    t.Clear();
    auto* inner = t.add_success()->mutable_request_txn();
    for (int i = 0; i < 128; ++i) *inner->add_success()->mutable_request_range() = range_of("k");
    txn("txn, too many nested operations", t);
    inner->mutable_success()->DeleteSubrange(127, 1);
    txn("txn, just enough nested operations", t);
    t.Clear();
    *t.add_success()->mutable_request_range() = range_of("k");
    t.mutable_success(0)->mutable_request_range()->set_sort_order(
        static_cast<RangeRequest::SortOrder>(9));
    txn("txn, unknown order", t);
    t.Clear();
    add_put(&t, "a");
    t.mutable_success(0)->mutable_request_put()->set_lease(3);
    txn("txn, no such lease", t);
    t.mutable_success(0)->mutable_request_put()->set_lease(0);
    t.mutable_success(0)->mutable_request_put()->set_ignore_lease(true);
    txn("txn, ignore_lease of a new key", t);
    t.mutable_success(0)->mutable_request_put()->set_ignore_value(true);
    txn("txn, value and ignore_value", t);
    t.Clear();
    *t.add_success()->mutable_request_range() = range_of("k");
    t.mutable_success(0)->mutable_request_range()->set_revision(100000);
    txn("read-only txn, future revision", t);
    add_put(&t, "a");
    txn("txn, future revision", t);
    t.mutable_success(0)->mutable_request_range()->set_revision(-4);
    txn("txn, negative revision", t);
    t.mutable_success()->DeleteSubrange(1, 1);
    txn("read-only txn, negative revision", t);
    duplicates();
  }

  void duplicates() {
    TxnRequest t;
    add_put(&t, "a");
    add_put(&t, "a");
    txn("txn, key put twice", t);
    t.mutable_success()->DeleteSubrange(1, 1);
    *t.add_success()->mutable_request_delete_range() = del_of("a");
    txn("txn, key put and deleted", t);
    *t.mutable_success(1)->mutable_request_delete_range() = del_of("0", "b");
    txn("txn, key put and range deleted", t);
    *t.mutable_success(1)->mutable_request_delete_range() = del_of("0", std::string(1, '\0'));
    txn("txn, key put and all behind another deleted", t);
    *t.mutable_success(1)->mutable_request_delete_range() = del_of("b", "c");
    txn("txn, key put and another range deleted", t);
    t.Clear();
    *t.add_success()->mutable_request_delete_range() = del_of("a", "c");
    *t.add_success()->mutable_request_delete_range() = del_of("b", "d");
    txn("txn, ranges deleted twice", t);
    t.Clear();
    add_put(&t, "a");
    add_put(t.add_success()->mutable_request_txn(), "a");
    txn("txn, key put and put in a nested txn", t);
    *t.mutable_success(0)->mutable_request_delete_range() = del_of("a");
    txn("txn, key deleted and put in a nested txn", t);
    t.Clear();
    auto* inner = t.add_success()->mutable_request_txn();
    add_put(inner, "a");
    *inner->add_failure()->mutable_request_put() = put_of("a");
    txn("txn, key put in both branches of a nested txn", t);
    add_put(t.add_success()->mutable_request_txn(), "a");
    txn("txn, key put in two nested txns", t);
    t.Clear();
    add_put(&t, "a");
    *t.add_failure()->mutable_request_delete_range() = del_of("a");
    txn("txn, key put here and deleted there", t);
  }

  void revisions() {
    for (int i = 0; i < 20; ++i) put("put", put_of("k"));
    compact("compact", 10);
    compact("compact again", 10);
    compact("compact, before", 9);
    compact("compact, negative", -1);
    compact("compact, future", 100000);
    RangeRequest r = range_of("k");
    r.set_revision(9);
    range("range, compacted", r);
    stream("range stream, compacted", r);
    r.set_revision(10);
    range("range at the compacted revision", r);
    r.set_revision(100000);
    range("range, future", r);
    TxnRequest t;
    *t.add_success()->mutable_request_range() = range_of("k");
    t.mutable_success(0)->mutable_request_range()->set_revision(9);
    txn("read-only txn, compacted", t);
    add_put(&t, "a");
    txn("txn, compacted", t);
    HashKVRequest h;
    h.set_revision(9);
    ask("hash, compacted", c_->maintenance(), &Maintenance::Stub::HashKV, h);
    h.set_revision(100000);
    ask("hash, future", c_->maintenance(), &Maintenance::Stub::HashKV, h);
  }

  void leases() {
    grant("lease", 7, 100);
    grant("lease that exists", 7, 100);
    grant("lease, time too long", 8, 9000000001);
    grant("lease, longest time", 9, 9000000000);
    grant("lease, no time", 10, 0);
    grant("lease, negative time", 11, -5);
    grant("lease, negative id", -12, 100);
    LeaseRevokeRequest r;
    ask("revoke no lease", c_->lease(), &Lease::Stub::LeaseRevoke, r);
    r.set_id(77);
    ask("revoke a lease that is not", c_->lease(), &Lease::Stub::LeaseRevoke, r);
    LeaseTimeToLiveRequest l;
    l.set_id(77);
    ask("time of a lease that is not", c_->lease(), &Lease::Stub::LeaseTimeToLive, l);
  }

  void downgrade() {
    downgrade("validate", DowngradeRequest::VALIDATE, "3.6");
    downgrade("validate a patch", DowngradeRequest::VALIDATE, "3.6.9");
    downgrade("validate the same", DowngradeRequest::VALIDATE, "3.7");
    downgrade("validate too low", DowngradeRequest::VALIDATE, "3.5.0");
    downgrade("validate no version", DowngradeRequest::VALIDATE, "");
    downgrade("validate a word", DowngradeRequest::VALIDATE, "low");
    downgrade("validate one number", DowngradeRequest::VALIDATE, "3");
    downgrade("validate four numbers", DowngradeRequest::VALIDATE, "3.6.0.0");
    downgrade("validate a v", DowngradeRequest::VALIDATE, "v3.6.0");
    downgrade("enable too low", DowngradeRequest::ENABLE, "3.5");
    downgrade("cancel nothing", DowngradeRequest::CANCEL, "");
    downgrade("unknown action", 7, "3.6");
    downgrade("enable", DowngradeRequest::ENABLE, "3.6");
    downgrade("enable again", DowngradeRequest::ENABLE, "3.6");
    downgrade("validate while enabled", DowngradeRequest::VALIDATE, "3.6");
    downgrade("cancel", DowngradeRequest::CANCEL, "");
  }

  void bytes() {
    for (const char* method : {"KV/Range", "KV/Put", "KV/DeleteRange", "KV/Txn", "KV/Compact",
                               "KV/RangeStream", "Lease/LeaseGrant", "Maintenance/Status",
                               "Maintenance/Alarm", "Maintenance/HashKV", "Cluster/MemberList"}) {
      raw(std::string("field cut short: ") + method, std::string("/etcdserverpb.") + method,
          "\x0a");
      raw(std::string("wire type 7: ") + method, std::string("/etcdserverpb.") + method,
          "\x0f\x01");
    }
    raw("wrong type of a known field", "/etcdserverpb.KV/Put", "\x08\x01");
    raw("unknown method", "/etcdserverpb.KV/Nothing", "");
    raw("unknown service", "/etcdserverpb.Nothing/Range", "");
    raw("no service", "/Range", "");
  }

  void sizes() {
    put("put, too large", put_of("k", std::string(1572864, 'v')));
    put("put, larger than any message", put_of("k", std::string(3000001, 'v')));
    TxnRequest t;
    for (int i = 0; i < 2; ++i) {
      *t.add_success()->mutable_request_put() =
          put_of("k" + std::to_string(i), std::string(800000, 'v'));
    }
    txn("txn, too large", t);
  }

  // What an alarm leaves possible.
  void while_alarm(const std::string& name) {
    put(name + ": put", put_of("k"));
    put(name + ": put without a key", {});
    PutRequest p = put_of("k");
    p.set_lease(99);
    put(name + ": put, no such lease", p);
    range(name + ": range", range_of("k"));
    RangeRequest r = range_of("k");
    r.set_serializable(true);
    range(name + ": serializable range", r);
    stream(name + ": range stream", range_of("k"));
    TxnRequest t;
    *t.add_success()->mutable_request_range() = range_of("k");
    txn(name + ": read-only txn", t);
    t.add_success()->mutable_request_delete_range()->set_key("nothing");
    txn(name + ": txn that deletes", t);
    add_put(&t, "a");
    txn(name + ": txn that puts", t);
    t.Clear();
    *t.add_failure()->mutable_request_put() = put_of("a");
    txn(name + ": txn that could put", t);
    t.Clear();
    add_put(t.add_success()->mutable_request_txn(), "a");
    txn(name + ": txn that puts within", t);
    grant(name + ": lease", 50, 100);
    LeaseRevokeRequest v;
    v.set_id(7);
    ask(name + ": revoke", c_->lease(), &Lease::Stub::LeaseRevoke, v);
    del(name + ": delete", del_of("k"));
    compact(name + ": compact", 11);
    StatusResponse s;
    note(name + ": status", c_->status(&s));
    HashKVResponse h;
    note(name + ": hash", c_->hash_kv(0, &h));
  }

  void no_space() {
    alarm("activate nothing", AlarmRequest::ACTIVATE, NONE);
    alarm("deactivate what is not active", AlarmRequest::DEACTIVATE, NOSPACE);
    alarm("activate an unknown alarm", AlarmRequest::ACTIVATE, static_cast<AlarmType>(9));
    alarm("deactivate an unknown alarm", AlarmRequest::DEACTIVATE, static_cast<AlarmType>(9));
    alarm("activate NOSPACE", AlarmRequest::ACTIVATE, NOSPACE);
    alarm("activate NOSPACE again", AlarmRequest::ACTIVATE, NOSPACE);
    while_alarm("NOSPACE");
    alarm("deactivate NOSPACE", AlarmRequest::DEACTIVATE, NOSPACE);
    put("put without the alarm", put_of("k"));
  }

  void corrupt() {
    grant("lease", 7, 100);
    alarm("activate CORRUPT", AlarmRequest::ACTIVATE, CORRUPT);
    while_alarm("CORRUPT");
    alarm("deactivate CORRUPT", AlarmRequest::DEACTIVATE, CORRUPT);
    put("put after the alarm", put_of("k"));
  }

  void others() {
    MoveLeaderRequest m;
    m.set_targetid(12345);
    ask("move leader to nobody", c_->maintenance(), &Maintenance::Stub::MoveLeader, m);
    ask("auth status", c_->auth(), &Auth::Stub::AuthStatus, AuthStatusRequest());
  }

  Client* c_;
  const bool older_;
};

using Answers = std::vector<std::pair<std::string, std::string>>;

void answers_of(const Target& target, bool older, Answers* answers) {
  Node node(target, NodeOptions{.in_memory = true});
  Status started = node.start();
  ASSERT_TRUE(started.ok()) << started.message();
  Client client(node.endpoint());
  Questioner questioner(&client, older);
  questioner.ask_all();
  *answers = std::move(questioner.answers);
  EXPECT_TRUE(node.running());
}

Answers read_recorded() {
  std::ifstream file(recorded_path());
  Answers answers;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    size_t at = line.find(" = ");
    answers.emplace_back(line.substr(0, at), line.substr(at + 3));
  }
  return answers;
}

void write_recorded(const Answers& answers) {
  std::ofstream file(recorded_path());
  file << "# Answers of etcd 3.7.1, written by error_table_test: \"OK\", or code and message.\n";
  for (const auto& [name, answer] : answers) file << name << " = " << answer << "\n";
}

class ErrorTableTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ErrorTableTest, AnswersAreThoseOfEtcd) {
  const bool is_etcd = GetParam() == "etcd";
  const Target target = is_etcd ? etcd_target() : mortise_target(GetParam());
  if (!available(target)) GTEST_SKIP() << "Debian's etcd is not installed";
  Answers recorded = read_recorded();
  ASSERT_GT(recorded.size(), 100u);
  Answers answers;
  answers_of(target, is_etcd, &answers);
  ASSERT_EQ(answers.size(), recorded.size());
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].first, recorded[i].first);
    if (answers[i].second == kNotAsked) continue;
    EXPECT_EQ(answers[i].second, recorded[i].second) << answers[i].first;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, ErrorTableTest, ::testing::Values("rocksdb", "lmdb", "etcd"),
                         [](const auto& info) { return info.param; });

TEST(ErrorTableRecord, Write) {
  const char* binary = std::getenv("MORTISE_RECORD_ETCD");
  if (binary == nullptr) GTEST_SKIP() << "only with MORTISE_RECORD_ETCD";
  Answers answers;
  answers_of(etcd_target(binary), false, &answers);
  write_recorded(answers);
}

// An action that etcd does not survive.
TEST(UnknownAlarmAction, IsAnError) {
  Node node(mortise_target("rocksdb"), NodeOptions{.in_memory = true});
  ASSERT_TRUE(node.start().ok());
  Client client(node.endpoint());
  AlarmRequest request;
  request.set_action(static_cast<AlarmRequest::AlarmAction>(7));
  AlarmResponse response;
  EXPECT_EQ(
      status_text(client.call(client.maintenance(), &Maintenance::Stub::Alarm, request, &response)),
      "2 etcdserver: unknown method");
  EXPECT_EQ(status_text(client.put("k", "v")), "OK");
}

}  // namespace
}  // namespace mortise::testing
