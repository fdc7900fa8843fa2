// What a member asks others over HTTP, on their peer ports: who belongs to their cluster, which
// versions they have, whether a learner may be promoted. Every function waits for its answer, so
// none is for a thread that others wait for. Thread-safe; problems are logged as etcd does it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "host/base/rpc_error.h"
#include "host/membership/member.h"
#include "host/membership/versions.h"
#include "host/peer/http_client.h"
#include "host/server/log.h"

namespace mortise::server {

struct FoundCluster {
  uint64_t id = 0;
  std::vector<membership::Member> members;
};

struct MemberVersions {
  std::string server;   // "3.7.1"
  std::string cluster;  // "3.7.0", or "not_decided"
};

class Inquiry {
 public:
  using Milliseconds = std::chrono::milliseconds;

  explicit Inquiry(Log* log, tls::Dialer dialer = {}) : log_(log), client_(std::move(dialer)) {}
  // All who wait go on, without an answer.
  void stop();

  // The cluster of the first of these peer URLs that answers. kInvalid with etcd's text if none
  // does; why each did not is logged unless `quietly`.
  Result<FoundCluster> cluster(const std::vector<std::string>& urls, Milliseconds limit,
                               bool quietly);
  std::optional<MemberVersions> versions(const membership::Member& member, Milliseconds limit);
  // Of the first of these that answers, false if none does.
  bool downgrade_enabled(const std::vector<membership::Member>& members, Milliseconds limit);

  // Asks the member at this URL to promote a learner. The final answer to the question, or nothing
  // if it may be asked again.
  struct Promotion {
    RpcStatus status;
    std::vector<membership::Member> members;
  };
  std::optional<Promotion> promote(const std::string& url, uint64_t id, Milliseconds limit);

  // Asks each of the member's URLs until one gives an answer with status 200 that `take` accepts.
  bool ask(const membership::Member& member, const std::string& path, Milliseconds limit,
           const std::function<bool(const peer::HttpResponse&)>& take);

 private:
  Result<peer::HttpResponse> answer_to(peer::HttpCall call);

  Log* const log_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  peer::HttpClient client_;  // Goes first: its answers need what is above.
};

// May a server with these members ahead of it join? Asks each for its version.
bool is_compatible_with(Inquiry* inquiry, const std::vector<membership::Member>& members,
                        Inquiry::Milliseconds limit, Log* log);

}  // namespace mortise::server
