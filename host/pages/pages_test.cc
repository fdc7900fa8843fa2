#include "host/pages/pages.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace mortise::pages {
namespace {

// A healthy member, whose linearizable reads are answered when the test says so.
class PagesTest : public testing::Test {
 protected:
  PagesTest() {
    Source source;
    source.versions = [this] { return versions_; };
    source.alarms = [this] { return alarms_; };
    source.has_leader = [this] { return has_leader_; };
    source.is_learner = [this] { return is_learner_; };
    source.read = [this] { return read_; };
    source.when_linearizable = [this](std::function<void(const RpcStatus&)> done) {
      if (holds_reads_) {
        held_reads_.push_back(std::move(done));
      } else {
        done(linearizable_);
      }
    };
    source.variables = [] { return std::string("{\"cmdline\":[]}"); };
    source.openapi = [] { return std::string("{\"openapi\":\"3.0.3\"}"); };
    source.info = [] { return std::string("{\"plugins\":[]}"); };
    source.log_level = [this] { return level_; };
    source.set_log_level = [this](std::string_view level) -> RpcStatus {
      if (level == "denied") return RpcStatus(RpcCode::kPermissionDenied, "not here");
      if (level != "DEBUG") return RpcStatus(RpcCode::kInvalidArgument, "Invalid log level");
      level_ = "debug";
      return RpcStatus();
    };
    source.log = [this](std::string_view level, std::string_view, std::string_view path,
                        std::string_view) {
      logged_.push_back(std::string(level) + " " + std::string(path));
    };
    source.metrics_listeners = {"http://localhost:2381"};
    pages_ = std::make_unique<Pages>(std::move(source), &registry_);
  }

  Page get(std::string_view target, std::string_view method = "GET", std::string_view body = "",
           std::string_view listener = "http://localhost:2379") {
    const size_t mark = std::min(target.find('?'), target.size());
    const Request request{method, target.substr(0, mark),
                          target.substr(std::min(mark + 1, target.size())), body, listener};
    Page answered;
    answers_ = 0;
    pages_->handle(request, [&](Page page) {
      ++answers_;
      answered = std::move(page);
    });
    EXPECT_EQ(answers_, 1) << target;
    return answered;
  }
  std::string body(std::string_view target) { return get(target).body; }
  std::string metrics() {
    std::string text;
    registry_.write(text);
    return text;
  }

  Versions versions_{"3.7.1", "3.7.0", "3.7.0"};
  std::vector<std::string> alarms_;
  bool has_leader_ = true;
  bool is_learner_ = false;
  bool holds_reads_ = false;
  RpcStatus read_, linearizable_;
  std::vector<std::function<void(const RpcStatus&)>> held_reads_;
  std::string level_ = "info";
  std::vector<std::string> logged_;
  loader::MetricsRegistry registry_;
  std::unique_ptr<Pages> pages_;
  int answers_ = 0;
};

TEST_F(PagesTest, TellsVersions) {
  Page page = get("/version");
  EXPECT_EQ(page.status, 200u);
  EXPECT_EQ(page.content_type, "application/json");
  EXPECT_EQ(page.body, R"({"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"})");
  versions_ = {"3.7.1", "", ""};
  EXPECT_EQ(body("/version"),
            R"({"etcdserver":"3.7.1","etcdcluster":"not_decided","storage":"unknown"})");
}

TEST_F(PagesTest, PagesThatAreNotThereAreNotFound) {
  for (const char* target : {"/", "/x", "/version/", "/health/", "/livez/", "/readyz/x", "/livezx",
                             "/livez/non_learner", "/readyz/?exclude=x", "/metrics/"}) {
    Page page = get(target);
    EXPECT_EQ(page.status, 404u) << target;
    EXPECT_EQ(page.body, "404 page not found\n");
    EXPECT_EQ(page.content_type, "text/plain; charset=utf-8");
  }
}

TEST_F(PagesTest, OtherMethodsAreRefusedWithTheOneThatIsAllowed) {
  for (const char* target :
       {"/version", "/health", "/livez", "/readyz/non_learner", "/debug/vars", "/ui/info.json"}) {
    for (const char* method : {"POST", "HEAD", "PUT"}) {
      Page page = get(target, method);
      EXPECT_EQ(page.status, 405u) << method << " " << target;
      EXPECT_EQ(page.allow, "GET");
      EXPECT_EQ(page.body, "Method Not Allowed\n");
    }
  }
  EXPECT_EQ(get("/metrics", "POST").status, 200u);
}

TEST_F(PagesTest, ListenersForMetricsShowHealthToo) {
  const char* listener = "http://localhost:2381";
  for (const char* target : {"/metrics", "/health", "/livez", "/readyz", "/readyz/non_learner"}) {
    EXPECT_EQ(get(target, "GET", "", listener).status, 200u) << target;
  }
  for (const char* target :
       {"/version", "/debug/vars", "/config/local/log", "/ui/info.json", "/openapi.json"}) {
    EXPECT_EQ(get(target).status, 200u) << target;
    EXPECT_EQ(get(target, "GET", "", listener).status, 404u) << target;
  }
}

TEST_F(PagesTest, HealthSpeaksOfAlarmsLeaderAndReads) {
  EXPECT_EQ(body("/health"), R"({"health":"true","reason":""})");
  alarms_ = {"NOSPACE"};
  Page page = get("/health");
  EXPECT_EQ(page.status, 503u);
  EXPECT_EQ(page.body, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n");
  EXPECT_EQ(get("/health?exclude=NOSPACE").status, 200u);
  EXPECT_EQ(get("/health?exclude=CORRUPT&exclude=NO%53PACE").status, 200u);
  alarms_ = {"NOSPACE", "CORRUPT"};
  EXPECT_EQ(body("/health?exclude=NOSPACE"),
            "{\"health\":\"false\",\"reason\":\"ALARM CORRUPT\"}\n");
  alarms_.clear();

  has_leader_ = false;
  EXPECT_EQ(body("/health"), "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}\n");
  EXPECT_EQ(get("/health?serializable=true").status, 200u);
  EXPECT_EQ(get("/health?serializable=1").status, 503u);
  has_leader_ = true;

  linearizable_ = rpc_errors::kTimeout;
  EXPECT_EQ(body("/health"),
            "{\"health\":\"false\",\"reason\":\"RANGE ERROR:etcdserver: request "
            "timed out\"}\n");
  EXPECT_EQ(get("/health?serializable=true").status, 200u);
  read_ = RpcStatus(RpcCode::kUnknown, "broken");
  EXPECT_EQ(body("/health?serializable=true"),
            "{\"health\":\"false\",\"reason\":\"RANGE ERROR:broken\"}\n");
}

TEST_F(PagesTest, HealthIsCounted) {
  EXPECT_NE(metrics().find("\netcd_server_health_success 0\n"), std::string::npos);
  get("/health");
  get("/health");
  alarms_ = {"CORRUPT"};
  get("/health");
  EXPECT_NE(metrics().find("\netcd_server_health_success 2\n"), std::string::npos) << metrics();
  EXPECT_NE(metrics().find("\netcd_server_health_failures 1\n"), std::string::npos);
  EXPECT_EQ(logged_, std::vector<std::string>{"warn /health"});
}

TEST_F(PagesTest, ProbesNameTheirChecks) {
  EXPECT_EQ(body("/livez"), "ok\n");
  EXPECT_EQ(body("/livez?verbose"), "[+]serializable_read ok\nok\n");
  EXPECT_EQ(body("/readyz?verbose"),
            "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n"
            "[+]non_learner ok\nok\n");
  EXPECT_EQ(body("/readyz/linearizable_read?verbose=0"), "[+]linearizable_read ok\nok\n");

  is_learner_ = true;
  alarms_ = {"CORRUPT"};
  Page page = get("/readyz");
  EXPECT_EQ(page.status, 503u);
  EXPECT_EQ(page.body,
            "[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n"
            "[+]linearizable_read ok\n[-]non_learner failed: not supported for learner\n\n");
  EXPECT_EQ(body("/readyz?exclude=data_corruption&exclude=non_learner&exclude=x"), "ok\n");
  EXPECT_EQ(get("/readyz/non_learner").status, 503u);
  EXPECT_EQ(get("/livez").status, 200u);
  EXPECT_EQ(logged_, (std::vector<std::string>{"error /readyz", "error /readyz/non_learner"}));
}

TEST_F(PagesTest, ProbesAreCountedByCheck) {
  linearizable_ = rpc_errors::kLeaderChanged;
  EXPECT_EQ(body("/readyz/linearizable_read"),
            "[-]linearizable_read failed: etcdserver: leader changed\n\n");
  get("/livez");
  const std::string text = metrics();
  for (const char* line :
       {"etcd_server_healthcheck{name=\"linearizable_read\",type=\"readyz\"} 0\n",
        "etcd_server_healthcheck{name=\"serializable_read\",type=\"livez\"} 1\n",
        "etcd_server_healthchecks_total{name=\"linearizable_read\",status=\"error\",type="
        "\"readyz\"} 1\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

// Nothing is answered, and nobody is kept waiting, until the read has been confirmed.
TEST_F(PagesTest, LinearizableReadsAreAnsweredLater) {
  holds_reads_ = true;
  std::vector<Page> answered;
  auto keep = [&](Page page) { answered.push_back(std::move(page)); };
  pages_->handle({"GET", "/health", "", "", ""}, keep);
  pages_->handle({"GET", "/readyz", "verbose", "", ""}, keep);
  EXPECT_TRUE(answered.empty());
  ASSERT_EQ(held_reads_.size(), 2u);
  held_reads_[1](rpc_errors::kLeaderChanged);
  held_reads_[0](RpcStatus());
  ASSERT_EQ(answered.size(), 2u);
  EXPECT_EQ(answered[0].status, 503u);
  EXPECT_EQ(answered[0].body,
            "[+]data_corruption ok\n[+]serializable_read ok\n[-]linearizable_read failed: "
            "etcdserver: leader changed\n[+]non_learner ok\n\n");
  EXPECT_EQ(answered[1].body, R"({"health":"true","reason":""})");
}

TEST_F(PagesTest, MetricsAreInTheTextFormat) {
  Page page = get("/metrics");
  EXPECT_EQ(page.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_NE(page.body.find("# TYPE etcd_server_health_success counter\n"), std::string::npos);
  EXPECT_NE(page.body.find("\npromhttp_metric_handler_requests_in_flight 1\n"), std::string::npos);
  EXPECT_NE(body("/metrics").find("promhttp_metric_handler_requests_total{code=\"200\"} 1\n"),
            std::string::npos);
}

TEST_F(PagesTest, TheLogLevelCanBeReadAndSet) {
  Page page = get("/config/local/log");
  EXPECT_EQ(page.body, R"({"Level":"info"})");
  EXPECT_EQ(get("/config/local/log", "PUT", R"({"Level":"DEBUG"})").status, 204u);
  EXPECT_EQ(body("/config/local/log"), R"({"Level":"debug"})");
  EXPECT_EQ(get("/config/local/log", "PUT", R"({"Level":"denied"})").status, 403u);
  for (const char* bad : {"", "debug", "{}", "[]", R"({"Level":1})", R"({"Level":"quiet"})"}) {
    EXPECT_EQ(get("/config/local/log", "PUT", bad).status, 400u) << bad;
  }
  EXPECT_EQ(get("/config/local/log", "POST").allow, "GET, PUT");
}

TEST_F(PagesTest, VariablesAndInfoAreJson) {
  EXPECT_TRUE(nlohmann::json::parse(body("/debug/vars")).contains("cmdline"));
  EXPECT_EQ(nlohmann::json::parse(body("/openapi.json"))["openapi"], "3.0.3");
  EXPECT_TRUE(nlohmann::json::parse(body("/ui/info.json")).contains("plugins"));
  EXPECT_EQ(get("/debug/vars").content_type, "application/json; charset=utf-8");
}

Pages* g_pages = nullptr;

// Through the table, as a transport does.
TEST_F(PagesTest, ATransportGetsPagesWhileTheServerServes) {
  g_pages = pages_.get();
  Pages::set_resolver([](const mortise_host*) { return g_pages; });
  auto bytes = [](std::string_view v) {
    return mortise_bytes{reinterpret_cast<const uint8_t*>(v.data()), v.size()};
  };
  mortise_page_request request{};
  request.struct_size = sizeof request;
  request.method = bytes("PUT");
  request.path = bytes("/version");
  struct Seen {
    uint32_t status = 0;
    std::string text;
  } seen;
  auto done = [](void* context, uint32_t status, mortise_bytes type, mortise_bytes allow,
                 mortise_buffer body) {
    auto* out = static_cast<Seen*>(context);
    out->status = status;
    for (mortise_bytes b : {type, allow, mortise_bytes{body.data, body.size}}) {
      out->text.append(reinterpret_cast<const char*>(b.data), b.size).append("|");
    }
    if (body.release != nullptr) body.release(body.owner);
  };
  const mortise_host_pages_v1* table = pages_->table();
  EXPECT_EQ(table->serve(nullptr, &request, done, &seen), MORTISE_E_STOPPED);
  pages_->start_serving();
  EXPECT_EQ(table->serve(nullptr, &request, done, &seen), MORTISE_OK);
  EXPECT_EQ(seen.status, 405u);
  EXPECT_EQ(seen.text, "text/plain; charset=utf-8|GET|Method Not Allowed\n|");
  pages_->stop_serving();
  EXPECT_EQ(table->serve(nullptr, &request, done, &seen), MORTISE_E_STOPPED);
}

TEST(QueryValues, AreDecodedAsFormsAre) {
  using Values = std::vector<std::string>;
  EXPECT_EQ(query_values("a=1&b=2&a=", "a"), (Values{"1", ""}));
  EXPECT_EQ(query_values("a", "a"), Values{""});
  EXPECT_EQ(query_values("x=1&%61=b+c%2Bd", "a"), Values{"b c+d"});
  EXPECT_EQ(query_values("a=%&a=%4&a=%zz&a=%41", "a"), Values{"A"});
  EXPECT_EQ(query_values("", ""), Values{});
  EXPECT_EQ(query_values("&&a=1&", "a"), Values{"1"});
}

}  // namespace
}  // namespace mortise::pages
