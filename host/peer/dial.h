// Connects to a member's URL. On the loop's thread; `done` is called there once, within `limit` and
// a little, unless the loop stops. Private to this folder.
#pragma once

#include <functional>

#include "host/base/status.h"
#include "host/config/url.h"
#include "host/peer/connection.h"

namespace mortise::peer {

using Dialed = std::function<void(Result<ConnectionRef>)>;
void dial(IoLoop* loop, const config::Url& url, std::chrono::milliseconds limit, Dialed done);

// What a request to this URL says in its Host field.
std::string host_header(const config::Url& url);

// Keep-alive of the system for connections whose other side may vanish, and no delays.
void tune_socket(int fd);

}  // namespace mortise::peer
