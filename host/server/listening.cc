// What the member listens on, and what becomes of the connections that come in.
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "host/server/server.h"
#include "host/tls/cipher_suites.h"
#include "host/tls/san_check.h"
#include "host/tls/self_signed.h"

namespace mortise::server {
namespace {

constexpr std::chrono::seconds kRefusalLogInterval{5};

using Urls = std::vector<config::Url>;

// Threads that encrypt for clients: one for four cores, 1 to 4, like the transports' workers.
size_t relay_threads() { return std::clamp<size_t>(std::thread::hardware_concurrency() / 4, 1, 4); }

bool any_secure(const Urls& urls) { return std::ranges::any_of(urls, &config::Url::is_secure); }

Urls joined(const Urls& a, const Urls& b) {
  Urls out = a;
  out.insert(out.end(), b.begin(), b.end());
  return out;
}

Fields rejected_fields(const Rejected& rejected) {
  Fields fields = {{"remote-addr", rejected.remote},
                   {"server-name", rejected.identity.server_name}};
  if (rejected.identity.has_certificate) {
    fields.emplace_back("ip-addresses", rejected.identity.ip_addresses);
    fields.emplace_back("dns-names", rejected.identity.dns_names);
  }
  fields.emplace_back("error", rejected.error);
  return fields;
}

const char* name_of(Traffic traffic) {
  switch (traffic) {
    case Traffic::kGrpc: return "grpc";
    case Traffic::kHttp: return "http";
    case Traffic::kMetrics: return "metrics";
    default: return "grpc+http";
  }
}

uint32_t services_of(Traffic traffic) {
  if (traffic == Traffic::kGrpc) return MORTISE_SERVES_RPC;
  if (traffic == Traffic::kMetrics) return MORTISE_SERVES_PAGES;
  return MORTISE_SERVES_RPC | MORTISE_SERVES_PAGES;
}

tls::Side side_of(Traffic traffic) {
  if (traffic == Traffic::kGrpc) return tls::Side::kHttp2Server;
  return traffic == Traffic::kGrpcAndHttp ? tls::Side::kServer : tls::Side::kHttp1Server;
}

// Where gRPC and HTTP are apart, HTTP/2 is gRPC and HTTP/1 is not.
bool fits(Traffic traffic, mortise_opening_kind kind) {
  if (traffic == Traffic::kGrpcAndHttp) return true;
  return (kind == MORTISE_OPENING_HTTP2) == (traffic == Traffic::kGrpc);
}

std::string ip_of(const std::string& remote) {
  std::string host = remote.substr(0, remote.rfind(':'));
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  return host;
}

std::string tls_text(const config::TlsOptions& tls) {
  return "cert = " + tls.cert_file + ", key = " + tls.key_file +
         ", client-cert=" + tls.client_cert_file + ", client-key=" + tls.client_key_file +
         ", trusted-ca = " + tls.trusted_ca_file +
         ", client-cert-auth = " + (tls.client_cert_auth ? "true" : "false") +
         ", crl-file = " + tls.crl_file;
}

}  // namespace

tls::LogHook Server::tls_log() {
  return [this](tls::LogLevel level, std::string_view message, const tls::LogFields& lines) {
    Fields fields;
    for (const auto& [name, value] : lines) fields.emplace_back(name, value);
    const Level levels[] = {Level::kInfo, Level::kWarn, Level::kError};
    log_->write(levels[static_cast<size_t>(level)], message, fields);
  };
}

Status Server::make_self_signed(config::TlsOptions* tls, const char* side, const Urls& urls) {
  if (!tls->auto_tls) return Status();
  if (tls->has_certificate()) {
    log_->warn(std::string("ignoring ") + side + " auto TLS since certs given");
    return Status();
  }
  if (tls->client_cert_auth || !tls->trusted_ca_file.empty()) {
    log_->warn(std::string(side) + " auto TLS asks for no certificates; ignoring those options");
  }
  std::vector<std::string> hosts;
  for (const config::Url& url : urls) {
    if (!url.is_unix()) hosts.push_back(url.host);
  }
  MORTISE_ASSIGN_OR_RETURN(*tls,
                           tls::self_signed(config_.data_dir + "/fixtures/" + side, hosts,
                                            config_.self_signed_cert_validity, *tls, tls_log()));
  return Status();
}

// A member tries again many times in a second; one line each few seconds says why it fails.
tls::Relay::Refused Server::refusal_log() {
  struct Last {
    std::mutex mutex;
    std::chrono::steady_clock::time_point at;
    std::string error;
  };
  auto last = std::make_shared<Last>();
  return [this, last](const std::string& server_name, const std::string& error) {
    const auto now = std::chrono::steady_clock::now();
    {
      std::lock_guard lock(last->mutex);
      if (error == last->error && now < last->at + kRefusalLogInterval) return;
      last->at = now;
      last->error = error;
    }
    log_->warn("a member refuses this one's TLS connection",
               {{"server-name", server_name}, {"error", error}});
  };
}

// What both sides need for TLS: certificates that are made here, contexts and threads.
Status Server::make_tls() {
  client_tls_ = config_.client_tls;
  peer_tls_ = config_.peer_tls;
  MORTISE_RETURN_IF_ERROR(tls::check_cipher_suites(client_tls_.cipher_suites));
  const Urls clients = joined(config_.listen_client_urls, config_.listen_client_http_urls);
  MORTISE_RETURN_IF_ERROR(make_self_signed(&client_tls_, "client", clients));
  MORTISE_RETURN_IF_ERROR(make_self_signed(&peer_tls_, "peer", config_.listen_peer_urls));
  for (const auto* tls : {&peer_tls_, &client_tls_}) {
    if (!tls->has_certificate()) continue;
    log_->info(tls == &peer_tls_ ? "starting with peer TLS" : "starting with client TLS",
               {{"tls-info", tls_text(*tls)}, {"cipher-suites", tls->cipher_suites}});
  }
  if (any_secure(clients) || any_secure(config_.listen_metrics_urls)) {
    client_relay_ = std::make_unique<tls::Relay>("mortise-tls", relay_threads());
  }
  const bool needs_peer_tls = any_secure(config_.listen_peer_urls) || peer_tls_.has_certificate() ||
                              !peer_tls_.trusted_ca_file.empty() ||
                              config_.initial_cluster.find("https://") != std::string::npos ||
                              config_.initial_cluster.find("unixs://") != std::string::npos;
  if (!needs_peer_tls) return Status();
  MORTISE_ASSIGN_OR_RETURN(peer_dialer_.context,
                           tls::Context::create(peer_tls_, tls::Side::kClient, tls_log()));
  peer_relay_ = std::make_unique<tls::Relay>("mortise-peertls", 1);
  peer_relay_->set_on_refused(refusal_log());
  peer_dialer_.relay = peer_relay_.get();
  name_checks_.emplace();
  return Status();
}

// As the gate SetMemberLocalAddr has it: others see connections come from an address that this
// member's certificate may name.
std::string Server::local_address() const {
  if (!config_.feature_gates.at("SetMemberLocalAddr")) return {};
  const auto texts = config::url_texts(config_.initial_advertise_peer_urls);
  log_->info("searching for a suitable member local address in AdvertisePeerURLs",
             {{"advertise-peer-urls", texts}});
  const std::string address = config::routable_address(config_.initial_advertise_peer_urls);
  if (!address.empty()) {
    log_->info("setting member local address", {{"LocalAddr", address}});
    return address;
  }
  log_->warn("unable to set a member local address due to lack of suitable local addresses",
             {{"advertise-peer-urls", texts}});
  return {};
}

void Server::rejected(const char* message, const Rejected& rejected) const {
  const Level level = rejected.is_plain_end ? Level::kDebug : Level::kWarn;
  log_->write(level, message, rejected_fields(rejected));
}

// A member's certificate must belong to the machine it connects from.
void Server::check_peer(const tls::Identity& identity, const std::string& remote,
                        std::function<void(Status)> then) {
  const bool by_socket_file = remote.starts_with("unix:");
  if (peer_tls_.skip_client_san_verification || by_socket_file) return then(Status());
  std::string ip = ip_of(remote);
  auto check = [identity, ip] { return tls::check_san(identity, ip, tls::system_resolver()); };
  if (!tls::needs_resolver(identity, ip)) return then(check());
  Status posted = name_checks_->post([check, then] { then(check()); });
  if (!posted.ok()) then(posted);
}

Status Server::listen_for_peers() {
  Listeners::Options options;
  options.reuse_port = config_.socket_reuse_port;
  options.reuse_address = config_.socket_reuse_address;
  options.for_members = true;
  options.accepted = [this](Accepted accepted) {
    peers_->adopt(accepted.fd, std::move(accepted.remote));
  };
  options.rejected = [this](const Rejected& r) {
    rejected("rejected connection on peer endpoint", r);
  };
  options.check = [this](const tls::Identity& identity, const std::string& remote,
                         std::function<void(Status)> then) {
    check_peer(identity, remote, std::move(then));
  };
  if (any_secure(config_.listen_peer_urls)) {
    if (!peer_tls_.has_certificate()) {
      return invalid(
          "cannot listen on TLS for peers: KeyFile and CertFile are not presented "
          "(--peer-cert-file, "
          "--peer-key-file)");
    }
    options.relay = peer_relay_.get();
    MORTISE_ASSIGN_OR_RETURN(options.tls,
                             tls::Context::create(peer_tls_, tls::Side::kServer, tls_log()));
  }
  for (const Urls& group : by_address(config_.listen_peer_urls)) {
    MORTISE_RETURN_IF_ERROR(peer_listeners_.add(group, options));
  }
  return Status();
}

Status Server::listen_for_clients(const Urls& urls, Traffic traffic) {
  Listeners::Options options;
  options.reuse_port = config_.socket_reuse_port;
  options.reuse_address = config_.socket_reuse_address;
  options.accepted = [this, traffic](Accepted accepted) { adopt(std::move(accepted), traffic); };
  options.rejected = [this](const Rejected& r) {
    rejected("rejected connection on client endpoint", r);
  };
  if (any_secure(urls)) {
    options.relay = client_relay_.get();
    MORTISE_ASSIGN_OR_RETURN(options.tls,
                             tls::Context::create(client_tls_, side_of(traffic), tls_log()));
  }
  for (const Urls& group : by_address(urls)) {
    MORTISE_RETURN_IF_ERROR(listeners_.add(group, options));
  }
  return Status();
}

// Who set up certificates may believe that they are used.
void Server::warn_of_plain_urls() const {
  const auto warn = [this](const Urls& urls, const config::TlsOptions& tls, const char* field,
                           const std::string& scheme, const char* flag) {
    for (const config::Url& url : urls) {
      if (url.is_secure()) continue;
      if (tls.has_certificate()) {
        log_->warn(scheme + " while key and cert files are present; ignoring key and cert files",
                   {{field, url.text}});
      }
      if (tls.client_cert_auth) {
        log_->warn(
            scheme + " while " + flag + " is enabled; ignoring client cert auth for this URL",
            {{field, url.text}});
      }
    }
  };
  warn(config_.listen_peer_urls, peer_tls_, "peer-url", "scheme is HTTP",
       "--peer-client-cert-auth");
  warn(joined(config_.listen_client_urls, config_.listen_client_http_urls), client_tls_,
       "client-url", "scheme is http or unix", "--client-cert-auth");
}

Status Server::bind_listeners() {
  peer_dialer_.local_address = local_address();
  MORTISE_RETURN_IF_ERROR(make_tls());
  warn_of_plain_urls();
  log_->info("configuring peer listeners",
             {{"listen-peer-urls", config::url_texts(config_.listen_peer_urls)}});
  MORTISE_RETURN_IF_ERROR(listen_for_peers());
  log_->info("configuring client listeners",
             {{"listen-client-urls", config::url_texts(config_.listen_client_urls)}});
  const bool split = !config_.listen_client_http_urls.empty();
  MORTISE_RETURN_IF_ERROR(listen_for_clients(config_.listen_client_urls,
                                             split ? Traffic::kGrpc : Traffic::kGrpcAndHttp));
  MORTISE_RETURN_IF_ERROR(listen_for_clients(config_.listen_client_http_urls, Traffic::kHttp));
  return listen_for_clients(config_.listen_metrics_urls, Traffic::kMetrics);
}

void Server::log_serving() const {
  const bool split = !config_.listen_client_http_urls.empty();
  const auto serving = [this](const Urls& urls, Traffic traffic) {
    for (const config::Url& url : urls) {
      log_->info("ready to serve client requests");
      log_->info(url.is_secure()
                     ? "serving client traffic securely"
                     : "serving client traffic insecurely; this is strongly discouraged!",
                 {{"traffic", name_of(traffic)}, {"address", address_of(url)}});
    }
  };
  serving(config_.listen_client_urls, split ? Traffic::kGrpc : Traffic::kGrpcAndHttp);
  serving(config_.listen_client_http_urls, Traffic::kHttp);
  for (const config::Url& url : config_.listen_metrics_urls) {
    log_->info("serving metrics", {{"address", url.text}});
  }
}

std::optional<api::KnownCaller> Server::caller_behind(std::string_view remote) const {
  // What getpeername() says of the relay's sockets, as gRPC writes it.
  constexpr std::string_view kAbstract = "unix-abstract:";
  if (!remote.starts_with(kAbstract)) return std::nullopt;
  remote.remove_prefix(kAbstract.size());
  if (!remote.starts_with(tls::kNamePrefix)) return std::nullopt;
  auto caller = client_relay_->find(remote);
  if (!caller) return std::nullopt;
  return api::KnownCaller{std::move(caller->remote), std::move(caller->common_name)};
}

void Server::adopt(Accepted accepted, Traffic traffic) {
  mortise_opening opening{};
  opening.struct_size = sizeof opening;
  opening.kind = accepted.kind;
  opening.first_bytes = store::bytes(accepted.first_bytes);
  Transport* best = nullptr;
  int32_t best_claim = 0;
  for (Transport& transport : transports_) {
    if (!fits(traffic, accepted.kind)) break;
    int32_t claim = transport.table->claims(transport.handle, &opening);
    if (claim > best_claim) {
      best = &transport;
      best_claim = claim;
    }
  }
  auto refuse = [&](std::string reason) {
    rejected("rejected connection on client endpoint",
             {accepted.remote, std::move(reason), false, {}});
  };
  if (best == nullptr) {
    ::close(accepted.fd);
    return refuse("no transport speaks this protocol");
  }
  mortise_connection connection{};
  connection.struct_size = sizeof connection;
  connection.fd = accepted.fd;
  connection.is_tls = accepted.is_tls;
  connection.serves = services_of(traffic);
  connection.listener = store::bytes(accepted.listener);
  connection.remote = store::bytes(accepted.remote);
  connection.tls_common_name = store::bytes(accepted.common_name);
  mortise_error error{};
  error.struct_size = sizeof error;
  if (best->table->adopt(best->handle, &connection, &error) != MORTISE_OK) {
    refuse(std::string(error.message));
  }
}

}  // namespace mortise::server
