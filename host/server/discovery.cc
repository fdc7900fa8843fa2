// Who founds the cluster, where the DNS or another cluster says so.
#include <signal.h>

#include <algorithm>
#include <thread>

#include "host/discovery/gateway.h"
#include "host/discovery/join.h"
#include "host/discovery/srv.h"
#include "host/server/bootstrap.h"
#include "host/server/peer_log.h"

namespace mortise::server {
namespace {

// While the thread waits for others, maybe forever, signals that end a server end it at once, as
// they end an etcd; nothing is there yet that wants an end of its own. The main thread only, which
// has them blocked.
class SignalsEndTheProcess {
 public:
  SignalsEndTheProcess() {
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &ends, &before_);
  }
  ~SignalsEndTheProcess() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsEndTheProcess(const SignalsEndTheProcess&) = delete;
  SignalsEndTheProcess& operator=(const SignalsEndTheProcess&) = delete;

 private:
  sigset_t before_;
};

std::chrono::milliseconds milliseconds(std::chrono::nanoseconds time) {
  return std::max(std::chrono::ceil<std::chrono::milliseconds>(time), std::chrono::milliseconds(1));
}

bool is_secure(const std::string& endpoint) {
  return endpoint.starts_with("https://") || endpoint.starts_with("unixs://");
}

Result<std::string> ask_service(const config::Config& config, uint64_t member_id, Log* log) {
  const config::Discovery& from = config.discovery;
  discovery::GatewayOptions gateway;
  std::unique_ptr<tls::Relay> relay;
  if (from.has_tls || std::any_of(from.endpoints.begin(), from.endpoints.end(), is_secure)) {
    MORTISE_ASSIGN_OR_RETURN(gateway.dialer.context,
                             tls::Context::create(from.tls, tls::Side::kClient, {}));
    relay = std::make_unique<tls::Relay>("mortise-disctls", 1);
    gateway.dialer.relay = relay.get();
    gateway.dialer.server_name = from.server_name;
  }
  gateway.is_secure = from.has_tls;
  gateway.endpoints = from.endpoints;
  gateway.dial_limit = milliseconds(from.dial_timeout);
  gateway.request_limit = milliseconds(from.request_timeout);
  gateway.user = from.user;
  gateway.password = from.password;
  gateway.token = from.auth_token;
  discovery::GatewayRegistry registry(std::move(gateway));
  discovery::JoinOptions join;
  join.token = from.token;
  join.endpoints = from.endpoints;
  join.member_id = membership::hex_id(member_id);
  join.member = config.initial_cluster;
  join.log = peer_log_hook(log);
  join.sleep = [](std::chrono::milliseconds pause) { std::this_thread::sleep_for(pause); };
  return discovery::join(&registry, join);
}

Status already_used(const config::Discovery& from, const Status& status, Log* log) {
  Status failed = invalid("failed to join discovery cluster (" + status.message() + ")");
  log->warn("failed to bootstrap; discovery token was already used",
            {{"discovery-token", from.token},
             {"discovery-endpoints", from.endpoints},
             {"error", failed.message()}});
  log->warn("do not reuse discovery token; generate a new one to bootstrap a cluster");
  return failed;
}

Result<config::Config> through_service(config::Config config, const config::ResolveHost& resolve,
                                       Log* log) {
  if (config.initial_cluster_state == "existing") {
    return invalid("discovery URL should not be set when joining existing initial cluster");
  }
  // The id of a founder comes from its own URLs and the token.
  config.initial_cluster_token = config.discovery.token;
  config.initial_cluster =
      config::initial_cluster_text({{config.name, config.initial_advertise_peer_urls}});
  MORTISE_ASSIGN_OR_RETURN(const auto alone, found_cluster(config, resolve));
  log->info("Bootstrapping cluster using v3 discovery.");
  auto joined = ask_service(config, alone.member_id, log);
  if (!joined.ok()) return already_used(config.discovery, joined.status(), log);
  config.initial_cluster = std::move(joined).value();
  MORTISE_ASSIGN_OR_RETURN(const auto members, config::initial_members(config.initial_cluster));
  if (config::has_duplicate_url(members)) {
    return invalid("discovery cluster " + config::initial_cluster_text(members) +
                   " has duplicate url");
  }
  return config;
}

Result<config::Config> through_dns(config::Config config, Log* log) {
  discovery::SrvOptions srv;
  srv.domain = config.discovery.srv_domain;
  srv.service_suffix = config.discovery.srv_name;
  srv.name = config.name;
  srv.peer_urls = config.initial_advertise_peer_urls;
  srv.log = peer_log_hook(log);
  srv.lookup = [server = config.discovery.dns_server](const std::string& name) {
    return discovery::lookup_srv(name, server);
  };
  srv.address = discovery::lookup_address;
  auto members = discovery::srv_members(srv);
  if (!members.ok()) {
    return invalid("error setting up initial cluster: " + members.status().message());
  }
  config.initial_cluster = std::move(members).value();
  return config;
}

}  // namespace

Result<config::Config> discovered(const config::Config& config, const config::ResolveHost& resolve,
                                  Log* log) {
  const config::Discovery& from = config.discovery;
  if (from.endpoints.empty() && from.srv_domain.empty()) return config;
  const SignalsEndTheProcess while_waiting;
  return from.endpoints.empty() ? through_dns(config, log) : through_service(config, resolve, log);
}

}  // namespace mortise::server
