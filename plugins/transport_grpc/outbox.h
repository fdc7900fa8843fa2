// Answers of unary calls that one worker sends together, so that those of one connection leave in
// one piece.
//
// The library writes to the socket for every answer, and on a busy connection that is the largest
// cost of a call. While a worker handles a burst of events, the answers of its calls are put in its
// outbox; at the end of the burst they are sent connection by connection, with the socket corked
// meanwhile if there are several. While the worker waits for events there is nothing to gain, and
// whoever has an answer sends it at once, unless the host says that it brings many (HeldAnswers).
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace mortise::transport_grpc {

class UnaryCall;

// Which socket a peer's calls come on. The library owns the sockets and does not say when it closes
// one, so an entry may be stale: it is used to cork a socket for the time of a few writes, which
// does no harm to another, and to end connections, where a cookie tells whether it is the same. An
// entry goes when its descriptor's number comes back, so there are no more than descriptors. Any
// thread.
class Connections {
 public:
  static constexpr int kNone = -1;

  ~Connections() { release(); }
  // A TCP connection that the library is about to get.
  void add(int fd);
  // By the caller's "address:port"; kNone if not known.
  int find(std::string_view remote) const;
  // Ends what is sent to all that are still open. The connections stay until clients have closed
  // them, or release(): the end of one that has unread bytes resets it, and a client that writes
  // would hear of that before it has read its answers.
  void half_close_all();
  // Whether clients have closed all of them.
  bool all_closed() const;
  void release();

 private:
  struct Peer {
    std::string remote;   // Empty if it is no TCP connection.
    uint64_t cookie = 0;  // What the kernel gave to this socket alone.
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  mutable std::mutex mutex_;
  std::unordered_map<std::string, int, Hash, std::equal_to<>> fd_by_remote_;
  std::unordered_map<int, Peer> peers_;
  std::vector<int> half_closed_;  // Descriptors of our own for TCP connections.
};

// Answers that a thread of the host brings between answers_begin() and answers_end(). At the end
// the workers that are awake get theirs; the thread itself sends only what would have to wait for a
// worker to wake. A connection's reads and writes then meet on one thread, and the host's is free.
class HeldAnswers {
 public:
  static void begin();
  static void end();
  // True if the calling thread holds its answers; end() then has a reference of the call's.
  static bool put(UnaryCall* call);
};

class Outbox {
 public:
  // True if the worker is going to send the call's answer; it then has a reference of the call's.
  // Any thread.
  bool put(UnaryCall* call);

  // The rest is the worker's. A burst of events begins.
  void open();
  // Sends what there is.
  void flush();
  // Sends what there is, and takes no more.
  void close();

  // Sends the answers connection by connection, and empties the list. Any thread.
  static void send(std::vector<UnaryCall*>& answers);

 private:
  std::mutex mutex_;
  bool open_ = false;                // Guarded by mutex_.
  std::vector<UnaryCall*> waiting_;  // Guarded by mutex_.
  std::vector<UnaryCall*> sending_;  // The worker's.
};

}  // namespace mortise::transport_grpc
