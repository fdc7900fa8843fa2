// A load of writes that remembers what it was told, and the proof that a server's history holds all
// of it: each acknowledged write at its revision, no revision that is missing, none that nobody
// asked for. For tests that kill, pause or cut off servers meanwhile.
//
// A Writer is used by one thread; several share no state. A Load is used by one thread.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "host/base/status.h"
#include "tests/lib/client.h"

namespace mortise::testing {

// The changes of one revision: key and value, no value for a delete.
using Changes = std::vector<std::pair<std::string, std::optional<std::string>>>;
using History = std::map<int64_t, Changes>;

// What one writer was told, and what it asked for without an answer.
struct Record {
  History acknowledged;
  std::vector<Changes> unknown;
};

// Puts, deletes and transactions on keys of its own, "w<number>/...".
class Writer {
 public:
  // Several endpoints: the next one is taken when one does not answer within the bound.
  Writer(int number, uint64_t seed, const std::vector<std::string>& endpoints,
         std::chrono::milliseconds bound = kCallBound);

  // One write. False: it was not acknowledged.
  bool write(Record* record);

 private:
  std::string key();
  std::string value();
  Changes draw();
  grpc::Status send(const Changes& changes, int64_t* revision);

  std::string prefix_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Client>> clients_;
  size_t current_ = 0;
  std::chrono::milliseconds bound_;
};

// Writers on threads of their own, until stopped.
class Load {
 public:
  Load(int writers, uint64_t seed, const std::vector<std::string>& endpoints,
       std::chrono::milliseconds bound);
  ~Load() { stop(); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  void stop();
  // Waits until a write was acknowledged that began after this call. How long that took; nothing:
  // it did not come within the bound.
  std::optional<std::chrono::milliseconds> wait_progress(std::chrono::milliseconds bound);
  int64_t acknowledged() const { return acknowledged_; }
  // Once stopped.
  const std::vector<Record>& records() const { return records_; }

 private:
  void run(size_t number);

  std::vector<Writer> writers_;
  std::vector<Record> records_;
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> acknowledged_{0};
  // When the acknowledged write that began last did so, in the steady clock's units.
  std::atomic<int64_t> last_begin_{0};
  std::vector<std::thread> threads_;
};

// The changes of each revision from `from` to `to`, as a watch delivers them.
Result<History> read_history(Client* client, int64_t from, int64_t to);

// Whether the history from revision `from` to `to` is what the records say.
Status check_history(const History& found, int64_t from, int64_t to,
                     const std::vector<Record>& records);

}  // namespace mortise::testing
