// Entries of authors who may, may not, and may not any more. The plugin is a fake; what counts here
// is what the apply stage asks it, and what it does with the answer.
#include <gtest/gtest.h>

#include <deque>

#include "host/apply/applier.h"
#include "host/auth/fake_plugin.h"
#include "host/mvcc/test_store.h"
#include "proto/raft_internal.pb.h"
#include "proto/rpc.pb.h"

namespace mortise::apply {
namespace {

namespace pb = ::etcdserverpb;
using mortise::testing::TestStore;

class AuthStageTest : public ::testing::Test {
 protected:
  void SetUp() override { start(); }

  void start(bool with_plugin = true) {
    parts_.reset();
    parts_ = std::make_unique<Parts>();
    Hooks hooks;
    hooks.committed = [](const mvcc::State&, uint64_t) {};
    hooks.publish = [this](const std::shared_ptr<mvcc::EventBatch>& batch) {
      trace_.push_back("events " + std::to_string(batch->events.size()));
    };
    hooks.auth_changed = [this](const std::vector<std::string>& users) {
      std::string line = "auth";
      for (const std::string& user : users) line += " " + user;
      trace_.push_back(line);
    };
    hooks.wants_prev = [] { return false; };
    hooks.compact = [](int64_t) {};
    hooks.log = [](std::string_view, std::string_view, LogFields) {};
    parts_->applier = std::make_unique<Applier>(store_.get(), &parts_->lessor, &parts_->cluster,
                                                &parts_->alarms, &parts_->waiters, hooks);
    if (with_plugin) {
      auto authority = auth::Authority::create(auth::testing::fake_plugin(), nullptr, "{}");
      ASSERT_TRUE(authority.ok());
      parts_->authority = std::move(authority).value();
      parts_->applier->set_authority(parts_->authority.get());
    }
    opened_ = parts_->applier->open();
  }

  void add(uint32_t field, const google::protobuf::Message& request, const wire::Author& author) {
    auto entry = std::make_shared<raft::Entry>();
    entry->index = ++index_;
    entry->term = 1;
    entry->type = raft::EntryType::kNormal;
    entry->data =
        wire::encode_raft_request(1000 + index_, field, request.SerializeAsString(), author);
    struct Recorder : Waiter {
      explicit Recorder(std::string* m) : message(m) {}
      void complete(ApplyResult result) override {
        *message = result.rpc.ok() ? "ok" : result.rpc.message();
      }
      std::string* message;
    };
    answers_.emplace_back();
    parts_->waiters.add(1000 + index_, std::make_unique<Recorder>(&answers_.back()),
                        WaitList::Clock::time_point::max());
    entries_.push_back(entry);
  }
  Status apply_all() {
    Status status = parts_->applier->apply(entries_);
    entries_.clear();
    return status;
  }
  std::string apply(uint32_t field, const google::protobuf::Message& request,
                    const wire::Author& author) {
    add(field, request, author);
    EXPECT_TRUE(apply_all().ok());
    return answers_.back();
  }
  wire::Author now(std::string_view user) const { return {user, parts_->authority->revision()}; }

  static pb::PutRequest put(const std::string& key, int64_t lease = 0) {
    pb::PutRequest request;
    request.set_key(key);
    request.set_lease(lease);
    return request;
  }
  static pb::AuthUserAddRequest user(const std::string& name) {
    pb::AuthUserAddRequest request;
    request.set_name(name);
    return request;
  }
  static pb::AuthUserGrantRoleRequest grant(const std::string& name, const std::string& role) {
    pb::AuthUserGrantRoleRequest request;
    request.set_user(name);
    request.set_role(role);
    return request;
  }
  static pb::AuthUserRevokeRoleRequest revoke(const std::string& name) {
    pb::AuthUserRevokeRoleRequest request;
    request.set_name(name);
    return request;
  }
  // Alice has the keys with the prefix "a".
  void enable() {
    EXPECT_EQ(apply(wire::kRaftUserAdd, user("root"), {}), "ok");
    EXPECT_EQ(apply(wire::kRaftUserGrantRole, grant("root", "root"), {}), "ok");
    EXPECT_EQ(apply(wire::kRaftUserAdd, user("alice"), {}), "ok");
    EXPECT_EQ(apply(wire::kRaftUserGrantRole, grant("alice", "a"), {}), "ok");
    EXPECT_EQ(apply(wire::kRaftAuthEnable, pb::AuthEnableRequest(), {}), "ok");
    trace_.clear();
  }

  struct Parts {
    lease::Lessor lessor{lease::LessorOptions{}};
    membership::Cluster cluster{1, 2, 1};
    Alarms alarms;
    WaitList waiters;
    std::unique_ptr<auth::Authority> authority;
    std::unique_ptr<Applier> applier;
  };
  TestStore store_;
  std::unique_ptr<Parts> parts_;
  Status opened_;
  uint64_t index_ = 0;
  std::vector<raft::EntryRef> entries_;
  std::deque<std::string> answers_;
  std::vector<std::string> trace_;
};

TEST_F(AuthStageTest, WithoutAuthenticationAuthorsDoNotCount) {
  EXPECT_EQ(apply(wire::kRaftPut, put("x"), {}), "ok");
  EXPECT_EQ(apply(wire::kRaftPut, put("x"), {"nobody", 77}), "ok");
}

TEST_F(AuthStageTest, OnlyWhoMayIsServed) {
  enable();
  EXPECT_EQ(apply(wire::kRaftPut, put("a1"), now("alice")), "ok");
  EXPECT_EQ(apply(wire::kRaftPut, put("b1"), now("alice")), "etcdserver: permission denied");
  EXPECT_EQ(apply(wire::kRaftPut, put("b1"), now("root")), "ok");
  EXPECT_EQ(apply(wire::kRaftPut, put("a1"), now("mallory")), "etcdserver: permission denied");
  EXPECT_EQ(apply(wire::kRaftPut, put("a1"), {}), "etcdserver: user name is empty");
  EXPECT_EQ(apply(wire::kRaftUserAdd, user("bob"), now("alice")), "etcdserver: permission denied");
  EXPECT_EQ(apply(wire::kRaftAuthDisable, pb::AuthDisableRequest(), now("alice")),
            "etcdserver: permission denied");
}

TEST_F(AuthStageTest, AnAuthorOfAnOlderRevisionIsTold) {
  enable();
  wire::Author before = now("alice");
  EXPECT_EQ(apply(wire::kRaftUserAdd, user("bob"), now("root")), "ok");
  EXPECT_EQ(apply(wire::kRaftPut, put("a1"), before), "etcdserver: revision of auth store is old");
  EXPECT_EQ(apply(wire::kRaftPut, put("a1"), now("alice")), "ok");
}

// All in one batch: what comes behind a change sees it.
TEST_F(AuthStageTest, AChangeCountsFromTheNextEntryOn) {
  enable();
  uint64_t revision = parts_->authority->revision();
  add(wire::kRaftPut, put("a1"), {"alice", revision});
  add(wire::kRaftUserRevokeRole, revoke("alice"), {"root", revision});
  add(wire::kRaftPut, put("a2"), {"alice", revision + 1});
  add(wire::kRaftUserGrantRole, grant("alice", "a"), {"root", revision + 1});
  add(wire::kRaftPut, put("a3"), {"alice", revision + 2});
  ASSERT_TRUE(apply_all().ok());
  std::vector<std::string> last(answers_.end() - 5, answers_.end());
  EXPECT_EQ(last,
            (std::vector<std::string>{"ok", "ok", "etcdserver: permission denied", "ok", "ok"}));
  // Before the events, so that nobody sees those that follow a change.
  EXPECT_EQ(trace_, (std::vector<std::string>{"auth", "events 2"}));
}

TEST_F(AuthStageTest, DeletedUsersAreNamed) {
  enable();
  pb::AuthUserDeleteRequest deletion;
  deletion.set_name("alice");
  EXPECT_EQ(apply(wire::kRaftUserDelete, deletion, now("root")), "ok");
  EXPECT_EQ(trace_, (std::vector<std::string>{"auth alice"}));
}

TEST_F(AuthStageTest, KeysOfALeaseAreJudgedAsOfTheEntry) {
  enable();
  pb::LeaseGrantRequest lease;
  lease.set_id(7);
  lease.set_ttl(100);
  EXPECT_EQ(apply(wire::kRaftLeaseGrant, lease, now("alice")), "ok");
  EXPECT_EQ(apply(wire::kRaftPut, put("a1", 7), now("alice")), "ok");
  // Within one batch, so the store does not have the key yet.
  wire::Author alice = now("alice");
  add(wire::kRaftPut, put("b1", 7), now("root"));
  add(wire::kRaftPut, put("a2", 7), alice);
  pb::LeaseRevokeRequest revocation;
  revocation.set_id(7);
  add(wire::kRaftLeaseRevoke, revocation, alice);
  add(wire::kRaftPut, put("b1"), now("root"));  // Detached.
  add(wire::kRaftPut, put("a3", 7), alice);
  add(wire::kRaftLeaseRevoke, revocation, alice);
  ASSERT_TRUE(apply_all().ok());
  const std::string denied = "etcdserver: permission denied";
  std::vector<std::string> last(answers_.end() - 6, answers_.end());
  EXPECT_EQ(last, (std::vector<std::string>{"ok", denied, denied, "ok", "ok", "ok"}));
}

TEST_F(AuthStageTest, AStoreKeepsUsersOverARestart) {
  enable();
  parts_.reset();  // They read from the store that is about to be closed.
  store_.reopen();
  start();
  ASSERT_TRUE(opened_.ok());
  EXPECT_TRUE(parts_->authority->enabled());
  EXPECT_EQ(apply(wire::kRaftPut, put("b1"), now("alice")), "etcdserver: permission denied");
  EXPECT_EQ(apply(wire::kRaftPut, put("a1"), now("alice")), "ok");
}

TEST_F(AuthStageTest, APluginThatMakesNothingIsRefused) {
  mortise_auth_v1 broken = *auth::testing::fake_plugin();
  broken.create = [](const mortise_host*, mortise_bytes, mortise_auth** out, mortise_error*) {
    *out = nullptr;
    return mortise_status{MORTISE_OK};
  };
  EXPECT_EQ(auth::Authority::create(&broken, nullptr, "{}").status().message(),
            "cannot create the auth plugin: the plugin answers OK with nothing");
}

TEST_F(AuthStageTest, WithoutAPluginNoUsersAreServed) {
  enable();
  start(/*with_plugin=*/false);
  EXPECT_EQ(opened_.code(), StatusCode::kInvalid);
}

TEST_F(AuthStageTest, WithoutAPluginUsersAreNotChanged) {
  start(/*with_plugin=*/false);
  ASSERT_TRUE(opened_.ok());
  EXPECT_EQ(apply(wire::kRaftAuthStatus, pb::AuthStatusRequest(), {}),
            "etcdserver: authentication is not enabled");
  add(wire::kRaftUserAdd, user("root"), {});
  EXPECT_EQ(apply_all().code(), StatusCode::kInvalid);
}

TEST_F(AuthStageTest, WhatIsRefusedLeavesNoRow) {
  EXPECT_EQ(apply(wire::kRaftUserAdd, user("bob"), {}), "ok");
  auto rows = store_.rows(store::kAuth);
  EXPECT_EQ(apply(wire::kRaftUserAdd, user("bob"), {}), "etcdserver: user name already exists");
  EXPECT_EQ(apply(wire::kRaftAuthEnable, pb::AuthEnableRequest(), {}),
            "etcdserver: root user does not exist");
  EXPECT_EQ(store_.rows(store::kAuth), rows);
}

// Members that disagree about users must be found out.
TEST_F(AuthStageTest, UsersArePartOfTheRunningHash) {
  auto digest = [](std::string_view value) {
    mortise_write_op row{MORTISE_OP_PUT, store::kAuth, store::bytes("ualice"), store::bytes(value)};
    return effect_digest(5, 1, 3, std::span(&row, 1));
  };
  EXPECT_EQ(digest("one"), digest("one"));
  EXPECT_NE(digest("one"), digest("other"));
}

}  // namespace
}  // namespace mortise::apply
