// What the peer port serves besides messages of raft: a table from paths to handlers.
//
// Filled before the peer transport starts; requests come on the transport's thread, so a handler
// must not block there. It may answer later, once, on any thread.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "host/pages/pages.h"
#include "host/peer/transport.h"

namespace mortise::server {

class PeerHttp {
 public:
  using Respond = peer::Hooks::Respond;
  using Handler = std::function<void(const peer::HttpRequest& request, Respond respond)>;

  // A path that ends in '/' stands for all below it, too.
  void add(std::string path, Handler handler) { handlers_[std::move(path)] = std::move(handler); }
  void handle(const peer::HttpRequest& request, Respond respond) const;

 private:
  std::map<std::string, Handler> handlers_;
};

peer::HttpResponse response_of(pages::Page page);
// Answers and returns true if the request's method is another one.
bool refuse_other_method(const peer::HttpRequest& request, std::string_view allowed,
                         const PeerHttp::Respond& respond);

}  // namespace mortise::server
