// One HTTP/1 connection: reads requests, has them answered one after the other, keeps the limits.
//
// A request is begun when the answer to the one before is complete: nearly all are POSTs, which a
// server must not reorder. Answers that are there at once (reads) leave together.
//
// Everything runs on the worker's loop. The connection keeps itself alive through the operations of
// its socket and the calls that are under way.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "plugins/transport_common/output.h"
#include "plugins/transport_http/call.h"
#include "plugins/transport_http/input.h"
#include "plugins/transport_http/parser.h"
#include "plugins/transport_http/reply.h"
#include "plugins/transport_http/worker.h"

namespace mortise::transport_http {

class HttpStream;
struct Asset;

struct Peer {
  uint32_t serves = 0;
  bool is_tls = false;
  std::string listener;
  std::string remote;
  std::string common_name;
};

class Connection final : public SocketOwner,
                         public CallReceiver,
                         public PageReceiver,
                         public Watched {
 public:
  Connection(Worker& worker, int fd, Peer peer);
  ~Connection() override;
  void begin();

  void on_read(size_t bytes) override;
  void on_writable() override;
  void on_answer(CallAnswer answer) override;
  void on_page(PageAnswer answer) override;
  void sweep(Clock::time_point now) override;
  void begin_drain() override;
  void give_up() override;
  void close() override;

  // For the stream that is being served.
  Context& context() { return context_; }
  Loop& loop() { return worker_.loop; }
  Output& out() { return out_; }
  const ReplyStyle& style() const { return style_; }
  // It has room for more of the request.
  void feed() { advance(); }
  // Its answer is complete.
  void stream_ended();
  // Sends what there is, and reads on if that is wanted.
  void proceed();

 private:
  enum class Phase : uint8_t {
    kHead,  // Between requests, too.
    kBody,
    kCall,    // The host works on the request.
    kStream,  // stream_ has the word.
    kLinger,  // All is said; until the client closes.
    kClosed
  };
  // What is done with a request once its body is there.
  enum class Plan : uint8_t { kCall, kPage, kAsset, kSay };

  // connection.cc
  void advance();
  bool step();
  bool parse_head();
  bool take_body();
  bool take_sized_body();
  bool take_chunks();
  bool keep_body(std::string_view bytes);
  void drop_body();
  void feed_stream();
  void flush();
  void read_more();
  void on_peer_end();
  void refuse(int status, std::string_view reason);
  void linger();
  void end_exchange();
  void uncount();
  bool is_late(Clock::time_point now) const;

  // dispatch.cc
  void on_head(const Head& head);
  void route(const Head& head);
  void route_method(const Head& head, std::string_view path);
  void route_page(const Head& head, std::string path);
  bool admit(const Head& head);
  bool has_gateway() const;
  bool redirects(const Head& head);
  bool prepare_caller(const Head& head);
  void open_stream(const Head& head, bool events);
  void upgrade(const Head& head);
  void say_error(mortise_rpc_code code, std::string_view message);
  void say_text(int status, std::string text);
  void on_body(std::string_view body);
  void start_call(std::string_view body);
  void write_call_answer(CallAnswer answer);
  void start_page(std::string_view body);
  void write_page_answer(PageAnswer answer);
  void write_asset();
  void on_timeout();

  Worker& worker_;
  Context& context_;
  const Peer peer_;
  Socket socket_;
  Input input_;
  Output out_;
  Parser parser_;
  Phase phase_ = Phase::kHead;
  Plan plan_ = Plan::kSay;
  bool reading_ = false;
  bool waiting_writable_ = false;
  bool closing_ = false;  // When all is sent.
  bool peer_ended_ = false;
  bool counted_ = false;     // Among the calls, while draining.
  bool body_ended_ = false;  // Of a stream's request.
  Clock::time_point since_;  // The phase, or the first byte of a head.
  Clock::time_point last_sent_;

  // The request.
  ReplyStyle style_;
  const mortise_method* method_ = nullptr;
  CallerInfo caller_;
  bool chunked_ = false;
  uint64_t body_left_ = 0;  // Unless chunked.
  std::string body_;        // So far, if it did not come in one piece.
  uint64_t budget_taken_ = 0;
  struct PageWish {
    std::string method;
    std::string path;
    std::string query;
    std::string accept;
    bool accepts_gzip = false;
  };
  std::unique_ptr<PageWish> wish_;
  const Asset* asset_ = nullptr;
  bool asset_method_allowed_ = false;
  // What plan kSay says; an error of the gateway if the code is set, else text.
  struct Saying {
    mortise_rpc_code code = 0;
    int status = 200;
    std::string text;
    std::string location;  // Of a redirection, else empty.
  };
  std::unique_ptr<Saying> saying_;
  UnaryCall* call_ = nullptr;
  PageCall* page_ = nullptr;
  std::unique_ptr<HttpStream> stream_;
  std::unique_ptr<Timer> timer_;  // Of Grpc-Timeout.
};

}  // namespace mortise::transport_http
