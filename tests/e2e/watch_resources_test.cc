// What watch clients can cost a server: many watchers, many streams, clients that do not read, and
// connections that say nothing. Memory is bounded and everybody else is served.
// MORTISE_WATCH_SCALE multiplies the numbers (1; 50 is what docs/limits.md speaks of).
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;

int scale() {
  const char* wanted = std::getenv("MORTISE_WATCH_SCALE");
  return wanted == nullptr ? 1 : std::max(1, std::atoi(wanted));
}

// One stream; nothing is read unless a test asks for it.
class Stream {
 public:
  explicit Stream(Client* client) : Stream(client->watch()) {}
  explicit Stream(etcdserverpb::Watch::Stub& stub) : stream_(stub.Watch(&context_)) {}
  ~Stream() {
    context_.TryCancel();
    WatchResponse response;
    while (stream_->Read(&response)) continue;
    stream_->Finish();
  }
  bool create(const std::string& key, int64_t start = 0) {
    WatchRequest request;
    request.mutable_create_request()->set_key(key);
    request.mutable_create_request()->set_start_revision(start);
    return stream_->Write(request);
  }
  void cancel(int64_t watch_id) {
    WatchRequest request;
    request.mutable_cancel_request()->set_watch_id(watch_id);
    stream_->Write(request);
  }
  WatchResponse next() {
    WatchResponse response;
    EXPECT_TRUE(stream_->Read(&response)) << "the stream ended";
    return response;
  }
  void give_up() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<WatchRequest, WatchResponse>> stream_;
};

// A connection whose client takes 64 KiB ahead of what is read; others take MiBs.
std::unique_ptr<etcdserverpb::Watch::Stub> narrow_connection(const std::string& endpoint) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 64 << 10);
  return etcdserverpb::Watch::NewStub(
      grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments));
}

class WatchResources : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    node_ = std::make_unique<Node>(mortise_target(GetParam()), NodeOptions{.in_memory = true});
    ASSERT_EQ(node_->start().message(), "");
    client_ = std::make_unique<Client>(node_->endpoint());
    // What the store keeps of recent writes is there before anything is measured.
    for (int i = 0; i < 100; ++i) put("warm", std::string(1 << 20, 'w'));
  }
  int64_t put(const std::string& key, const std::string& value) {
    int64_t revision = 0;
    grpc::Status status = client_->put(key, value, &revision);
    EXPECT_TRUE(status.ok()) << status_text(status);
    return revision;
  }
  // Resident memory of the server.
  int64_t memory() const {
    const std::string statm = read_text("/proc/" + std::to_string(node_->pid()) + "/statm");
    return std::stoll(statm.substr(statm.find(' '))) * ::sysconf(_SC_PAGESIZE);
  }
  void expect_growth(const char* what, int64_t before, int64_t most) {
    const int64_t growth = memory() - before;
    std::printf("%s, %s: %ld KiB, may be %ld\n", GetParam().c_str(), what, growth >> 10,
                most >> 10);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_LE(growth, most) << what;
#endif
  }
  // Somebody who reads gets an event for a put.
  void expect_served() {
    Client client(node_->endpoint());
    Stream stream(&client);
    ASSERT_TRUE(stream.create("served"));
    EXPECT_TRUE(stream.next().created());
    const int64_t revision = put("served", "v");
    EXPECT_EQ(stream.next().header().revision(), revision);
  }
  // Connections, each with its share of the streams.
  std::vector<std::unique_ptr<Client>> connections(int count) {
    std::vector<std::unique_ptr<Client>> out;
    for (int i = 0; i < count; ++i) out.push_back(std::make_unique<Client>(node_->endpoint()));
    return out;
  }
  std::unique_ptr<Node> node_;
  std::unique_ptr<Client> client_;
};

TEST_P(WatchResources, ManyWatchersOnOneStream) {
  const int watchers = 2000 * scale();
  const int64_t before = memory();
  Stream stream(client_.get());
  std::thread writer([&] {
    for (int i = 0; i < watchers; ++i) ASSERT_TRUE(stream.create(i % 2 == 0 ? "hot" : "cold"));
  });
  for (int i = 0; i < watchers; ++i) EXPECT_EQ(stream.next().watch_id(), i);
  writer.join();
  expect_growth("watchers on one stream", before, (8 << 20) + int64_t{1024} * watchers);
  const int64_t revision = put("hot", "v");
  for (int i = 0; i < watchers / 2; ++i) {
    WatchResponse response = stream.next();
    EXPECT_EQ(response.events_size(), 1);
    EXPECT_EQ(response.header().revision(), revision);
  }
}

TEST_P(WatchResources, ManyIdleStreams) {
  const int streams = 200 * scale();
  auto clients = connections(std::max(1, streams / 1000));
  const int64_t before = memory();
  std::vector<std::unique_ptr<Stream>> open;
  for (int i = 0; i < streams; ++i) {
    open.push_back(
        std::make_unique<Stream>(clients[static_cast<size_t>(i) % clients.size()].get()));
    ASSERT_TRUE(open.back()->create("idle"));
  }
  for (auto& stream : open) EXPECT_TRUE(stream->next().created());
  expect_growth("idle streams", before, (8 << 20) + int64_t{32 << 10} * streams);
  const int64_t revision = put("idle", "v");
  for (auto& stream : open) EXPECT_EQ(stream->next().header().revision(), revision);
}

TEST_P(WatchResources, ClientsThatReadNoEvents) {
  const int streams = 20 * scale();
  auto clients = connections(std::max(2, streams / 50));
  std::vector<std::unique_ptr<Stream>> stalled;
  for (int i = 0; i < streams; ++i) {
    Client* client = clients[static_cast<size_t>(i) % clients.size()].get();
    stalled.push_back(std::make_unique<Stream>(client));
    ASSERT_TRUE(stalled.back()->create("hot"));
    EXPECT_TRUE(stalled.back()->next().created());
  }
  Stream reader(client_.get());
  ASSERT_TRUE(reader.create("hot"));
  EXPECT_TRUE(reader.next().created());
  const int64_t before = memory();
  constexpr int kEvents = 800;
  for (int i = 0; i < kEvents; ++i) {
    const int64_t revision = put("hot", std::string(10 << 10, 'v'));
    ASSERT_EQ(reader.next().events(0).kv().mod_revision(), revision) << "held up by others";
  }
  // Each has its window of 1 MiB, up to the budget of all, and what gRPC keeps for it.
  const int64_t most = std::min<int64_t>(int64_t{streams} << 20, 256 << 20);
  expect_growth("unread events", before, most + int64_t{200 << 10} * streams + (40 << 20));
  // Whoever begins to read misses nothing.
  int64_t events = 0;
  while (events < kEvents && !HasFailure()) events += stalled[0]->next().events_size();
  EXPECT_EQ(events, kEvents);
}

TEST_P(WatchResources, ClientsThatCreateAndDoNotRead) {
  const int streams = 4 * scale();
  constexpr int kMost = 200000;
  std::vector<std::unique_ptr<etcdserverpb::Watch::Stub>> stubs;
  for (int i = 0; i < streams; ++i) stubs.push_back(narrow_connection(node_->endpoint()));
  const int64_t before = memory();
  std::vector<std::unique_ptr<Stream>> hostile;
  std::vector<std::thread> threads;
  std::atomic<int64_t> written{0};
  for (int i = 0; i < streams; ++i) {
    hostile.push_back(std::make_unique<Stream>(*stubs[static_cast<size_t>(i)]));
    threads.emplace_back([&written, stream = hostile.back().get()] {
      for (int n = 0; n < kMost && stream->create(""); ++n) ++written;
    });
  }
  // Until the server takes no more.
  for (int64_t last = -1; last != written;) {
    last = written;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  EXPECT_LT(written, int64_t{kMost} * streams) << "nothing held them up";
  std::printf("%ld requests\n", written.load());
  expect_growth("unread answers", before, (8 << 20) + int64_t{3 << 20} * streams);
  expect_served();
  for (auto& stream : hostile) stream->give_up();
  for (std::thread& thread : threads) thread.join();
}

TEST_P(WatchResources, ControlBesideABacklog) {
  int64_t first = 0;
  for (int i = 0; i < 3000 * scale(); ++i) {
    const int64_t revision = put("backlog", std::string(4 << 10, 'v'));
    if (i == 0) first = revision;
  }
  // The window is full of events when the requests come.
  Stream stream(client_.get());
  ASSERT_TRUE(stream.create("backlog", first));
  EXPECT_TRUE(stream.next().created());
  int64_t bytes = static_cast<int64_t>(stream.next().ByteSizeLong());
  ASSERT_TRUE(stream.create("other"));
  stream.cancel(0);
  bool created = false;
  for (;;) {
    WatchResponse response = stream.next();
    bytes += static_cast<int64_t>(response.ByteSizeLong());
    created |= response.created() && response.watch_id() == 1;
    if (response.canceled() || HasFailure()) break;
  }
  EXPECT_TRUE(created);
  EXPECT_LT(bytes, 6 << 20) << "the answers waited for the backlog";
}

TEST_P(WatchResources, ConnectionsThatSayNothing) {
  const int count = 100 * std::min(scale(), 8);
  const int64_t before = memory();
  std::vector<int> sockets;
  const std::string endpoint = node_->endpoint();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port =
      htons(static_cast<uint16_t>(std::stoi(endpoint.substr(endpoint.find(':') + 1))));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // Nothing, half of HTTP/2's first words, and those with half a frame behind them.
  const std::string preface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x20", 27);
  const size_t sizes[] = {0, 7, preface.size()};
  for (int i = 0; i < count; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const size_t size = sizes[i % 3];
    ASSERT_EQ(::send(fd, preface.data(), size, 0), static_cast<ssize_t>(size));
    sockets.push_back(fd);
  }
  expect_served();
  expect_growth("silent connections", before, (8 << 20) + int64_t{128 << 10} * count);
  for (int fd : sockets) ::close(fd);
}

INSTANTIATE_TEST_SUITE_P(Backends, WatchResources, ::testing::Values("rocksdb", "lmdb"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
