// The real world for parse(): arguments, environment, files and routes of this process. Called by
// main() once, before any thread is started.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "host/base/status.h"

namespace mortise::config {

std::vector<std::string> process_arguments(int argc, const char* const* argv);
std::map<std::string, std::string> process_environment();

// "open <path>: no such file or directory" and the like if it cannot be read.
Result<std::string> read_file(const std::string& path);

// An address of the interface that holds the default route; IPv4 before IPv6.
Result<std::string> default_host();

// An address of a host, as text; asks each second again until there is one or `until` has passed.
Result<std::string> resolve_host(const std::string& host,
                                 std::chrono::steady_clock::time_point until);

}  // namespace mortise::config
