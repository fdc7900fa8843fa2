// Lines that host/peer and host/discovery write come into the server's log. Thread-safe like the
// log, which must outlive the hook.
#pragma once

#include "host/peer/log.h"
#include "host/server/log.h"

namespace mortise::server {

peer::LogHook peer_log_hook(Log* log);

}  // namespace mortise::server
