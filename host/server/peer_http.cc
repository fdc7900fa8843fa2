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
  auto refusal = pages::refuse_other_method(request.method, allowed);
  if (refusal) respond(response_of(std::move(*refusal)));
  return refusal != nullptr;
}

peer::HttpResponse response_of(pages::Page page) {
  peer::HttpResponse response;
  response.status = static_cast<int>(page.status);
  response.headers.emplace_back("Content-Type", std::move(page.content_type));
  if (response.status >= 400) response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  if (!page.allow.empty()) response.headers.emplace_back("Allow", std::move(page.allow));
  response.body = std::move(page.body);
  return response;
}

}  // namespace mortise::server
