// What a member has to do with the others: whom it is connected with.
#include "host/server/server.h"

namespace mortise::server {

size_t Server::active_peers() const { return 0; }
bool Server::is_active_since(uint64_t, Leadership::Clock::time_point) const { return false; }
bool Server::is_quorum_active(Leadership::Clock::time_point) const { return true; }
std::optional<uint64_t> Server::longest_active(const std::vector<uint64_t>&) const {
  return std::nullopt;
}

}  // namespace mortise::server
