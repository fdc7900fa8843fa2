// Every method that the .proto files know, and requests for them that are well-formed, with values
// that mean something: keys that other requests write, revisions and leases that may be there.
//
// Same generator, same requests. Used by one thread.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

namespace mortise::fuzz {

using Random = std::mt19937_64;

struct Method {
  std::string path;
  const google::protobuf::Message* request;  // The prototype.
  bool streams_requests;
  // Whether a call may go on until its client ends it.
  bool may_wait;
  // Whether a call costs the server much.
  bool is_heavy;
};

std::vector<Method> all_methods();
std::unique_ptr<google::protobuf::Message> make_request(const Method& method, Random& random);

}  // namespace mortise::fuzz
