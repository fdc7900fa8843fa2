// What the command line asks for. parse_options() has checked it: sizes fit, the numbers are in
// range.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/base/status.h"
#include "tools/bench/keys.h"

namespace mortise::bench {

enum class Command { kPut, kRange, kTxnPut, kWatch, kLeaseKeepAlive, kMixed };

struct Options {
  Command command = Command::kPut;
  std::string command_name;

  std::vector<std::string> endpoints{"127.0.0.1:2379"};
  std::string cacert, cert, key;
  std::string token;  // Of a user, for servers with authentication.
  int conns = 1;
  int clients = 1;
  int threads = 1;
  double timeout_s = 30;

  // One of the two ends the run; total if duration_s is 0.
  uint64_t total = 10000;
  double duration_s = 0;
  double rate = 0;  // Requests a second; 0: no limit.
  uint64_t max_errors = 1000;

  int key_size = 8;
  std::string key_prefix;
  uint64_t key_space = 1;
  int value_size = 8;
  Distribution distribution = Distribution::kSequential;
  double zipf_exponent = 0.99;
  uint64_t seed = 1;
  uint64_t preload = 0;
  int preload_batch = 1;

  bool serializable = false;
  bool linearizable = false;  // The default, said aloud.
  int64_t range_limit = 0;
  bool prefix_range = false;
  bool keys_only = false;
  bool count_only = false;
  int64_t revision = 0;

  int txn_ops = 1;
  double read_ratio = 0.5;
  int watchers = 1;
  int watch_streams = 1;
  int leases = 1;
  int64_t lease_ttl_s = 600;

  std::vector<int> server_pids;  // Their figures are added up.
  std::string json_path;
  bool quiet = false;
};

// nullopt: --help was asked for and printed. kInvalid: one line that says what is wrong.
Result<std::optional<Options>> parse_options(int argc, const char* const* argv);

}  // namespace mortise::bench
