// A loop, its thread and the HTTP connections on it.
#pragma once

#include <cstdint>
#include <string>

#include "plugins/transport_http/context.h"

namespace mortise::transport_http {

class Worker : public transport_common::Worker {
 public:
  explicit Worker(Context& context);

  // Any thread.
  void adopt(int fd, uint32_t serves, bool is_tls, std::string listener, std::string remote,
             std::string common_name);

  Context& context;
};

}  // namespace mortise::transport_http
