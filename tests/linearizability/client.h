// A client whose every operation is recorded: what it asked, when, and what it was told. The
// checker reads the records; checker/history.go says what the fields mean.
//
// A RecordingClient is used by one thread. Several share the values' counter.
#pragma once

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/lib/client.h"

namespace mortise::testing {

// Few keys, so that clients meet.
constexpr int kKeys = 6;

// "/0" to "/5".
std::string key_name(int key);

class RecordingClient {
 public:
  RecordingClient(int number, uint64_t seed, const std::vector<std::string>& endpoints,
                  std::atomic<int64_t>* values);

  // One operation, drawn at random.
  void run_one();
  // A linearizable read of all keys.
  bool read_all();
  const std::vector<nlohmann::json>& records() const { return records_; }

 private:
  void put();
  void remove();
  void txn();
  bool read(bool serializable);
  // Calls, and completes the record with the times; false if the outcome is unknown.
  template <typename Method, typename Request, typename Response>
  bool call(Method method, const Request& request, Response* response, nlohmann::json* record);
  void note_read(const etcdserverpb::RangeResponse& response, nlohmann::json* record);
  int random_key() { return static_cast<int>(random_() % kKeys); }

  int number_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Client>> clients_;
  size_t current_ = 0;
  std::atomic<int64_t>* values_;
  int64_t seen_[kKeys] = {};  // The mod revision that was read last.
  std::vector<nlohmann::json> records_;
};

}  // namespace mortise::testing
