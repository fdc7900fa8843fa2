// "mortise.host.pages/1": what the server shows to browsers, probes and scrapers: /version,
// /health, /livez, /readyz, /metrics, /debug/vars, /config/local/log, /ui/info.json,
// /openapi.json.
//
// host/server makes one and offers its table to transports; the peer port answers with the same
// functions. Threads: any; what must not block answers later, on another thread. Ownership: the
// hooks of Source and the registry outlive the last answer. Errors: an HTTP status, always.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/rpc_error.h"
#include "host/loader/metrics.h"
#include "mortise/abi/rpc.h"

namespace mortise::pages {

struct Request {
  std::string_view method;
  std::string_view path;
  std::string_view query;
  std::string_view body;
  std::string_view listener;
};

struct Page {
  uint32_t status = 200;
  std::string content_type;
  std::string body;
  std::string allow;  // Empty, or the methods that a 405 speaks of.
};

using Answer = std::function<void(Page)>;

struct Versions {
  std::string server;
  std::string cluster;  // "3.7.0", or empty while it is not decided.
  std::string storage;
};

// The server as the pages see it. All functions may be called on any thread.
struct Source {
  std::function<Versions()> versions;
  std::function<std::vector<std::string>()> alarms;  // "NOSPACE", "CORRUPT"; one for each raised.
  std::function<bool()> has_leader;
  std::function<bool()> is_learner;
  std::function<RpcStatus()> read;  // Can the local store be read?
  std::function<void(std::function<void(const RpcStatus&)> done)> when_linearizable;
  std::function<std::string()> variables;  // JSON for /debug/vars.
  std::function<std::string()> info;       // JSON for /ui/info.json.
  std::function<std::string()> openapi;    // JSON for /openapi.json.
  std::function<std::string()> log_level;
  // Anybody who reaches the port may ask. InvalidArgument: there is no such level.
  std::function<RpcStatus(std::string_view)> set_log_level;
  // The level is one of the log's, the rest one line.
  std::function<void(std::string_view level, std::string_view message, std::string_view path,
                     std::string_view detail)>
      log;
  // URLs of listeners that show metrics and health and nothing else, as in mortise_connection.
  std::vector<std::string> metrics_listeners;
};

struct CheckRun;

class Pages {
 public:
  Pages(Source source, loader::MetricsRegistry* metrics);
  ~Pages();
  const mortise_host_pages_v1* table() const { return &table_; }
  // Finds the Pages again from the host object that a transport was given.
  static void set_resolver(Pages* (*pages_of)(const mortise_host* host));
  // Until then, and after stop_serving(), transports are refused.
  void start_serving() { serving_ = true; }
  void stop_serving() { serving_ = false; }

  // Answers once, maybe before it returns.
  void handle(const Request& request, Answer answer);

 private:
  static mortise_status serve(const mortise_host* host, const mortise_page_request* request,
                              mortise_page_fn done, void* context);
  bool is_for_metrics_only(std::string_view listener) const;
  void health(const Request& request, Answer answer);
  void answer_health(const std::string& reason, const Answer& answer);
  // /livez, /readyz and below; false if there is no such page.
  bool probe(const Request& request, const Answer& answer);
  void run_checks(std::shared_ptr<CheckRun> run);
  void checked(CheckRun* run, std::string_view name, const std::string& error);
  void answer_probe(const CheckRun& run);
  void metrics_page(const Answer& answer);
  void log_level_page(const Request& request, const Answer& answer);

  const Source source_;
  loader::MetricsRegistry* const metrics_;
  mortise_host_pages_v1 table_{};
  std::atomic<bool> serving_{false};
  loader::Metric& health_successes_;
  loader::Metric& health_failures_;
  loader::Metric& scrapes_;
  loader::Metric& scrapes_under_way_;
};

Page text_page(uint32_t status, std::string_view text);
Page json_page(std::string body);
// Nothing, or the refusal of a method other than `allowed`.
std::unique_ptr<Page> refuse_other_method(std::string_view method, std::string_view allowed);
// {"etcdserver":...}, for the client and the peer port.
Page version_page(std::string_view method, const Versions& versions);

// Values of `name` in a query such as "a=1&b=%20", decoded, in order.
std::vector<std::string> query_values(std::string_view query, std::string_view name);

}  // namespace mortise::pages
