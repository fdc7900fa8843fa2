// Carries out the commands of a scenario on one server.
//
//     put KEY VALUE [lease=ID]             get KEY [OPTION...]
//     delete KEY [prefix]                  list PREFIX [OPTION...]      all keys that begin with it
//     txn                                  stream PREFIX [OPTION...]    the same by RangeStream
//       if mod|create|version(KEY) = N     compact REVISION [physical]
//       then OPERATION                     grant ID TTL     revoke ID     keys ID
//       else OPERATION                     watch NAME PREFIX [rev=N] [prev] [no-put] [no-delete]
//     restart | kill                       events NAME COUNT     progress NAME REVISION     close
//     NAME
//
// OPTION: rev=N, limit=N, from=KEY (where a list goes on: the last key and a zero byte), keys,
// count. OPERATION: put, get or delete as above.
//
// Used by one thread, the main one (tests/lib/process.h says why).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/lib/node.h"
#include "tests/scenarios/watcher.h"

namespace mortise::scenarios {

// "KEY = VALUE mod=4 create=2 version=3 lease=7".
std::string key_value_text(const mvccpb::KeyValue& kv);

class Session {
 public:
  explicit Session(testing::Target target);
  // Empty: the server runs.
  std::string start();
  // The answer, as lines. An error of the server is an answer; one of the scenario begins with "?".
  std::string run(const std::vector<std::string>& text);
  // Events that no step has taken.
  std::string left();

 private:
  using Words = std::vector<std::string>;
  std::string dispatch(const Words& words, const std::vector<std::string>& text);
  std::string run_key_command(const Words& words);
  std::string run_lease_command(const Words& words);
  std::string run_watch_command(const Words& words);
  std::string txn(const std::vector<std::string>& text);
  std::string stream(const Words& words);
  std::string watch(const Words& words);
  std::string restart(bool in_order);

  testing::Node node_;
  std::unique_ptr<testing::Client> client_;
  std::map<std::string, std::unique_ptr<Watcher>> watchers_;
};

}  // namespace mortise::scenarios
