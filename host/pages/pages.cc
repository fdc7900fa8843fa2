#include "host/pages/pages.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace mortise::pages {
namespace {

Pages* (*g_pages_of)(const mortise_host* host) = nullptr;

std::string_view view(mortise_bytes b) { return {reinterpret_cast<const char*>(b.data), b.size}; }
mortise_bytes bytes(std::string_view v) {
  return {reinterpret_cast<const uint8_t*>(v.data()), v.size()};
}

mortise_buffer to_buffer(std::string body) {
  if (body.empty()) return {};
  auto* owner = new std::string(std::move(body));
  return {reinterpret_cast<const uint8_t*>(owner->data()), owner->size(),
          [](void* o) { delete static_cast<std::string*>(o); }, owner};
}

constexpr std::string_view kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

Page not_found() { return text_page(404, "404 page not found"); }

}  // namespace

Pages::Pages(Source source, loader::MetricsRegistry* metrics)
    : source_(std::move(source)),
      metrics_(metrics),
      health_successes_(metrics->counter("etcd_server_health_success",
                                         "The total number of successful health checks")),
      health_failures_(metrics->counter("etcd_server_health_failures",
                                        "The total number of failed health checks")),
      scrapes_(metrics->counter("promhttp_metric_handler_requests_total",
                                "Total number of scrapes by HTTP status code.", {{"code", "200"}})),
      scrapes_under_way_(metrics->gauge("promhttp_metric_handler_requests_in_flight",
                                        "Current number of scrapes being served.")) {
  for (const char* code : {"500", "503"}) {
    metrics->counter("promhttp_metric_handler_requests_total",
                     "Total number of scrapes by HTTP status code.", {{"code", code}});
  }
  table_.struct_size = sizeof table_;
  table_.serve = serve;
}

Pages::~Pages() = default;

void Pages::set_resolver(Pages* (*pages_of)(const mortise_host* host)) { g_pages_of = pages_of; }

mortise_status Pages::serve(const mortise_host* host, const mortise_page_request* request,
                            mortise_page_fn done, void* context) {
  Pages* self = g_pages_of(host);
  if (!self->serving_) return MORTISE_E_STOPPED;
  const Request borrowed{view(request->method), view(request->path), view(request->query),
                         view(request->body), view(request->listener)};
  self->handle(borrowed, [done, context](Page page) {
    done(context, page.status, bytes(page.content_type), bytes(page.allow),
         to_buffer(std::move(page.body)));
  });
  return MORTISE_OK;
}

bool Pages::is_for_metrics_only(std::string_view listener) const {
  const auto& listeners = source_.metrics_listeners;
  return std::find(listeners.begin(), listeners.end(), listener) != listeners.end();
}

void Pages::handle(const Request& request, Answer answer) {
  const std::string_view path = request.path;
  if (path == "/metrics") return metrics_page(answer);
  if (path == "/health") return health(request, std::move(answer));
  if (probe(request, answer)) return;
  if (is_for_metrics_only(request.listener)) return answer(not_found());
  if (path == "/version") return answer(version_page(request.method, source_.versions()));
  if (path == "/config/local/log") return log_level_page(request, answer);
  const std::function<std::string()>* made = nullptr;
  if (path == "/debug/vars") made = &source_.variables;
  if (path == "/ui/info.json") made = &source_.info;
  if (path == "/openapi.json") made = &source_.openapi;
  if (made == nullptr) return answer(not_found());
  if (auto refusal = refuse_other_method(request.method, "GET")) return answer(*refusal);
  Page page = json_page((*made)());
  page.content_type += "; charset=utf-8";
  answer(std::move(page));
}

// etcd answers every method here.
void Pages::metrics_page(const Answer& answer) {
  scrapes_under_way_.add(1);
  Page page{200, std::string(kMetricsType), "", ""};
  metrics_->write(page.body);
  scrapes_under_way_.add(-1);
  scrapes_.add(1);
  answer(std::move(page));
}

void Pages::answer_health(const std::string& reason, const Answer& answer) {
  const bool healthy = reason.empty();
  (healthy ? health_successes_ : health_failures_).add(1);
  nlohmann::ordered_json json{{"health", healthy ? "true" : "false"}, {"reason", reason}};
  std::string body = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  if (!healthy) {
    source_.log("warn", "/health error", "/health", body);
    return answer(text_page(503, body));
  }
  answer({200, "text/plain; charset=utf-8", std::move(body), ""});
}

void Pages::health(const Request& request, Answer answer) {
  if (auto refusal = refuse_other_method(request.method, "GET")) {
    source_.log("warn", "/health error", "/health", "Method Not Allowed");
    return answer(*refusal);
  }
  const auto excluded = query_values(request.query, "exclude");
  for (const std::string& alarm : source_.alarms()) {
    if (std::find(excluded.begin(), excluded.end(), alarm) != excluded.end()) continue;
    return answer_health("ALARM " + alarm, answer);
  }
  const auto serializable = query_values(request.query, "serializable");
  const bool is_serializable = !serializable.empty() && serializable.front() == "true";
  auto answer_read = [this, answer](RpcStatus status) {
    if (status.ok()) status = source_.read();
    answer_health(status.ok() ? "" : "RANGE ERROR:" + status.message(), answer);
  };
  if (is_serializable) return answer_read(RpcStatus());
  if (!source_.has_leader()) return answer_health("RAFT NO LEADER", answer);
  source_.when_linearizable(std::move(answer_read));
}

void Pages::log_level_page(const Request& request, const Answer& answer) {
  if (request.method == "GET") {
    return answer(json_page(R"({"Level":")" + source_.log_level() + R"("})"));
  }
  if (auto refusal = refuse_other_method(request.method, "PUT")) {
    refusal->allow = "GET, PUT";
    return answer(*refusal);
  }
  const auto json = nlohmann::json::parse(request.body, nullptr, /*allow_exceptions=*/false);
  const auto level = json.is_object() ? json.find("Level") : json.end();
  if (level == json.end() || !level->is_string())
    return answer(text_page(400, "Invalid json body"));
  const RpcStatus status = source_.set_log_level(level->get_ref<const std::string&>());
  if (!status.ok()) {
    return answer(
        text_page(status.code() == RpcCode::kInvalidArgument ? 400 : 403, status.message()));
  }
  answer({204, "", "", ""});
}

}  // namespace mortise::pages
