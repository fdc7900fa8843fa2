#include "host/server/lease_forwarder.h"

#include <gtest/gtest.h>

#include <future>

namespace mortise::server {
namespace {

using std::chrono::milliseconds;

// The other members as a function, which is called on the forwarder's or the test's thread.
class LeaseForwarderTest : public ::testing::Test {
 protected:
  LeaseForwarderTest() {
    LeaseForwarderOptions options;
    options.local_id = 1;
    options.time_limit = milliseconds(400);
    options.attempt_limit = milliseconds(100);
    options.pause = milliseconds(1);
    options.leader = [this] { return leader_.load(); };
    options.peer_urls = [](uint64_t id) {
      std::string name = "http://m" + std::to_string(id);
      return std::vector<std::string>{name + "a", name + "b"};
    };
    options.call = [this](peer::HttpCall call, peer::HttpClient::Done done) {
      ++calls_;
      answer_(call, std::move(done));
    };
    options.renew_here = [this](int64_t, const api::RenewalDone& done) {
      bool leads = leader_ == 1;
      if (lost_) leader_ = 2;
      done(lost_ || !leads ? RpcStatus(api::kNotPrimary) : RpcStatus(), 9);
    };
    options.time_to_live_here = [](int64_t, bool, std::string*) {
      return RpcStatus(rpc_errors::kLeaseNotFound);
    };
    forwarder_ = std::make_unique<LeaseForwarder>(std::move(options));
  }

  // "error" or the TTL.
  std::string renew(int64_t lease) {
    auto result = std::make_shared<std::promise<std::string>>();
    forwarder_->renew(lease, [result](const RpcStatus& status, int64_t ttl) {
      result->set_value(status.ok() ? std::to_string(ttl) : status.message());
    });
    return result->get_future().get();
  }
  static peer::HttpResponse renewed(int64_t lease, int64_t ttl) {
    peer::HttpResponse response;
    wire::append_varint_field(&response.body, 2, static_cast<uint64_t>(lease));
    wire::append_varint_field(&response.body, 3, static_cast<uint64_t>(ttl));
    return response;
  }

  std::atomic<uint64_t> leader_{2};
  std::atomic<bool> lost_{false};
  std::atomic<int> calls_{0};
  std::function<void(const peer::HttpCall&, peer::HttpClient::Done)> answer_;
  std::unique_ptr<LeaseForwarder> forwarder_;
  std::vector<std::jthread> elections_;
};

TEST_F(LeaseForwarderTest, AsksTheLeaderAtEachOfItsUrls) {
  answer_ = [&](const peer::HttpCall& call, const peer::HttpClient::Done& done) {
    EXPECT_EQ(call.path, "/leases");
    EXPECT_EQ(call.method, "POST");
    if (call.url == "http://m2a") return done(Status(StatusCode::kIo, "refused"));
    EXPECT_EQ(call.url, "http://m2b");
    EXPECT_EQ(call.body, api::renewal_request(7));
    done(renewed(7, 60));
  };
  EXPECT_EQ(renew(7), "60");
  EXPECT_EQ(calls_, 2);
}

TEST_F(LeaseForwarderTest, ALeaseThatIsNotThereIsAnAnswer) {
  answer_ = [](const peer::HttpCall&, const peer::HttpClient::Done& done) {
    done(peer::text_response(404, "lease not found"));
  };
  EXPECT_EQ(renew(7), rpc_errors::kLeaseNotFound.message);
  EXPECT_EQ(calls_, 1);
}

TEST_F(LeaseForwarderTest, AsksAgainUntilSomebodyAnswers) {
  answer_ = [&](const peer::HttpCall& call, const peer::HttpClient::Done& done) {
    if (calls_ == 3) leader_ = 0;
    if (calls_ < 4) {
      elections_.emplace_back([this] { leader_ = 3; });
      return done(peer::text_response(400, "not a primary lessor"));
    }
    EXPECT_TRUE(call.url.starts_with("http://m3"));
    done(renewed(7, 61));
  };
  EXPECT_EQ(renew(7), "61");
}

TEST_F(LeaseForwarderTest, AnAnswerForAnotherLeaseIsNone) {
  answer_ = [&](const peer::HttpCall&, const peer::HttpClient::Done& done) {
    done(renewed(calls_ < 5 ? 8 : 7, 62));
  };
  EXPECT_EQ(renew(7), "62");
}

TEST_F(LeaseForwarderTest, TellsWhyItGaveUp) {
  answer_ = [&](const peer::HttpCall&, const peer::HttpClient::Done& done) {
    done(peer::text_response(408, "behind"));
  };
  EXPECT_EQ(renew(7), rpc_errors::kTimeout.message);
  leader_ = 0;
  EXPECT_EQ(renew(7), rpc_errors::kNoLeader.message);
}

TEST_F(LeaseForwarderTest, ThisMemberMayLeadMeanwhile) {
  leader_ = 1;
  EXPECT_EQ(renew(7), "9");
  EXPECT_EQ(calls_, 0);
  lost_ = true;
  answer_ = [&](const peer::HttpCall&, const peer::HttpClient::Done& done) {
    done(renewed(7, 63));
  };
  EXPECT_EQ(renew(7), "63");
}

TEST_F(LeaseForwarderTest, TellsTheTimeToLive) {
  answer_ = [&](const peer::HttpCall& call, const peer::HttpClient::Done& done) {
    EXPECT_EQ(call.path, "/leases/internal");
    EXPECT_EQ(call.body, api::time_to_live_request(7, true));
    std::string inner, header;
    wire::append_bytes_field(&inner, 1, header);  // A leader's header, which is left out.
    wire::append_varint_field(&inner, 2, 7);
    wire::append_varint_field(&inner, 3, 40);
    wire::append_bytes_field(&inner, 5, "key");
    peer::HttpResponse response;
    wire::append_bytes_field(&response.body, 1, inner);
    done(response);
  };
  std::promise<std::string> told;
  forwarder_->time_to_live(7, true, [&](const RpcStatus& status, const std::string& body) {
    EXPECT_TRUE(status.ok()) << status.message();
    told.set_value(body);
  });
  std::string expected;
  wire::append_varint_field(&expected, 2, 7);
  wire::append_varint_field(&expected, 3, 40);
  wire::append_bytes_field(&expected, 5, "key");
  EXPECT_EQ(told.get_future().get(), expected);
}

TEST_F(LeaseForwarderTest, OnlySomeCallsAreOpenAtATime) {
  std::vector<peer::HttpClient::Done> open;
  answer_ = [&](const peer::HttpCall&, peer::HttpClient::Done done) {
    open.push_back(std::move(done));
  };
  size_t renewals = 0;
  for (size_t i = 0; i < LeaseForwarder::kCallsMax + 10; ++i) {
    forwarder_->renew(7,
                      [&](const RpcStatus& status, int64_t) { renewals += status.ok() ? 1 : 0; });
  }
  EXPECT_EQ(open.size(), LeaseForwarder::kCallsMax);
  for (size_t i = 0; i < open.size(); ++i) {
    auto done = std::move(open[i]);
    done(renewed(7, 60));
  }
  EXPECT_EQ(renewals, LeaseForwarder::kCallsMax + 10);
}

TEST_F(LeaseForwarderTest, AStopAnswersAll) {
  leader_ = 0;
  std::promise<std::string> result;
  forwarder_->renew(7,
                    [&](const RpcStatus& status, int64_t) { result.set_value(status.message()); });
  forwarder_->stop();
  EXPECT_EQ(result.get_future().get(), rpc_errors::kStopped.message);
}

}  // namespace
}  // namespace mortise::server
