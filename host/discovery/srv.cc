#include "host/discovery/srv.h"

#include <map>
#include <source_location>

#include "host/config/config.h"
#include "host/config/go_syntax.h"

namespace mortise::discovery {
namespace {

using Members = std::vector<std::string>;  // "name=url"

std::string host_port(const std::string& host, const std::string& port) {
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + port;
}

Result<std::string> resolved(const SrvOptions& options, const std::string& host,
                             const std::string& port) {
  MORTISE_ASSIGN_OR_RETURN(const std::string address, options.address(host));
  return host_port(address, port);
}

// This member's peer URLs by their addresses.
Result<std::map<std::string, config::Url>> own_addresses(const SrvOptions& options) {
  std::map<std::string, config::Url> own;
  for (const config::Url& url : options.peer_urls) {
    if (url.is_unix()) return invalid("address " + url.path + ": missing port in address");
    MORTISE_ASSIGN_OR_RETURN(const std::string address, resolved(options, url.host, url.port));
    own[address] = url;
  }
  return own;
}

// Records that cannot be used are left out; only if nothing remains does the last one's error
// count.
Result<Members> members_of(const SrvOptions& options, const std::string& scheme,
                           const std::string& service) {
  MORTISE_ASSIGN_OR_RETURN(const auto own, own_addresses(options));
  const std::string failed = "error querying DNS SRV records for _" + service + " ";
  auto records = options.lookup("_" + service + "._tcp." + options.domain);
  if (!records.ok()) return invalid(failed + records.status().message());
  Members members;
  Status last;
  int number = 0;
  for (const SrvRecord& record : *records) {
    const std::string port = std::to_string(record.port);
    auto address = resolved(options, record.target, port);
    if (!address.ok()) {
      last = address.status();
      continue;
    }
    const auto self = own.find(*address);
    const std::string url = scheme + "://" + host_port(record.target, port);
    if (self != own.end() && self->second.scheme != scheme) {
      last = invalid("bootstrap at " + url + " from DNS for " + service +
                     " has scheme mismatch with expected peer " + self->second.text);
      continue;
    }
    const bool is_self = self != own.end() && !options.name.empty();
    members.push_back((is_self ? options.name : std::to_string(number++)) + "=" + url);
  }
  if (members.empty() && !last.ok()) return invalid(failed + last.message());
  return members;
}

void log(const SrvOptions& options, peer::LogLevel level, std::string_view message,
         const peer::LogFields& fields,
         std::source_location where = std::source_location::current()) {
  options.log(level, message, fields, where);
}

}  // namespace

Result<std::string> srv_members(const SrvOptions& options) {
  Members members;
  std::vector<std::string> problems;
  for (const auto& [scheme, kind] : std::vector<std::pair<std::string, std::string>>{
           {"https", "etcd-server-ssl"}, {"http", "etcd-server"}}) {
    const std::string suffix = options.service_suffix.empty() ? "" : "-" + options.service_suffix;
    auto found = members_of(options, scheme, kind + suffix);
    if (found.ok()) members.insert(members.end(), found->begin(), found->end());
    if (!found.ok()) problems.push_back(found.status().message());
    peer::LogFields fields{{"service-scheme", scheme},
                           {"service-name", kind + suffix},
                           {"server-name", options.name},
                           {"discovery-srv", options.domain},
                           {"advertise-peer-urls", config::url_texts(options.peer_urls)},
                           {"found-cluster", found.ok() ? *found : Members()}};
    if (!found.ok()) fields.push_back({"error", found.status().message()});
    log(options, peer::LogLevel::kInfo, "get cluster for " + kind + " SRV", fields);
  }
  const std::string problem = config::join(problems, "\n");
  if (!problems.empty()) {
    log(options, peer::LogLevel::kWarn, "failed to resolve during SRV discovery",
        {{"error", problem}});
  }
  if (members.empty()) return invalid(problem);
  for (const std::string& member : members) {
    log(options, peer::LogLevel::kInfo, "got bootstrap from DNS for etcd-server",
        {{"node", member}});
  }
  const std::string cluster = config::join(members, ",");
  MORTISE_ASSIGN_OR_RETURN(const auto parsed, config::initial_members(cluster));
  for (const config::InitialMember& member : parsed) {
    if (member.name == options.name) return cluster;
  }
  return invalid("cannot find local etcd member " + config::quote(options.name) +
                 " in SRV records");
}

}  // namespace mortise::discovery
