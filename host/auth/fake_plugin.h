// An auth plugin for tests of the host: users have one role, which is the prefix of the keys that
// they may read and write, or "root". The token of a user is "<name>", and "<name>@<index>" for one
// that an entry brings. Every password is "secret".
#pragma once

#include "mortise/abi/auth.h"

namespace mortise::auth::testing {

const mortise_auth_v1* fake_plugin();

}  // namespace mortise::auth::testing
