// What this shared object offers: users and roles.
#include "mortise/sdk/plugin.h"

#include "mortise/sdk/auth.h"
#include "plugins/auth_rbac/rbac.h"

namespace {

constexpr mortise_auth_v1 kTable = mortise::sdk::auth_table<mortise::auth_rbac::Rbac>();

}  // namespace

MORTISE_DEFINE_PLUGIN("auth_rbac", "1.0.0", "Users, roles and permissions as etcd has them",
                      MORTISE_PLUGIN_INTERFACE(MORTISE_AUTH_ID, kTable))
