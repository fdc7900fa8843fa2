// A Node for tests of handlers: each function is a bug until a test overrides it.
#pragma once

#include "host/api/context.h"

namespace mortise::api {

class FakeNode : public Node {
 public:
  void propose(uint32_t, std::string_view, const wire::Author&,
               std::unique_ptr<apply::Waiter>) override {
    unused();
  }
  void propose_membership(raft::MembershipChange, std::unique_ptr<apply::Waiter>) override {
    unused();
  }
  bool is_linearizable() const override { unused(); }
  void when_linearizable(std::function<void(const RpcStatus&)>) override { unused(); }
  void when_caught_up(std::function<void(const RpcStatus&)>) override { unused(); }
  bool keeps_time() const override { unused(); }
  void renew_at_leader(int64_t, RenewalDone) override { unused(); }
  void time_to_live_at_leader(int64_t, bool,
                              std::function<void(const RpcStatus&, const std::string&)>) override {
    unused();
  }
  void when_compacted(int64_t, std::function<void(bool)>) override { unused(); }
  std::optional<mvcc::PastHash> past_hash(int64_t) const override { unused(); }
  void reclaim(std::function<void(Status)>) override { unused(); }
  RpcStatus run_long(std::function<void()>) override { unused(); }
  bool between_commits(std::function<void()>) override { unused(); }
  bool run_snapshot(std::function<void()>) override { unused(); }
  int64_t revision() const override { unused(); }
  uint64_t term() const override { unused(); }
  uint64_t leader() const override { unused(); }
  bool is_learner() const override { unused(); }
  void move_leader(uint64_t, std::function<void(const RpcStatus&)>) override { unused(); }
  std::optional<std::chrono::steady_clock::time_point> active_since(uint64_t) const override {
    unused();
  }
  void promote(uint64_t, MembersDone) override { unused(); }
  uint64_t committed_index() const override { unused(); }
  uint64_t applied_index() const override { unused(); }
  int64_t new_lease_id() override { unused(); }
  bool has_space(int64_t) override { unused(); }
  void raise_no_space(std::function<void()>) override { unused(); }
  StoreFigures store_figures() override { unused(); }
  rpc::ServerStream* open_watch(const rpc::ClientStream&, std::shared_ptr<auth::Warrant>) override {
    unused();
  }
  void log(std::string_view, std::string_view, const std::vector<LogField>&,
           std::source_location) override {}

 private:
  [[noreturn]] static void unused() {
    check_failed("the test overrides it", __FILE__, __LINE__, "a function of FakeNode was called");
  }
};

}  // namespace mortise::api
