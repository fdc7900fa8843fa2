// Connections that a seed makes up, of frames that are right, almost right and broken: the server
// stays, serves others, and is through with every call that it began.
#include <gtest/gtest.h>

#include <random>

#include "plugins/transport_grpc/test_server.h"

namespace mortise::transport_grpc {
namespace {

using CallPtr = std::shared_ptr<FakeCall>;
using StreamPtr = std::shared_ptr<FakeStream>;

const std::string_view kPaths[] = {"/test.Echo/Inline",  "/test.Echo/Later",   "/test.Echo/Watched",
                                   "/test.Echo/Refused", "/test.Stream/Echo",  "/test.Stream/List",
                                   "/test.Echo/None",    "/test.Stream/Echo/", ""};

// A thousand letters, packed with gzip.
constexpr std::string_view kPacked(
    "\x1f\x8b\x08\0\0\0\0\0\x02\x03\x4b\x4a\x1a\x05\xa3\x60\x14\x0c\x77\0\0"
    "\x4f\xa2\x04\xb6\xe8\x03\0\0",
    29);

// The bytes of a client. The same seed gives the same ones.
class HostileBytes {
 public:
  explicit HostileBytes(uint64_t seed) : random_(seed) {}

  bool one_of(size_t count) { return random_() % count == 0; }
  uint32_t next_stream() const { return next_stream_; }

  std::string make_connection() {
    std::string out(kPreface);
    out += make_settings(0);
    for (size_t count = 1 + random_() % 30; count > 0; --count) out += make_piece();
    return out;
  }

  void damage(std::string* bytes) {
    for (size_t count = 1 + random_() % 4; count > 0; --count) {
      const size_t at = random_() % bytes->size();
      switch (random_() % 3) {
        case 0: (*bytes)[at] = any_byte(); break;
        case 1: bytes->erase(at, 1 + random_() % 9); break;
        default: bytes->insert(at, bytes->substr(at / 2, 1 + random_() % 30)); break;
      }
      if (bytes->empty()) return;
    }
  }

 private:
  char any_byte() { return static_cast<char>(random_()); }
  std::string any_bytes(size_t max) {
    std::string out(random_() % (max + 1), '\0');
    for (char& byte : out) byte = any_byte();
    return out;
  }
  template <typename Choice>
  Choice any_of(std::initializer_list<Choice> choices) {
    return choices.begin()[random_() % choices.size()];
  }
  uint32_t any_stream() {
    return next_stream_ == 1 ? 1 : static_cast<uint32_t>(random_() % next_stream_) | 1;
  }

  std::string make_settings(uint8_t flags) {
    std::string payload;
    for (size_t count = random_() % 3; count > 0; --count) {
      payload += std::string(1, '\0') + any_of({'\1', '\2', '\3', '\4', '\4', '\5', '\6', '\x63'});
      payload += any_of<std::string>({std::string(4, '\0'), std::string("\0\0\xff\xff", 4),
                                      std::string("\0\0\0\x0a", 4), "\x7f\xff\xff\xff",
                                      "\xff\xff\xff\xff"});
    }
    return make_frame(NGHTTP2_SETTINGS, flags, 0, payload);
  }

  std::string make_head() {
    Fields fields = call_fields(kPaths[random_() % std::size(kPaths)]);
    if (one_of(3)) fields.emplace_back("grpc-encoding", "gzip");
    while (one_of(3)) {
      fields.emplace_back(
          any_of<std::string>({"grpc-timeout", "grpc-encoding", "authorization", "x-bin", "te", "",
                               ":path", "content-length", "Upper"}),
          any_of<std::string>({"", "1n", "1m", "99999999H", "gzip", "identity", any_bytes(9),
                               std::string(5000, 'v')}));
    }
    if (one_of(8)) std::swap(fields[random_() % fields.size()], fields.back());
    if (one_of(8)) fields.erase(fields.begin() + static_cast<ptrdiff_t>(random_() % fields.size()));
    std::string block = make_block(fields);
    if (one_of(20)) block += any_bytes(30);
    return block;
  }

  std::string make_begin(uint32_t stream, bool ends) {
    const std::string block = make_head();
    const uint8_t flags = ends ? NGHTTP2_FLAG_END_STREAM : 0;
    if (!one_of(6)) {
      return make_frame(NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, stream, block);
    }
    const size_t cut = random_() % (block.size() + 1);
    const uint8_t last = one_of(10) ? 0 : NGHTTP2_FLAG_END_HEADERS;
    return make_frame(NGHTTP2_HEADERS, flags, stream, block.substr(0, cut)) +
           make_frame(NGHTTP2_CONTINUATION, last, stream, block.substr(cut));
  }

  std::string make_packed_body() {
    std::string packed(kPacked);
    if (one_of(3)) packed += kPacked;
    if (one_of(3)) packed[random_() % packed.size()] = any_byte();
    std::string body = make_message(packed);
    body[0] = 1;
    return body;
  }

  std::string make_body() {
    if (one_of(4)) return make_packed_body();
    std::string body = make_message(std::string(any_of({0, 1, 50, 4000, 20'000}), 'b'));
    if (one_of(12)) body[0] = any_byte();
    if (one_of(12)) body[1 + random_() % 4] = any_byte();
    if (one_of(12)) body += make_message("another");
    return body;
  }

  std::string make_pieces(uint32_t stream, bool ends) {
    std::string out, body = make_body();
    do {
      const size_t size = std::min<size_t>({body.size(), 1 + random_() % 30'000, 16'384});
      out += make_data(stream, body.substr(0, size), ends && size == body.size());
      body.erase(0, size);
    } while (!body.empty());
    return out;
  }

  std::string make_new_call() {
    if (one_of(50)) next_stream_ += static_cast<uint32_t>(random_() % 1000);
    const uint32_t stream = next_stream_;
    next_stream_ += 2;
    const bool ends = one_of(20);
    std::string out = make_begin(stream, ends);
    if (!ends && !one_of(6)) out += make_pieces(stream, !one_of(3));
    return out;
  }

  std::string make_piece() {
    const uint32_t stream = any_stream();
    switch (random_() % 16) {
      case 0: return make_pieces(stream, one_of(3));
      case 1: return make_data(stream, "", true);
      case 2:
      case 3: return make_reset(stream);
      case 4: return make_window_update(one_of(2) ? 0 : stream, any_of({1000u, 1u << 20, 0u}));
      case 5: return make_settings(0);
      case 6: return one_of(3) ? make_ping() : make_settings(NGHTTP2_FLAG_ACK);
      case 7: return one_of(3) ? make_begin(stream, one_of(2)) : make_new_call();
      case 8:
        if (!one_of(10)) return make_new_call();
        return make_frame(static_cast<uint8_t>(random_()), static_cast<uint8_t>(random_()),
                          one_of(2) ? 0 : stream, any_bytes(20));
      default: return make_new_call();
    }
  }

  std::mt19937_64 random_;
  uint32_t next_stream_ = 1;
};

class RandomFramesTest : public testing::Test {
 protected:
  RandomFramesTest() {
    host_.add_unary("/test.Echo/Inline", [](const CallPtr& call) {
      call->answer(std::move(call->request));
      return MORTISE_OK;
    });
    const auto later = [this](const CallPtr& call) {
      host_.post([call] { call->answer(std::move(call->request)); });
      return MORTISE_OK;
    };
    host_.add_unary("/test.Echo/Later", later);
    host_.add_unary("/test.Echo/Watched", later, MORTISE_METHOD_CANCELLABLE);
    host_.add_unary("/test.Echo/Refused", [](const CallPtr&) { return MORTISE_E_STOPPED; });
    const auto open = [this](const StreamPtr& stream) {
      auto state = std::make_shared<EchoState>();
      stream->on_event = [this, stream, state](FakeStream&) {
        host_.post([stream, state] { echo(*stream, *state); });
      };
      stream->credit(64 << 10);
      return MORTISE_OK;
    };
    host_.add_stream("/test.Stream/Echo", MORTISE_BIDI_STREAM, open);
    host_.add_stream("/test.Stream/List", MORTISE_SERVER_STREAM, open);
  }

  FakeHost host_;

 private:
  // Of the host's thread.
  struct EchoState {
    bool ended = false;
    uint64_t sent_bytes = 0;
  };

  // Sends back what comes, as far as it may, and ends with the client.
  static void echo(FakeStream& stream, EchoState& state) {
    if (state.ended) return;
    std::deque<std::string> received;
    uint64_t granted;
    {
      std::lock_guard lock(stream.mutex);
      received.swap(stream.received);
      granted = stream.granted_bytes;
      state.ended = stream.half_closed || stream.cancelled;
    }
    for (std::string& text : received) {
      stream.credit(text.size());
      if (state.sent_bytes >= granted) continue;
      state.sent_bytes += text.size();
      stream.message(std::move(text));
    }
    if (!state.ended) return;
    stream.end(0, "");
    stream.on_event = nullptr;
  }
};

TEST_F(RandomFramesTest, WhateverComesTheServerStays) {
  constexpr uint64_t kConnections = 2000;
  TestServer server(host_);
  for (uint64_t seed = 0; seed < kConnections; ++seed) {
    SCOPED_TRACE(seed);
    HostileBytes hostile(seed);
    std::string bytes = hostile.make_connection();
    const bool damaged = hostile.one_of(2);
    if (damaged) hostile.damage(&bytes);
    RawClient client(server.port());
    client.send(bytes);
    if (damaged) {
      // The server may be waiting for the rest of a frame.
      client.shutdown_writes();
      if (hostile.one_of(2)) client.read_to_end();
    } else if (!hostile.one_of(4)) {
      // One more, to which the answer is short: it has been through all of them, or has left.
      client.send(make_call(hostile.next_stream(), "/none", ""));
      client.read_answer(static_cast<int32_t>(hostile.next_stream()));
    }
    if (seed % 100 == 0) expect_served(server);
    if (HasFailure()) return;
  }
  expect_served(server);
}

}  // namespace
}  // namespace mortise::transport_grpc
