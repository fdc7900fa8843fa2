#include "host/server/peer_http.h"

namespace mortise::server {

void PeerHttp::handle(const peer::HttpRequest& request, Respond respond) const {
  auto exact = handlers_.find(request.path);
  if (exact != handlers_.end()) return exact->second(request, std::move(respond));
  for (size_t end = request.path.rfind('/'); end != std::string::npos && end > 0;
       end = request.path.rfind('/', end - 1)) {
    auto below = handlers_.find(request.path.substr(0, end + 1));
    if (below != handlers_.end()) return below->second(request, std::move(respond));
  }
  respond(peer::text_response(404, "404 page not found"));
}

bool refuse_other_method(const peer::HttpRequest& request, std::string_view allowed,
                         const PeerHttp::Respond& respond) {
  if (request.method == allowed) return false;
  peer::HttpResponse response = peer::text_response(405, "Method Not Allowed");
  response.headers.emplace_back("Allow", allowed);
  respond(std::move(response));
  return true;
}

peer::HttpResponse json_response(std::string body) {
  peer::HttpResponse response;
  response.headers.emplace_back("Content-Type", "application/json");
  response.body = std::move(body);
  return response;
}

}  // namespace mortise::server
