// Wrappers around plugin tables that watch both sides keep the contract: roles (no two calls at
// once where one is allowed), states (open, positioned, started), the life of handles (cursors
// before readers before stores, nothing twice), and of spans: what the plugin lends is handed on as
// a copy, which is overwritten when its life ends, so that a use after that shows. A breach aborts
// through MORTISE_CHECK.
//
// For builds with MORTISE_CHECKED_PLUGINS and for tests; each call costs a lock and a copy. The
// result lives as long as the process; the same table gives the same wrapper. At most
// kCheckedTablesMax tables of a kind.
#pragma once

#include "mortise/abi/auth.h"
#include "mortise/abi/backend.h"
#include "mortise/abi/transport.h"
#include "mortise/abi/watch.h"

namespace mortise::loader {

inline constexpr int kCheckedTablesMax = 8;

const mortise_backend_v1* checked_backend(const mortise_backend_v1* table);
const mortise_transport_v1* checked_transport(const mortise_transport_v1* table);
const mortise_watch_v1* checked_watch(const mortise_watch_v1* table);
const mortise_auth_v1* checked_auth(const mortise_auth_v1* table);

}  // namespace mortise::loader
