// The members of a cluster as SRV records of the DNS name them: _etcd-server-ssl._tcp.<domain>
// those that speak TLS with each other, _etcd-server._tcp.<domain> those that do not. Which of them
// this member is, the addresses of its own peer URLs say; the others are named by numbers.
//
// Called by host/server at start, on its thread, which waits for the DNS. Errors are kInvalid with
// etcd's texts.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "host/base/status.h"
#include "host/config/url.h"
#include "host/discovery/dns.h"
#include "host/peer/log.h"

namespace mortise::discovery {

struct SrvOptions {
  std::string domain;
  std::string service_suffix;  // "-suffix" is put behind the services' names; may be empty.
  std::string name;            // Of this member.
  std::vector<config::Url> peer_urls;
  peer::LogHook log;
  std::function<Result<std::vector<SrvRecord>>(const std::string& name)> lookup;
  std::function<Result<std::string>(const std::string& host)> address;
};

// As --initial-cluster names them.
Result<std::string> srv_members(const SrvOptions& options);

}  // namespace mortise::discovery
