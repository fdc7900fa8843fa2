// The auth plugin in the server: from its option to who asks it.
#include <nlohmann/json.hpp>

#include "host/server/server.h"

namespace mortise::server {

Status Server::load_auth_plugin(const std::vector<std::string>& dirs) {
  if (config_.auth.name_or_path == "none") return Status();
  MORTISE_ASSIGN_OR_RETURN(auto plugin, loader::load(config_.auth.name_or_path, dirs, "auth_"));
  MORTISE_ASSIGN_OR_RETURN(auth_table_, loader::auth(*plugin));
  auth_host_ = host_object(plugin->name);
  log_->info("loaded plugin",
             {{"plugin", plugin->name}, {"version", plugin->version}, {"path", plugin->path}});
  return Status();
}

Status Server::make_authority() {
  if (auth_table_ == nullptr) return Status();
  nlohmann::json options{{"token", config_.auth_token},
                         {"bcrypt_cost", config_.effective_bcrypt_cost()},
                         {"token_ttl_s", config_.auth_token_ttl},
                         {"client_cert_auth", config_.client_cert_auth}};
  MORTISE_ASSIGN_OR_RETURN(authority_,
                           auth::Authority::create(auth_table_, auth_host_->get(), options.dump()));
  return Status();
}

// Leases that ran out are revoked in the name of root, who may write all their keys.
wire::Author Server::root_author() const {
  if (authority_ == nullptr || !authority_->enabled()) return {};
  return {auth::kRootUser, authority_->revision()};
}

void Server::auth_changed(const std::vector<std::string>& users) {
  hub_->recheck(users);
  keeper_->recheck(users);
}

rpc::ServerStream* Server::open_watch(const rpc::ClientStream& client,
                                      std::shared_ptr<auth::Warrant> warrant) {
  if (warrant == nullptr) return hub_->open_stream(client);
  auto permit = [warrant](std::string_view key, std::string_view range_end) {
    auth::Needs needs;
    needs.add(MORTISE_ACCESS_READ, key, range_end);
    return warrant->permit(needs);
  };
  auto recheck = [warrant](std::string_view key, std::string_view range_end,
                           const std::vector<std::string>& changed_users) {
    auth::Needs needs;
    needs.add(MORTISE_ACCESS_READ, key, range_end);
    return warrant->still_permits(needs, changed_users);
  };
  return hub_->open_stream(client, permit, recheck);
}

}  // namespace mortise::server
