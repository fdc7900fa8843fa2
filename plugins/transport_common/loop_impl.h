// The inside of Loop, for those who use the library themselves.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <thread>

#include "plugins/transport_common/loop.h"

namespace mortise::transport_common {

struct Loop::Impl {
  boost::asio::io_context io{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
  std::atomic<std::thread::id> thread{};
};

}  // namespace mortise::transport_common
