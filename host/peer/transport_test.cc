// Two transports that talk over loopback, and clients that say what no member would.
#include "host/peer/transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <future>

#include "host/peer/codec.h"
#include "host/peer/framing.h"
#include "host/peer/http_client.h"
#include "host/peer/test_member.h"

namespace mortise::peer {
namespace {

using raft::Message;
using raft::MessageType;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

Message message(MessageType type, NodeId from, NodeId to, uint64_t index) {
  Message m;
  m.type = type;
  m.from = from;
  m.to = to;
  m.term = 5;
  m.index = index;
  return m;
}

Message append_message_at(NodeId from, NodeId to, uint64_t index, size_t bytes) {
  Message m = message(MessageType::kApp, from, to, index);
  m.log_term = 5;
  m.entries.push_back(std::make_shared<const raft::Entry>(
      raft::Entry{5, index + 1, raft::EntryType::kNormal, std::string(bytes, 'x')}));
  return m;
}

Message snapshot_message(NodeId from, NodeId to) {
  Message m = message(MessageType::kSnap, from, to, 0);
  raft::Snapshot snapshot;
  snapshot.index = 100;
  snapshot.term = 4;
  snapshot.conf_state.voters = {from, to};
  m.snapshot = std::make_shared<const raft::Snapshot>(snapshot);
  return m;
}

std::vector<uint64_t> indexes(const std::vector<Message>& messages, MessageType type) {
  std::vector<uint64_t> out;
  for (const auto& m : messages) {
    if (m.type == type) out.push_back(m.index);
  }
  return out;
}

constexpr const char* kMemberHeaders =
    "Host: x\r\nX-Server-From: 2\r\nX-Server-Version: 3.7.1\r\nX-Min-Cluster-Version: 3.0.0\r\n"
    "X-Etcd-Cluster-ID: c1\r\n";

std::string ask(uint16_t port, const std::string& start, const std::string& headers,
                const std::string& body = "") {
  RawClient client(port);
  std::string length =
      body.empty() ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n";
  client.send(start + " HTTP/1.1\r\n" + headers + length + "Connection: close\r\n\r\n" + body);
  return client.read_all();
}

TEST(Transport, StreamsKeepTheOrderOfMessages) {
  TestMember a(1), b(2);
  a.know(b);
  b.know(a);
  ASSERT_TRUE(a.wait_for_streams());
  ASSERT_TRUE(b.wait_for_streams());
  constexpr uint64_t kCount = 3000;
  for (uint64_t i = 0; i < kCount; ++i) {
    std::vector<Message> batch;
    batch.push_back(append_message_at(1, 2, i, i % 100 == 0 ? 100'000 : 100));
    batch.push_back(message(MessageType::kHeartbeat, 1, 2, i));
    a.transport().send(std::move(batch));
    if (i % 1000 == 0) {
      ASSERT_TRUE(b.wait([&] { return b.received_.size() >= 2 * i; }));
    }
  }
  ASSERT_TRUE(b.wait([&] { return b.received_.size() == 2 * kCount; }));
  auto apps = indexes(b.received_, MessageType::kApp);
  EXPECT_TRUE(std::is_sorted(apps.begin(), apps.end()));
  auto beats = indexes(b.received_, MessageType::kHeartbeat);
  EXPECT_TRUE(std::is_sorted(beats.begin(), beats.end()));
  EXPECT_TRUE(a.transport().active_since(2).has_value());
  EXPECT_GT(a.counters_of(2).sent_bytes, 3'000'000u);
  EXPECT_GT(b.counters_of(1).received_bytes, 3'000'000u);
}

TEST(Transport, ConnectsAgainAfterAnEnd) {
  TestMember a(1);
  auto b = std::make_unique<TestMember>(2);
  const uint16_t port = b->port();
  a.know(*b);
  b->know(a);
  ASSERT_TRUE(a.wait_for_streams());
  b.reset();
  ASSERT_TRUE(a.wait_for_log("peer became inactive (message send to peer failed)"));
  EXPECT_FALSE(a.transport().active_since(2).has_value());
  a.transport().send({message(MessageType::kHeartbeat, 1, 2, 1)});
  ASSERT_TRUE(a.wait([&] { return a.unreachable_[2] > 0; }));
  b = std::make_unique<TestMember>(2, port);
  b->know(a);
  ASSERT_TRUE(b->wait_for_streams());
  ASSERT_TRUE(a.wait_for_streams(8));
  a.transport().send({message(MessageType::kHeartbeat, 1, 2, 2)});
  ASSERT_TRUE(b->wait([&] { return !b->received_.empty(); }));
  EXPECT_TRUE(a.transport().active_since(2).has_value());
}

TEST(Transport, AFullQueueDropsAndReports) {
  TestMember a(1);
  ASSERT_TRUE(a.transport().add_peer(2, {"http://127.0.0.1:1"}).ok());
  // A stream that nobody reads.
  RawClient silent(a.port());
  ASSERT_TRUE(silent.send("GET /raft/stream/msgapp/2 HTTP/1.1\r\n" + std::string(kMemberHeaders) +
                          "X-Raft-To: 1\r\n\r\n"));
  EXPECT_THAT(silent.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
  for (uint64_t i = 0; i < 400; ++i) {
    a.transport().send({append_message_at(1, 2, i, 1 << 20)});
  }
  ASSERT_TRUE(a.wait([&] { return a.unreachable_[2] > 0; }));
  EXPECT_GT(a.counters_of(2).sent_failures, 0u);
}

TEST(Transport, WithoutStreamsMessagesGoByPost) {
  TestMember a(1), b(2);
  ASSERT_TRUE(a.hear_from(b));
  a.transport().send({message(MessageType::kVote, 1, 2, 7)});
  ASSERT_TRUE(b.wait([&] { return b.received_.size() == 1; }));
  // The other side has learnt who asks and can answer.
  b.transport().send({message(MessageType::kVoteResp, 2, 1, 8)});
  ASSERT_TRUE(a.wait([&] { return a.received_.size() == 1; }));
  EXPECT_EQ(a.received_[0].index, 8u);
  b.change([&] { b.removed_ids_.insert(1); });
  a.transport().send({message(MessageType::kVote, 1, 2, 9)});
  ASSERT_TRUE(a.wait([&] { return a.removals_ == 1; }));
}

TEST(Transport, WhatWasSentBeforeTheMemberIsKnownStillArrives) {
  TestMember a(1), b(2);
  ASSERT_TRUE(a.hear_from(b));
  constexpr uint64_t kCount = 40;  // Most of them wait in the queue.
  for (uint64_t i = 0; i < kCount; ++i) {
    a.transport().send({message(MessageType::kHeartbeat, 1, 2, i)});
  }
  a.know(b);
  EXPECT_TRUE(b.wait([&] { return b.received_.size() == kCount; }));
  EXPECT_TRUE(a.wait_for_log("stopped HTTP pipelining with remote peer"));
}

TEST(Transport, ARemovedMemberIsTold) {
  TestMember a(1), b(2);
  a.change([&] { a.removed_ids_.insert(2); });
  b.know(a);
  ASSERT_TRUE(b.wait([&] { return b.removals_ == 1; }));
}

TEST(Transport, AnUnknownMemberIsRefusedUntilItIsKnown) {
  TestMember a(1), b(2);
  b.know(a);
  ASSERT_TRUE(a.wait_for_log("failed to find remote peer in cluster"));
  ASSERT_TRUE(a.wait_for_log("added new remote peer"));
  a.know(b);
  ASSERT_TRUE(a.wait_for_streams());
}

TEST(Transport, AMemberOfAnotherClusterIsRefused) {
  TestMember a(1), b(2, 0, 0xc2);
  b.know(a);
  ASSERT_TRUE(a.wait_for_log("request cluster ID mismatch"));
  ASSERT_TRUE(b.wait_for_log("request sent was ignored by remote peer due to cluster ID mismatch"));
}

TEST(Transport, AMemberThatIsRemovedHereIsNoLongerDialled) {
  TestMember a(1), b(2);
  a.know(b);
  b.know(a);
  ASSERT_TRUE(a.wait_for_streams());
  a.transport().remove_peer(2);
  ASSERT_TRUE(a.wait_for_log("removed remote peer"));
  ASSERT_TRUE(b.wait_for_log("lost TCP streaming connection with remote peer", 2));
  EXPECT_FALSE(a.transport().active_since(2).has_value());
}

TEST(Transport, AMemberThatIsAddedAgainHasItsNewAddress) {
  TestMember a(1), b(2);
  const std::string nobody = std::make_unique<TestListener>()->url();
  ASSERT_TRUE(a.transport().add_peer(2, {nobody}).ok());
  b.know(a);
  a.know(b);
  EXPECT_TRUE(a.wait_for_streams());
  EXPECT_TRUE(a.wait_for_log("updated remote peer"));
}

TEST(Transport, HttpsIsAClearError) {
  TestMember a(1);
  ASSERT_TRUE(a.transport().add_peer(2, {"https://127.0.0.1:1"}).ok());
  EXPECT_FALSE(a.transport().add_peer(3, {"nonsense"}).ok());
  HttpClient client;
  HttpCall call;
  call.url = "https://127.0.0.1:1";
  auto result = client.call_and_wait(call);
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.status().message(), HasSubstr("no certificates or CA for TLS with others"));
}

// --- Snapshots ---

class Source : public SnapshotSource {
 public:
  explicit Source(uint64_t size) : size_(size), left_(size) {}
  uint64_t size() const override { return size_; }
  Result<size_t> read(std::span<char> out) override {
    // Whoever reads a snapshot stays behind those who serve.
    const auto process = static_cast<id_t>(::getpid()), thread = static_cast<id_t>(::gettid());
    constexpr int kNicest = 19;
    EXPECT_GE(::getpriority(PRIO_PROCESS, thread),
              std::min(::getpriority(PRIO_PROCESS, process) + 1, kNicest));
    size_t n = std::min<uint64_t>(out.size(), left_);
    for (size_t i = 0; i < n; ++i) out[i] = static_cast<char>((size_ - left_ + i) % 251);
    left_ -= n;
    return n;
  }

 private:
  uint64_t size_, left_;
};

struct Gate {
  std::atomic<bool> open{true};
  std::atomic<uint64_t> bytes{0};
  std::atomic<bool> intact{true};
  std::atomic<bool> finished{false};
  Status write_status;
};

class Sink : public SnapshotSink {
 public:
  explicit Sink(Gate* gate) : gate_(gate) {}
  Status write(std::string_view bytes) override {
    while (!gate_->open) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    for (char c : bytes) {
      if (c != static_cast<char>(gate_->bytes++ % 251)) gate_->intact = false;
    }
    return gate_->write_status;
  }
  Status finish() override {
    gate_->finished = true;
    return Status();
  }

 private:
  Gate* gate_;
};

void take_snapshots(TestMember* member, Gate* gate) {
  member->on_snapshot_ = [gate](Message, uint64_t) -> Result<std::unique_ptr<SnapshotSink>> {
    return std::unique_ptr<SnapshotSink>(std::make_unique<Sink>(gate));
  };
}

TEST(Snapshots, ASlowOneHoldsUpNobody) {
  Gate gate;
  gate.open = false;
  TestMember a(1), b(2);
  take_snapshots(&b, &gate);
  a.know(b);
  b.know(a);
  ASSERT_TRUE(a.wait_for_streams());
  constexpr uint64_t kSize = 24 << 20;
  a.transport().send_snapshot(snapshot_message(1, 2), std::make_unique<Source>(kSize));
  ASSERT_TRUE(b.wait_for_log("receiving database snapshot"));
  for (uint64_t i = 1; i <= 50; ++i) {
    a.transport().send({message(MessageType::kHeartbeat, 1, 2, i)});
    ASSERT_TRUE(b.wait([&] { return b.received_.size() == i; }));
  }
  EXPECT_EQ(gate.bytes, 0u);
  EXPECT_EQ(a.counters_of(2).snapshots_sending, 1u);
  gate.open = true;
  ASSERT_TRUE(a.wait([&] { return a.snapshots_sent_.size() == 1; }));
  EXPECT_TRUE(a.snapshots_sent_[0]);
  EXPECT_TRUE(gate.finished);
  EXPECT_TRUE(gate.intact);
  EXPECT_EQ(gate.bytes, kSize);
  EXPECT_EQ(a.counters_of(2).snapshots_sent, 1u);
  EXPECT_EQ(a.counters_of(2).snapshot_send_seconds.count, 1u);
  EXPECT_EQ(b.counters_of(1).snapshots_receiving, 0u);
}

TEST(Snapshots, AReceiverThatFailsIsReported) {
  Gate gate;
  gate.write_status = internal_error("disk full");
  TestMember a(1), b(2);
  take_snapshots(&b, &gate);
  a.know(b);
  b.know(a);
  ASSERT_TRUE(a.wait_for_streams());
  a.transport().send_snapshot(snapshot_message(1, 2), std::make_unique<Source>(24 << 20));
  ASSERT_TRUE(a.wait([&] { return a.snapshots_sent_.size() == 1; }));
  EXPECT_FALSE(a.snapshots_sent_[0]);
  EXPECT_FALSE(gate.finished);
  a.transport().send_snapshot(snapshot_message(1, 9), std::make_unique<Source>(1));
  ASSERT_TRUE(a.wait([&] { return a.snapshots_sent_.size() == 2; }));
  EXPECT_FALSE(a.snapshots_sent_[1]) << "nobody knows member 9";
}

TEST(Snapshots, RequestsThatAreNoneAreRefused) {
  Gate gate;
  TestMember a(1);
  take_snapshots(&a, &gate);
  const std::string start = "POST /raft/snapshot";
  std::string long_length, vote, good;
  append_big_endian(kSnapshotMessageBytesMax + 1, &long_length);
  Message m = message(MessageType::kVote, 2, 1, 1);
  append_big_endian(message_size(m), &vote);
  append_message(m, &vote);
  EXPECT_THAT(ask(a.port(), start, kMemberHeaders, "xx"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(ask(a.port(), start, kMemberHeaders, long_length), HasSubstr("limit exceeded"));
  EXPECT_THAT(ask(a.port(), start, kMemberHeaders, vote), HasSubstr("wrong raft message type\n"));
  EXPECT_THAT(ask(a.port(), start, "Host: x\r\n", vote), HasSubstr("incompatible version\n"));
  EXPECT_THAT(ask(a.port(), "GET /raft/snapshot", kMemberHeaders), HasSubstr("Allow: POST"));
  m = snapshot_message(2, 1);
  append_big_endian(message_size(m), &good);
  append_message(m, &good);
  // As Go sends it: in chunks, of unknown length.
  RawClient chunked(a.port());
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", good.size());
  chunked.send("POST /raft/snapshot HTTP/1.1\r\n" + std::string(kMemberHeaders) +
               "Transfer-Encoding: chunked\r\n\r\n" + size + good + "\r\n2\r\n" +
               std::string("\0\1", 2) + "\r\n0\r\n\r\n");
  EXPECT_THAT(chunked.read_all(), StartsWith("HTTP/1.1 204"));
  EXPECT_TRUE(gate.finished);
  EXPECT_EQ(gate.bytes, 2u);
}

TEST(Snapshots, HalfAFileIsNotFinished) {
  Gate gate;
  TestMember a(1);
  take_snapshots(&a, &gate);
  std::string good;
  Message m = snapshot_message(2, 1);
  append_big_endian(message_size(m), &good);
  append_message(m, &good);
  {
    RawClient half(a.port());
    half.send("POST /raft/snapshot HTTP/1.1\r\n" + std::string(kMemberHeaders) +
              "Content-Length: 100000\r\n\r\n" + good);
  }
  ASSERT_TRUE(a.wait_for_log("failed to save incoming database snapshot"));
  EXPECT_FALSE(gate.finished);
}

// --- The server ---

TEST(Server, AnswersAsEtcdDoes) {
  TestMember a(1);
  const uint16_t port = a.port();
  const std::string stream = "GET /raft/stream/message/2";
  EXPECT_THAT(ask(port, stream, "Host: x\r\n"), HasSubstr("\r\n\r\nincompatible version\n"));
  std::string other(kMemberHeaders);
  other.replace(other.find("c1"), 2, "c2");
  std::string refused = ask(port, stream, other);
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 412 Precondition Failed\r\n"));
  EXPECT_THAT(refused, HasSubstr("X-Etcd-Cluster-ID: c1\r\n"));
  EXPECT_THAT(refused, HasSubstr("X-Server-Version: 3.7.1\r\n"));
  EXPECT_THAT(refused, HasSubstr("\r\n\r\ncluster ID mismatch\n"));
  EXPECT_THAT(ask(port, "GET /raft/stream/else/2", kMemberHeaders), HasSubstr("\ninvalid path\n"));
  EXPECT_THAT(ask(port, "GET /raft/stream/message/xyz", kMemberHeaders),
              HasSubstr("\ninvalid from\n"));
  EXPECT_THAT(ask(port, stream, kMemberHeaders), HasSubstr("\nerror sender not found\n"));
  ASSERT_TRUE(a.transport().add_peer(2, {"http://127.0.0.1:1"}).ok());
  EXPECT_THAT(ask(port, stream, std::string(kMemberHeaders) + "X-Raft-To: 3\r\n"),
              HasSubstr("\nto field mismatch\n"));
  EXPECT_THAT(ask(port, "POST /raft/stream/message/2", kMemberHeaders), HasSubstr("Allow: GET"));
  EXPECT_THAT(ask(port, "GET /raft", kMemberHeaders), StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(ask(port, "POST /raft", kMemberHeaders, "\x08"),
              HasSubstr("error unmarshalling raft message\n"));
  EXPECT_THAT(ask(port, "GET /raft/probing", "Host: x\r\n"),
              HasSubstr("{\"OK\":true,\"Now\":\"20"));
  EXPECT_THAT(ask(port, "GET /raft/else", "Host: x\r\n"), StartsWith("HTTP/1.1 404"));
}

TEST(Server, HandsOtherPathsOnAndTakesPipelinedRequests) {
  TestMember a(1);
  std::vector<std::thread> answering;
  a.on_request_ = [&](HttpRequest request, Hooks::Respond respond) {
    answering.emplace_back([request = std::move(request), respond = std::move(respond)] {
      HttpResponse response;
      response.body = request.method + " " + request.path + "?" + request.query + " " +
                      request.body + std::string(header_value(request.headers, "authorization"));
      respond(std::move(response));
    });
  };
  RawClient client(a.port());
  client.send(
      "GET /members?x=1 HTTP/1.1\r\nHost: x\r\nAuthorization: token\r\n\r\n"
      "POST /leases HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
      "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string all = client.read_all();
  const size_t first = all.find("GET /members?x=1 token");
  const size_t second = all.find("POST /leases? abc");
  const size_t third = all.find("GET /last? ");
  EXPECT_TRUE(first < second && second < third && third != std::string::npos) << all;
  for (auto& thread : answering) thread.join();
}

TEST(Server, ADroppedAnswerEndsTheConnection) {
  TestMember a(1);
  a.on_request_ = [](const HttpRequest&, const Hooks::Respond&) {};
  EXPECT_EQ(ask(a.port(), "GET /members", "Host: x\r\n"), "");
}

TEST(Server, HostileInputIsBounded) {
  TestMember a(1);
  const uint16_t port = a.port();
  RawClient garbage(port);
  garbage.send(std::string(100, '\xff') + "\r\n\r\n");
  EXPECT_THAT(garbage.read_all(), StartsWith("HTTP/1.1 400"));
  RawClient huge_head(port);
  for (int i = 0; i < 40 && huge_head.send(i == 0 ? "GET / HTTP/1.1\r\n" : ""); ++i) {
    if (!huge_head.send("X-A: " + std::string(4000, 'a') + "\r\n")) break;
  }
  EXPECT_THAT(huge_head.read_all(), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(ask(port, "POST /leases", "Host: x\r\n", std::string(70'000, 'a')), HasSubstr("413"));
  // A body without an end.
  RawClient endless(port);
  endless.send("POST /leases HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 200 && endless.send("1000\r\n" + std::string(4096, 'a') + "\r\n"); ++i) {
  }
  EXPECT_THAT(endless.read_all(), HasSubstr("413"));
  RawClient huge_length(port);
  huge_length.send("POST /raft HTTP/1.1\r\n" + std::string(kMemberHeaders) +
                   "Content-Length: 99999999999\r\n\r\n");
  EXPECT_THAT(huge_length.read_all(), HasSubstr("413"));
  // One that says nothing more costs its connection only.
  RawClient slow(port);
  slow.send("GET /mem");
  EXPECT_EQ(slow.read_all(), "");
}

TEST(Client, GetsAnswersAndKeepsItsLimits) {
  TestMember a(1);
  a.on_request_ = [](HttpRequest request, Hooks::Respond respond) {
    HttpResponse response;
    response.headers = {{"X-Etcd-Cluster-ID", "c1"}};
    response.body = std::string(request.path == "/big" ? 5000 : 2, 'b');
    respond(std::move(response));
  };
  HttpClient client;
  HttpCall call;
  call.url = a.url();
  call.path = "/members";
  auto result = client.call_and_wait(call);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result.value().status, 200);
  EXPECT_EQ(header_value(result.value().headers, "x-etcd-cluster-id"), "c1");
  EXPECT_EQ(result.value().body, "bb");
  call.path = "/big";
  call.body_bytes_max = 4000;
  EXPECT_THAT(client.call_and_wait(call).status().message(), HasSubstr("larger than 4000 bytes"));
  TestListener silent;
  call.url = silent.url();
  call.time_limit = std::chrono::milliseconds(50);
  // On a busy machine the time is up before the connection is there.
  EXPECT_THAT(client.call_and_wait(call).status().message(), EndsWith("i/o timeout"));
  call.time_limit = kTestPatience;
  call.url = "http://127.0.0.1:1";
  EXPECT_THAT(client.call_and_wait(call).status().message(), HasSubstr("Connection refused"));
  call.url = "http://127.0.0.1:65537";
  EXPECT_THAT(client.call_and_wait(call).status().message(),
              EndsWith("127.0.0.1:65537: invalid port"));
}

// The address sanitizer finds what is touched too late.
TEST(Client, IsGoneBeforeAHandshakeEnds) {
  for (const bool by_stop : {false, true}) {
    TestListener listener;
    tls::Relay relay("relay", 1);
    auto context = tls::Context::create({}, tls::Side::kClient, {});
    ASSERT_TRUE(context.ok()) << context.status().message();
    std::promise<Status> ended;
    int member = -1;
    {
      HttpClient client(tls::Dialer{&relay, *context});
      HttpCall call;
      call.url = "https://127.0.0.1:" + std::to_string(listener.port());
      call.time_limit = kTestPatience;
      client.call(call, [&](const Result<HttpResponse>& answer) {
        ended.set_value(answer.ok() ? Status() : answer.status());
      });
      while ((member = listener.accept()) < 0) {
      }
      char hello;
      ASSERT_EQ(::recv(member, &hello, 1, 0), 1);
    }
    EXPECT_EQ(ended.get_future().get().code(), StatusCode::kStopped);
    if (!by_stop) {
      ::close(member);
      // A handshake that fails behind it.
      int pair[2];
      ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
      ::close(pair[1]);
      std::promise<void> failed;
      relay.connect(pair[0], *context, "nobody", [&](const tls::Outcome&) { failed.set_value(); });
      failed.get_future().wait();
    }
    relay.stop();
    if (by_stop) ::close(member);
  }
}

TEST(Client, ComesFromTheAddressItIsGiven) {
  TestListener listener;
  HttpClient client({.local_address = "127.0.0.2"});
  HttpCall call;
  call.url = listener.url();
  client.call(call, [](const Result<HttpResponse>&) {});
  int fd = -1;
  while (fd < 0) fd = listener.accept();
  sockaddr_in from{};
  socklen_t size = sizeof from;
  ASSERT_EQ(::getpeername(fd, reinterpret_cast<sockaddr*>(&from), &size), 0);
  EXPECT_EQ(ntohl(from.sin_addr.s_addr), 0x7f000002u);
  ::close(fd);
}

}  // namespace
}  // namespace mortise::peer
