// The network between the members of a test's cluster. Before the peer port of each member is a
// proxy, whose port the member advertises; links from a member to another can be cut, one way or
// both, and mended. The proxy tells who dialled by the process that has the other end of the
// connection, so it needs to know nothing of what is said, and serves any server.
//
// A cut link behaves as a network that drops packets does: bytes wait and arrive when the link is
// mended, ends of connections too, and new connections stay mute.
//
// All functions may be called by any thread; one of its own carries the bytes.
#pragma once

#include <sys/types.h>

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace mortise::testing {

class Network {
 public:
  Network();
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // Members are counted from 0, in the order of these calls. `port` is where the member listens;
  // the port that it is to advertise comes back.
  int add_member(int port);
  // At each start of the member's process. Connections of processes that are no member are never
  // cut.
  void set_process(size_t member, pid_t pid);

  void cut(size_t from, size_t to);
  void cut_both(size_t a, size_t b);
  // All links of the member, both ways.
  void isolate(size_t member);
  void mend();

 private:
  struct Flow;
  struct Connection;
  struct Member {
    int listener = -1;
    int advertised_port = 0;
    int port = 0;
    pid_t pid = -1;
  };

  void run();
  void wake();
  // Takes a new connection of the member's proxy and dials the member.
  void accept_one(size_t to);
  std::optional<size_t> dialler_of(int fd, int proxy_port);
  bool is_cut(const Flow& flow);
  // What can be read and written without waiting.
  void move(Flow* flow);

  std::mutex mutex_;
  std::vector<Member> members_;
  std::set<std::pair<size_t, size_t>> cut_;
  bool stopping_ = false;
  int wake_[2] = {-1, -1};
  std::vector<std::unique_ptr<Connection>> connections_;  // Of the thread.
  std::thread thread_;
};

}  // namespace mortise::testing
