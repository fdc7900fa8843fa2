// How the members of a new cluster find each other through a cluster that runs: each writes its
// name and peer URLs there, under a token that they share, and waits until as many have done so as
// the cluster is to have. The keys are etcd's, so that its members and ours can found a cluster
// together:
//
//     /_etcd/registry/<token>/_config/size      "3", written by a person beforehand
//     /_etcd/registry/<token>/members/<id hex>  "infra1=http://10.0.0.1:2380"
//
// Called by host/server at start, on its thread. What the other cluster does not answer is asked
// again, after 2 s, 4 s and so on up to 256 s, forever; the caller decides what ends the process
// meanwhile. Errors are kInvalid with etcd's texts: the size is not there or bad, the cluster has
// all its members already, what a member wrote is no URL.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/status.h"
#include "host/peer/log.h"

namespace mortise::discovery {

struct Entry {
  std::string key;
  std::string value;
  int64_t create_revision = 0;
};

// The cluster that is asked.
class Registry {
 public:
  virtual ~Registry() = default;
  // The key, or all keys that begin with it.
  virtual Result<std::vector<Entry>> get(std::string_view key, bool is_prefix) = 0;
  virtual Status put(std::string_view key, std::string_view value) = 0;
};

struct JoinOptions {
  std::string token;
  std::vector<std::string> endpoints;  // For the log.
  std::string member_id;               // In hex.
  std::string member;                  // "name=url", more of them with commas.
  peer::LogHook log;
  std::function<void(std::chrono::milliseconds)> sleep;
};

// The members of the new cluster, as --initial-cluster names them.
Result<std::string> join(Registry* registry, const JoinOptions& options);

}  // namespace mortise::discovery
