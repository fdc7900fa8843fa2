// Methods, pages, connections and the transport's life. Streams are in http_stream_test.cc, hostile
// clients in hostile_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/transport_http/test_server.h"

namespace mortise::transport_http {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

class TransportHttp : public testing::Test {
 protected:
  TransportHttp() {
    host_.add_unary("/v3/echo", [](CallPtr call) { call->answer(call->request); });
    host_.add_unary("/v3/late", [](CallPtr call) {
      std::thread([call] { call->answer(call->request); }).detach();
    });
    host_.add_unary("/v3/fail", [](CallPtr call) {
      call->answer(std::atoi(call->request.c_str()), "it \"fails\"\n");
    });
    const auto hold = [this](CallPtr call) {
      std::lock_guard lock(mutex_);
      held_.push_back(std::move(call));
      changed_.notify_all();
    };
    host_.add_unary("/v3/held", hold, MORTISE_METHOD_CANCELLABLE);
    host_.add_unary("/v3/unwatched", hold);
    host_.add_stream("/v3/stream", MORTISE_BIDI_STREAM, [](StreamPtr) {});
    host_.page = [](std::string_view method, std::string_view path, std::string_view query,
                    std::string_view body) {
      FakePage page;
      if (path == "/missing") return FakePage{404, "text/plain; charset=utf-8", "", "none\n"};
      if (path == "/only-get" && method != "GET") {
        return FakePage{405, "text/plain; charset=utf-8", "GET", "no\n"};
      }
      page.body = std::string(method) + " " + std::string(path) + "?" + std::string(query) + " " +
                  std::string(body);
      return page;
    };
  }
  CallPtr wait_held() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, seconds(60), [&] { return !held_.empty(); }));
    CallPtr call = held_.front();
    held_.erase(held_.begin());
    return call;
  }
  FakeHost host_;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<CallPtr> held_;
};

TEST_F(TransportHttp, AnswersMethodsAsEtcdDoes) {
  TestServer server(host_);
  Client client(server.port());
  for (const char* path : {"/v3/echo", "/v3/late", "/v3beta/echo", "/v3/ec%68o", "/v3/echo?x=1"}) {
    client.post(path, R"({"a":1})");
    const Answer answer = client.read_answer();
    EXPECT_THAT(answer.head,
                StartsWith("HTTP/1.1 200 OK\r\n"
                           "Access-Control-Allow-Headers: accept, content-type, authorization\r\n"
                           "Access-Control-Allow-Methods: POST, GET, OPTIONS, PUT, DELETE\r\n"
                           "Access-Control-Allow-Origin: *\r\n"
                           "Content-Type: application/json\r\n"
                           "Grpc-Metadata-Content-Type: application/grpc\r\n"
                           "Date: "))
        << path;
    EXPECT_EQ(answer.field("Content-Length"), "7");
    EXPECT_EQ(answer.field("Connection"), "");
    EXPECT_EQ(answer.body, R"({"a":1})");
  }
}

TEST_F(TransportHttp, EchoesBodiesOfAllSizesInOneOrManyPieces) {
  TestServer server(host_);
  Client client(server.port());
  for (size_t size : {0, 1, 1023, 1024, 1025, 4096, 70'000, 1'000'000}) {
    std::string body(size, 'x');
    for (size_t i = 0; i < size; ++i) body[i] = static_cast<char>('!' + (i * 31 + i / 251) % 80);
    client.post("/v3/echo", body);
    EXPECT_TRUE(client.read_answer().body == body) << size;
    client.send("POST /v3/late HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < size; at += 50'000) {
      const std::string piece = body.substr(at, 50'000);
      char head[32];
      snprintf(head, sizeof(head), "%zX;ext=1\r\n", piece.size());
      client.send(head + piece + "\r\n");
    }
    client.send("0\r\nTrailer: x\r\n\r\n");
    EXPECT_TRUE(client.read_answer().body == body) << size;
  }
}

TEST_F(TransportHttp, ErrorsHaveTheStatusOfTheirCode) {
  const struct {
    int code;
    int status;
  } kCodes[] = {{1, 499},  {2, 500},  {3, 400},  {4, 504},  {5, 404},   {6, 409},
                {7, 403},  {8, 429},  {9, 400},  {10, 409}, {11, 400},  {12, 501},
                {13, 500}, {14, 503}, {15, 500}, {16, 401}, {4711, 500}};
  TestServer server(host_);
  Client client(server.port());
  for (const auto& test : kCodes) {
    client.post("/v3/fail", std::to_string(test.code));
    const Answer answer = client.read_answer();
    EXPECT_EQ(answer.status, test.status) << test.code;
    EXPECT_EQ(answer.body,
              "{\"code\":" + std::to_string(test.code) + R"(,"message":"it \"fails\"\n"})");
    EXPECT_EQ(answer.field("Content-Type"), "application/json");
    EXPECT_EQ(answer.field("Grpc-Metadata-Content-Type"), "");
    EXPECT_EQ(answer.field("Www-Authenticate"), test.code == 16 ? "it \"fails\" " : "");
  }
}

TEST_F(TransportHttp, SaysWhatIsNotServed) {
  TestServer server(host_);
  Client client(server.port());
  const std::string not_allowed = R"({"code":12,"message":"Method Not Allowed"})";
  const std::string not_found = R"({"code":5,"message":"Not Found"})";
  client.get("/v3/echo");
  Answer answer = client.read_answer();
  EXPECT_EQ(answer.status, 501);
  EXPECT_EQ(answer.body, not_allowed);
  client.send("HEAD /v3/echo HTTP/1.1\r\nHost: h\r\n\r\n");
  answer = client.read_answer(true);
  EXPECT_EQ(answer.status, 501);
  EXPECT_EQ(answer.field("Content-Length"), std::to_string(not_allowed.size()));
  for (const char* path : {"/v3/none", "/v3/echo/", "/v3/"}) {
    client.post(path, "{}");
    answer = client.read_answer();
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(answer.body, not_found);
  }
  client.get("/v3/stream");
  EXPECT_EQ(client.read_answer().body, not_allowed);
  client.post("/v3/echo", "{bad}");
  answer = client.read_answer();
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.body, R"({"code":3,"message":"invalid \"bad\" value"})");
}

TEST_F(TransportHttp, WithoutJsonMethodsAreNotServed) {
  host_.offers_json = false;
  TestServer server(host_);
  Client client(server.port());
  client.post("/v3/echo", "{}");
  EXPECT_EQ(client.read_answer().status, 501);
  client.get("/page");
  EXPECT_EQ(client.read_answer().body, "GET /page? ");
}

TEST_F(TransportHttp, TellsTheHostWhoCalls) {
  FakeCaller seen;
  host_.add_unary("/v3/who", [&](CallPtr call) {
    seen = call->caller;
    call->answer("");
  });
  TestServer server(host_, {.is_tls = true, .common_name = "alice"});
  Client client(server.port());
  client.post("/v3/who", "", "Authorization: Bearer tok.1\r\n");
  client.read_answer();
  EXPECT_EQ(seen.token, "tok.1");
  EXPECT_EQ(seen.common_name, "alice");
  EXPECT_THAT(seen.remote, StartsWith("127.0.0.1:"));
  EXPECT_EQ(seen.flags, uint32_t{MORTISE_CALLER_VIA_GATEWAY});
  EXPECT_EQ(seen.timeout_ns, 0u);
  client.post("/v3/who", "",
              "Authorization: a\r\nGrpc-Metadata-Token: b\r\nGrpc-Metadata-hasleader: true\r\n"
              "grpc-metadata-client-api-version: 3.7\r\nGrpc-Timeout: 5S\r\n");
  client.read_answer();
  EXPECT_EQ(seen.token, "b");
  EXPECT_EQ(seen.flags, uint32_t{MORTISE_CALLER_VIA_GATEWAY | MORTISE_CALLER_REQUIRE_LEADER});
  EXPECT_EQ(seen.client_api_version, "3.7");
  EXPECT_EQ(seen.timeout_ns, 5'000'000'000u);
  for (const char* field : {"Authorization:\r\n", "Grpc-Metadata-Token:\r\n"}) {
    client.post("/v3/who", "", field);
    client.read_answer();
    EXPECT_EQ(seen.token, " ") << "good for nobody";
  }
  client.post("/v3/who", "", "Grpc-Timeout: 5x\r\n");
  EXPECT_EQ(client.read_answer().body, R"({"code":3,"message":"invalid grpc-timeout: 5x"})");
}

TEST_F(TransportHttp, PipelinedAnswersComeInOrder) {
  TestServer server(host_);
  Client client(server.port());
  std::string requests;
  for (int i = 0; i < 200; ++i) {
    const std::string body = std::to_string(i);
    requests += std::string("POST /v3/") + (i % 3 == 0 ? "late" : "echo") +
                " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body;
  }
  std::thread sender([&] { client.send(requests); });
  for (int i = 0; i < 200; ++i) EXPECT_EQ(client.read_answer().body, std::to_string(i));
  sender.join();
}

// Writes must not overtake each other: the second is not begun before the first is answered.
TEST_F(TransportHttp, OneRequestOfAConnectionAtATime) {
  TestServer server(host_);
  Client client(server.port());
  client.post("/v3/unwatched", "1");
  client.post("/v3/unwatched", "2");
  CallPtr call = wait_held();
  EXPECT_EQ(call->request, "1");
  Client other(server.port());
  other.post("/v3/echo", "x");  // The loop has had time to read the second.
  EXPECT_EQ(other.read_answer().body, "x");
  call->answer("one");
  EXPECT_EQ(client.read_answer().body, "one");
  wait_held()->answer("two");
  EXPECT_EQ(client.read_answer().body, "two");
}

TEST_F(TransportHttp, Http10AndCloseAreKept) {
  TestServer server(host_);
  {
    Client client(server.port());
    client.send("POST /v3/echo HTTP/1.0\r\nContent-Length: 1\r\n\r\nx");
    const std::string all = client.read_to_end();
    EXPECT_THAT(all, StartsWith("HTTP/1.0 200 OK\r\n"));
    EXPECT_TRUE(all.ends_with("\r\n\r\nx"));
  }
  {
    Client client(server.port());
    client.send("POST /v3/echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx");
    EXPECT_EQ(client.read_answer().field("Connection"), "keep-alive");
    client.post("/v3/echo", "y", "Connection: close\r\n");
    const Answer answer = client.read_answer();
    EXPECT_EQ(answer.field("Connection"), "close");
    EXPECT_EQ(answer.body, "y");
    EXPECT_EQ(client.read_to_end(), "");
  }
  Client client(server.port());
  client.post("/v3/late", "z");
  client.shutdown_writes();
  EXPECT_EQ(client.read_answer().body, "z");
  EXPECT_EQ(client.read_to_end(), "");
}

TEST_F(TransportHttp, ContinuesBeforeTheBody) {
  TestServer server(host_);
  Client client(server.port());
  const std::string fields = "Host: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  client.send("POST /v3/echo HTTP/1.1\r\n" + fields);
  EXPECT_EQ(client.read_answer().status, 100);
  client.send("ok");
  EXPECT_EQ(client.read_answer().body, "ok");
  // A refusal needs no body.
  client.send("POST /v3/none HTTP/1.1\r\n" + fields);
  EXPECT_EQ(client.read_answer().status, 404);
  EXPECT_EQ(client.read_to_end(), "");
}

TEST_F(TransportHttp, TrailersAreAnnouncedToThoseWhoTakeThem) {
  TestServer server(host_);
  Client client(server.port());
  client.post("/v3/echo", "x", "TE: trailers\r\n");
  Answer answer = client.read_answer();
  EXPECT_EQ(answer.field("Transfer-Encoding"), "chunked");
  EXPECT_EQ(answer.field("Trailer"), "");
  EXPECT_EQ(answer.body, "x");
  client.post("/v3/fail", "5", "TE: trailers\r\n");
  answer = client.read_answer();
  EXPECT_EQ(answer.field("Trailer"), "Grpc-Trailer-Content-Type");
  EXPECT_THAT(answer.body, StartsWith("{\"code\":5"));
}

TEST_F(TransportHttp, PagesAreTheHosts) {
  TestServer server(host_);
  Client client(server.port());
  client.get("/a%20b?c=%64");
  Answer answer = client.read_answer();
  EXPECT_EQ(answer.body, "GET /a b?c=%64 ");
  EXPECT_EQ(answer.field("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_EQ(answer.field("X-Content-Type-Options"), "nosniff");
  client.send("PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_EQ(client.read_answer().body, "PUT /p? abc");
  client.send("HEAD /p HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.read_answer(true).field("Content-Length"), "9");
  client.send("DELETE /only-get HTTP/1.1\r\nHost: h\r\n\r\n");
  answer = client.read_answer();
  EXPECT_EQ(answer.status, 405);
  EXPECT_EQ(answer.field("Allow"), "GET");
  client.get("/missing");
  answer = client.read_answer();
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.field("X-Content-Type-Options"), "nosniff");
  client.get("http://other:1/absolute");
  EXPECT_EQ(client.read_answer().body, "GET /absolute? ");
  client.get("/bad%zz");
  EXPECT_EQ(client.read_answer().status, 400);
}

TEST_F(TransportHttp, PathsInMoreWordsAreRedirected) {
  TestServer server(host_);
  Client client(server.port());
  client.get("//page?a=<b>&c='d'");
  Answer answer = client.read_answer();
  EXPECT_EQ(answer.status, 307);
  EXPECT_EQ(answer.field("Location"), "/page?a=%3Cb%3E&c='d'");
  EXPECT_EQ(answer.field("Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(answer.body,
            "<a href=\"/page?a=%3Cb%3E&amp;c=&#39;d&#39;\">Temporary Redirect</a>.\n\n");
  client.post("/v3//echo", "{}");
  answer = client.read_answer();
  EXPECT_EQ(answer.status, 307);
  EXPECT_EQ(answer.field("Location"), "/v3/echo");
  EXPECT_EQ(answer.body, "");
  client.get("/v3");
  EXPECT_EQ(client.read_answer().field("Location"), "/v3/");
  // Of no other server.
  for (const char* path : {"//other.org/..//x", "///x", "/\\x/../x", "//\\other.org/../x"}) {
    client.get(path);
    EXPECT_EQ(client.read_answer().field("Location"), "/x") << path;
  }
  client.get("//\\other.org");
  EXPECT_EQ(client.read_answer().field("Location"), "/%5Cother.org");
  client.get("/.well-known");
  EXPECT_EQ(client.read_answer().body, "GET /.well-known? ");
}

TEST_F(TransportHttp, LargePagesAreCompressedForWhoTakesThat) {
  const std::string large(100'000, 'x');
  host_.page = [&](std::string_view, std::string_view path, std::string_view, std::string_view) {
    return FakePage{200, "text/plain", "", path == "/large" ? large : "small"};
  };
  TestServer server(host_);
  Client client(server.port());
  client.get("/large", "Accept-Encoding: deflate, gzip;q=0.5\r\n");
  const Answer answer = client.read_answer();
  EXPECT_EQ(answer.field("Content-Encoding"), "gzip");
  EXPECT_THAT(answer.body, StartsWith("\x1f\x8b\x08"));
  EXPECT_LT(answer.body.size(), 1000u);
  for (const char* field : {"", "Accept-Encoding: gzip;q=0\r\n", "Accept-Encoding: zstd\r\n"}) {
    client.get("/large", field);
    const Answer plain = client.read_answer();
    EXPECT_EQ(plain.field("Content-Encoding"), "");
    EXPECT_TRUE(plain.body == large);
  }
  client.get("/small", "Accept-Encoding: gzip\r\n");
  EXPECT_EQ(client.read_answer().body, "small");
}

TEST_F(TransportHttp, ListenersServeWhatTheyAreFor) {
  {
    TestServer pages(host_, {.serves = MORTISE_SERVES_PAGES});
    Client client(pages.port());
    client.post("/v3/echo", "x");
    EXPECT_EQ(client.read_answer().body, "POST /v3/echo? x");
  }
  FakeHost host;
  host.page = host_.page;
  host.add_unary("/v3/echo", [](CallPtr call) { call->answer("x"); });
  TestServer calls(host, {.serves = MORTISE_SERVES_RPC});
  Client client(calls.port());
  client.get("/page");
  EXPECT_EQ(client.read_answer().status, 404);
  client.post("/v3/echo", "x");
  EXPECT_EQ(client.read_answer().body, "x");
}

TEST_F(TransportHttp, TheStatusPageLoadsNothingFromElsewhere) {
  {
    TestServer server(host_);
    Client client(server.port());
    std::string all;
    for (const char* path : {"/ui", "/ui/", "/ui/ui.css", "/ui/ui.js"}) {
      client.get(path);
      const Answer answer = client.read_answer();
      EXPECT_EQ(answer.status, 200) << path;
      EXPECT_THAT(answer.field("Content-Security-Policy"), StartsWith("default-src 'none'; "));
      EXPECT_THAT(answer.field("Content-Type"), HasSubstr("charset=utf-8"));
      all += answer.body;
    }
    // The name of a namespace of SVG is no address that is loaded.
    EXPECT_EQ(all.find("https://"), std::string::npos);
    EXPECT_EQ(all.find("http://"), all.find("http://www.w3.org/2000/svg"));
    EXPECT_EQ(all.find("innerHTML"), std::string::npos);
    client.send("HEAD /ui HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(client.read_answer(true).status, 200);
    client.post("/ui", "x");
    const Answer answer = client.read_answer();
    EXPECT_EQ(answer.status, 405);
    EXPECT_EQ(answer.field("Allow"), "GET, HEAD");
    client.get("/ui/info.json");
    EXPECT_EQ(client.read_answer().body, "GET /ui/info.json? ");
  }
  FakeHost host;
  host.page = host_.page;
  TestServer server(host, {.config_json = R"({"ui":false})"});
  Client client(server.port());
  client.get("/ui");
  EXPECT_EQ(client.read_answer().body, "GET /ui? ");
}

TEST_F(TransportHttp, TheGatewayCanBeOff) {
  TestServer server(host_, {.config_json = R"({"gateway":false})"});
  Client client(server.port());
  client.post("/v3/echo", "x");
  EXPECT_EQ(client.read_answer().body, "POST /v3/echo? x");
}

TEST_F(TransportHttp, OriginsAndNames) {
  {
    TestServer server(host_, {.config_json = R"({"cors":"http://a,http://b"})"});
    Client client(server.port());
    client.send("OPTIONS /v3/echo HTTP/1.1\r\nHost: h\r\nOrigin: http://b\r\n\r\n");
    Answer answer = client.read_answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.field("Access-Control-Allow-Origin"), "http://b");
    EXPECT_EQ(answer.field("Content-Length"), "0");
    client.post("/v3/echo", "x", "Origin: http://c\r\n");
    answer = client.read_answer();
    EXPECT_EQ(answer.field("Access-Control-Allow-Origin"), "");
    EXPECT_EQ(answer.body, "x");
  }
  for (const bool tls : {false, true}) {
    FakeHost host;
    host.page = host_.page;
    TestServer server(host, {.config_json = R"({"host_whitelist":"good,::1"})", .is_tls = tls});
    Client client(server.port());
    for (const char* name : {"good", "good:123", "[::1]:2379"}) {
      client.send("GET / HTTP/1.1\r\nHost: " + std::string(name) + "\r\n\r\n");
      EXPECT_EQ(client.read_answer().status, 200) << name;
    }
    client.send("GET http://evil/ HTTP/1.1\r\nHost: good\r\n\r\n");
    const Answer answer = client.read_answer();
    EXPECT_EQ(answer.status, tls ? 200 : 421);
    if (!tls) {
      EXPECT_THAT(answer.body, HasSubstr("--host-whitelist \"evil\""));
    }
    EXPECT_EQ(host.warnings, tls ? 0 : 1);
  }
}

TEST_F(TransportHttp, CallsEndWithTheirTime) {
  TestServer server(host_);
  Client client(server.port());
  client.post("/v3/held", "x", "Grpc-Timeout: 20m\r\n");
  const CallPtr call = wait_held();
  const Answer answer = client.read_answer();
  EXPECT_EQ(answer.status, 504);
  EXPECT_EQ(answer.body, R"({"code":4,"message":"context deadline exceeded"})");
  EXPECT_TRUE(call->wait_cancelled());
  client.post("/v3/echo", "y");
  EXPECT_EQ(client.read_answer().body, "y");
  call->answer("late");
}

// Nothing but the call needs the connection then, as nothing is read.
TEST_F(TransportHttp, CallsThatNobodyWatchesEndWithTheirTime) {
  TestServer server(host_);
  Client client(server.port());
  client.post("/v3/unwatched", "x", "Grpc-Timeout: 20m\r\n");
  const CallPtr call = wait_held();
  EXPECT_EQ(client.read_answer().status, 504);
  client.post("/v3/echo", "y");
  EXPECT_EQ(client.read_answer().body, "y");
  call->answer("late");
}

TEST_F(TransportHttp, ClientsThatLeaveCancel) {
  TestServer server(host_);
  for (const bool politely : {true, false}) {
    Client client(server.port());
    client.post("/v3/held", "x");
    const CallPtr call = wait_held();
    politely ? client.shutdown_writes() : client.reset();
    EXPECT_TRUE(call->wait_cancelled());
    call->answer(1, "context canceled");
  }
  Client client(server.port());
  client.post("/v3/unwatched", "x");
  const CallPtr call = wait_held();
  client.reset();
  call->answer("nobody hears it");
}

// etcd's gateway is one client of its own server, so its calls share the streams of one connection.
TEST_F(TransportHttp, CallsBeyondTheStreamsOfOneConnectionWait) {
  host_.rpc.concurrent_streams_max = 1;
  TestServer server(host_);
  Client first(server.port());
  first.post("/v3/held", "1");
  const CallPtr call = wait_held();
  Client second(server.port());
  second.post("/v3/echo", "2", "Grpc-Timeout: 20m\r\n");
  EXPECT_EQ(second.read_answer().status, 504);
  Client gone(server.port());
  gone.post("/v3/echo", "3");
  Client third(server.port());
  third.post("/v3/echo", "4");
  gone.reset();
  call->answer("one");
  EXPECT_EQ(first.read_answer().body, "one");
  EXPECT_EQ(third.read_answer().body, "4");
}

TEST_F(TransportHttp, BatchesOfAnswersLeaveAtTheirEnd) {
  TestServer server(host_);
  Client a(server.port());
  Client b(server.port());
  a.post("/v3/unwatched", "a");
  const CallPtr call_a = wait_held();
  b.post("/v3/unwatched", "b");
  const CallPtr call_b = wait_held();
  transport_table().answers_begin(server.transport());
  call_a->answer("A");
  call_b->answer("B");
  transport_table().answers_end(server.transport());
  EXPECT_EQ(a.read_answer().body, "A");
  EXPECT_EQ(b.read_answer().body, "B");
}

TEST_F(TransportHttp, DrainEndsConnectionsGracefully) {
  TestServer server(host_);
  Client idle(server.port());
  idle.post("/v3/echo", "x");
  EXPECT_EQ(idle.read_answer().body, "x");
  Client busy(server.port());
  busy.post("/v3/unwatched", "y");
  const CallPtr call = wait_held();
  Client half(server.port());
  half.send("POST /v3/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
  for (int i = 0; i < 2; ++i) {  // The loop has seen what came before.
    Client other(server.port());
    other.post("/v3/echo", "z");
    EXPECT_EQ(other.read_answer().body, "z");
  }
  server.drain(seconds(60));
  EXPECT_EQ(idle.read_to_end(), "");
  half.send("b");
  call->answer("done");
  const Answer answer = busy.read_answer();
  EXPECT_EQ(answer.body, "done");
  EXPECT_EQ(answer.field("Connection"), "close");
  EXPECT_EQ(busy.read_to_end(), "");
  EXPECT_EQ(half.read_answer().body, "ab");
  EXPECT_TRUE(host_.wait_drained());
}

TEST_F(TransportHttp, DrainGivesUpWhatTakesTooLong) {
  TestServer server(host_);
  Client client(server.port());
  client.post("/v3/held", "x");
  const CallPtr call = wait_held();
  server.drain(std::chrono::milliseconds(10));
  EXPECT_TRUE(call->wait_cancelled());
  EXPECT_EQ(client.read_to_end(), "");
  call->answer(1, "context canceled");
  EXPECT_TRUE(host_.wait_drained());
}

TEST(TransportHttpOptions, BadOnesAreNamed) {
  const std::pair<const char*, const char*> kTests[] = {
      {R"({"thread":1})", "unknown option \"thread\""},
      {R"({"threads":0})", "option \"threads\" is 0, allowed are 1 to 64"},
      {R"({"cors":1})", "option \"cors\" is not a string"},
      {R"({"gateway":"maybe"})", "option \"gateway\" is neither true nor false"},
      {R"({"max_header":"x"})", "option \"max_header\" is not a size such as"},
  };
  FakeHost host;
  for (const auto& [json, message] : kTests) {
    mortise_transport* transport = nullptr;
    mortise_error error{};
    error.struct_size = sizeof(error);
    EXPECT_EQ(transport_table().create(host.host(), sdk::bytes(json), &transport, &error),
              MORTISE_E_INVALID);
    EXPECT_THAT(error.message, StartsWith(message));
    EXPECT_EQ(transport, nullptr);
  }
}

}  // namespace
}  // namespace mortise::transport_http
