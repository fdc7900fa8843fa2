#include "host/watch/test_env.h"

#include <filesystem>

#include "gtest/gtest.h"
#include "host/loader/loader.h"
#include "host/mvcc/compactor.h"

namespace mortise::watch {
namespace {

// Long enough for the slowest machine; only a failure waits for it.
constexpr auto kPatience = std::chrono::seconds(60);

TestKeyValue to_test(std::string_view bytes) {
  wire::KeyValue kv;
  EXPECT_TRUE(wire::decode_key_value(bytes, &kv));
  return {std::string(kv.key), std::string(kv.value), kv.create_revision, kv.mod_revision,
          kv.version};
}

TestEvent decode_event(std::string_view bytes) {
  TestEvent event;
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) event.is_delete = f.varint == 1;
    if (f.is_bytes(2)) event.kv = to_test(f.bytes);
    if (f.is_bytes(3)) event.prev = to_test(f.bytes);
  }
  EXPECT_FALSE(reader.failed());
  return event;
}

void decode_header(std::string_view bytes, Response* out) {
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) out->cluster_id = f.varint;
    if (f.is_varint(2)) out->member_id = f.varint;
    if (f.is_varint(3)) out->revision = static_cast<int64_t>(f.varint);
    if (f.is_varint(4)) out->raft_term = f.varint;
  }
  EXPECT_FALSE(reader.failed());
}

std::string plugin_path(const std::string& name) {
  const char* build = std::getenv("MORTISE_BUILD_DIR");
  MORTISE_CHECK(build != nullptr, "MORTISE_BUILD_DIR is not set; run through ctest");
  return std::string(build) + "/plugins/" + name + ".so";
}

}  // namespace

Response decode_response(std::string_view bytes) {
  Response out;
  out.bytes = bytes.size();
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_bytes(1)) decode_header(f.bytes, &out);
    if (f.is_varint(2)) out.watch_id = static_cast<int64_t>(f.varint);
    if (f.is_varint(3)) out.created = f.varint != 0;
    if (f.is_varint(4)) out.canceled = f.varint != 0;
    if (f.is_varint(5)) out.compact_revision = static_cast<int64_t>(f.varint);
    if (f.is_bytes(6)) out.cancel_reason = f.bytes;
    if (f.is_varint(7)) out.fragment = f.varint != 0;
    if (f.is_bytes(11)) out.events.push_back(decode_event(f.bytes));
  }
  EXPECT_FALSE(reader.failed());
  return out;
}

std::string Response::events_text() const {
  std::string text;
  for (const TestEvent& event : events) {
    if (!text.empty()) text += "; ";
    text +=
        event.is_delete ? "delete " + event.kv.key : "put " + event.kv.key + "=" + event.kv.value;
    text += "@" + std::to_string(event.kv.mod_revision);
  }
  return text;
}

std::string create_request(const WatchOptions& options) {
  std::string create;
  if (!options.key.empty()) wire::append_bytes_field(&create, 1, options.key);
  if (!options.range_end.empty()) wire::append_bytes_field(&create, 2, options.range_end);
  wire::append_varint_field(&create, 3, static_cast<uint64_t>(options.start_revision));
  wire::append_varint_field(&create, 4, options.progress_notify);
  std::string filters;
  if (options.no_put) filters += '\0';
  if (options.no_delete) filters += '\1';
  if (!filters.empty()) wire::append_bytes_field(&create, 5, filters);
  wire::append_varint_field(&create, 6, options.prev_kv);
  wire::append_varint_field(&create, 7, static_cast<uint64_t>(options.watch_id));
  wire::append_varint_field(&create, 8, options.fragment);
  std::string request;
  wire::append_bytes_field(&request, 1, create);
  return request;
}

std::string cancel_request(int64_t watch_id) {
  std::string cancel;
  wire::append_varint_field(&cancel, 1, static_cast<uint64_t>(watch_id));
  std::string request;
  wire::append_bytes_field(&request, 2, cancel);
  return request;
}

std::string progress_request() { return std::string("\x1a\x00", 2); }

TestMember::TestMember(HubOptions options) {
  std::string pattern = (std::filesystem::temp_directory_path() / "mortise-watch-XXXXXX").string();
  MORTISE_CHECK(mkdtemp(pattern.data()) != nullptr, "no temporary directory");
  dir_ = pattern;
  host_ = std::make_unique<loader::HostObject>(loader::HostOptions{});
  auto backend = loader::load(plugin_path("backend_memory"), {}, "").value();
  store_ = store::Store::open(loader::backend(*backend).value(), host_->get(), dir_, "{}").value();
  writer_ = std::make_unique<mvcc::Writer>(
      store_.get(), [](int64_t) { return true; }, [this] { return hub_ && hub_->wants_prev(); });
  MORTISE_CHECK(writer_->open().ok(), "the store does not open");
  options.header = [](int64_t revision) { return rpc::Header{7, 8, revision, 9}; };
  options.revision = [this] { return revision_.load(); };
  if (!options.failed) {
    options.failed = [](const Status& status) { ADD_FAILURE() << status.message(); };
  }
  auto index = loader::load(plugin_path("watch_interval"), {}, "").value();
  hub_ = Hub::create(store_.get(), loader::watch(*index).value(), host_->get(), "{}",
                     std::move(options))
             .value();
}

TestMember::~TestMember() {
  hub_.reset();
  writer_.reset();
  store_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

void TestMember::put(const std::string& key, const std::string& value) {
  mvcc::Outcome outcome;
  wire::PutRequest request;
  request.key = key;
  request.value = value;
  ASSERT_TRUE(writer_->put(request, false, &outcome).ok());
}

void TestMember::remove(const std::string& key, const std::string& range_end) {
  mvcc::Outcome outcome;
  wire::DeleteRangeRequest request;
  request.key = key;
  request.range_end = range_end;
  ASSERT_TRUE(writer_->delete_range(request, false, &outcome).ok());
}

void TestMember::txn(wire::TxnRequest request) {
  mvcc::Outcome outcome;
  ASSERT_TRUE(writer_->txn(request, false, &outcome).ok());
  ASSERT_TRUE(outcome.rpc.ok()) << outcome.rpc.message();
}

void TestMember::commit() {
  std::shared_ptr<mvcc::EventBatch> events;
  ASSERT_TRUE(writer_->commit(++index_, 1, &events).ok());
  revision_.store(writer_->revision());
  hub_->publish(std::move(events));
}

void TestMember::compact(int64_t revision, bool tell_hub) {
  const int64_t before = writer_->compacted();
  ASSERT_TRUE(writer_->compact(revision).ok());
  if (tell_hub) hub_->compacted(revision);
  commit();
  mvcc::ScanResult scan;
  ASSERT_TRUE(mvcc::find_removals(
                  *store_, before, revision, {.pause = [] { return true; }},
                  [&](std::unique_ptr<mvcc::Removal> removal) {
                    ASSERT_TRUE(store_->commit(removal->batch, ++index_, 1).ok());
                  },
                  &scan)
                  .ok());
  ASSERT_TRUE(writer_->begin().ok());
}

int64_t TestMember::put_now(const std::string& key, const std::string& value) {
  put(key, value);
  commit();
  return revision();
}

int64_t TestMember::remove_now(const std::string& key) {
  remove(key);
  commit();
  return revision();
}

TestClient::TestClient(Hub* hub, uint64_t credit, bool keep_window, PermitFn permit,
                       RecheckFn recheck)
    : keep_window_(keep_window) {
  mortise_stream_events events{};
  events.struct_size = sizeof(events);
  events.on_message = &message_fn;
  events.on_credit = &credit_fn;
  events.on_end = &end_fn;
  stream_ =
      hub->open_stream(rpc::ClientStream(&events, this), std::move(permit), std::move(recheck));
  if (stream_ != nullptr) grant(credit);
}

TestClient::~TestClient() {
  if (stream_ == nullptr) return;
  cancel();
  (void)wait_end();
  std::lock_guard lock(call_mutex_);  // The last event has left this object.
}

void TestClient::send(std::string request) {
  {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, kPatience, [&] { return request_credit_ > 0; }))
        << "the hub does not take requests";
    request_credit_ -= static_cast<int64_t>(request.size());
  }
  ByteBuffer buffer;
  buffer.append(request);
  call([&](rpc::ServerStream* s) {
    s->on_message(rpc::Payload(rpc::to_buffer(std::move(buffer))));
  });
}

void TestClient::grant(uint64_t bytes) {
  call([&](rpc::ServerStream* s) { s->on_grant(bytes); });
}

void TestClient::read_at_once() {
  reads_at_once_ = true;
  grant(1 << 30);
}

void TestClient::cancel() {
  call([](rpc::ServerStream* s) { s->on_cancel(); });
}

void TestClient::half_close() {
  call([](rpc::ServerStream* s) { s->on_half_close(); });
}

void TestClient::call(const std::function<void(rpc::ServerStream*)>& f) {
  std::lock_guard lock(call_mutex_);
  if (!ended()) f(stream_);
}

Response TestClient::next() {
  Response response;
  {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return !messages_.empty(); })) {
      ADD_FAILURE() << "no message came";
      return response;
    }
    response = std::move(messages_.front());
    messages_.pop_front();
  }
  if (keep_window_) grant(response.bytes);
  return response;
}

Response TestClient::created(const WatchOptions& options) {
  watch(options);
  Response response = next();
  EXPECT_TRUE(response.created);
  EXPECT_TRUE(response.events.empty());
  return response;
}

std::vector<Response> TestClient::until_now() {
  // Creating and canceling a watcher of no interest is answered in order with everything else.
  const int64_t id = barrier_id_++;
  watch({.key = "\x7f none", .start_revision = INT64_MAX, .watch_id = id});
  send(cancel_request(id));
  std::vector<Response> before;
  for (;;) {
    Response response = next();
    if (response.watch_id == id && response.created) continue;
    if (response.watch_id == id || ::testing::Test::HasFailure()) return before;
    before.push_back(std::move(response));
  }
}

bool TestClient::empty() {
  std::lock_guard lock(mutex_);
  return messages_.empty();
}

size_t TestClient::received() {
  std::lock_guard lock(mutex_);
  return all_.size();
}

std::vector<Response> TestClient::all() {
  std::lock_guard lock(mutex_);
  return all_;
}

int64_t TestClient::request_credit() {
  std::lock_guard lock(mutex_);
  return request_credit_;
}

RpcStatus TestClient::wait_end() {
  std::unique_lock lock(mutex_);
  EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return end_.has_value(); }));
  return end_.value_or(RpcStatus());
}

bool TestClient::ended() {
  std::lock_guard lock(mutex_);
  return end_.has_value();
}

void TestClient::message_fn(void* context, mortise_buffer message) {
  auto* self = static_cast<TestClient*>(context);
  Response response = decode_response(rpc::Payload(message).view());
  const size_t bytes = response.bytes;
  {
    std::lock_guard lock(self->mutex_);
    EXPECT_FALSE(self->end_.has_value()) << "a message after the end";
    self->all_.push_back(response);
    self->messages_.push_back(std::move(response));
    self->changed_.notify_all();
  }
  if (self->on_message) self->on_message();
  // On the hub's thread, which sends nothing after the end and cannot wait for call_mutex_.
  if (self->reads_at_once_) self->stream_->on_grant(bytes);
}

void TestClient::credit_fn(void* context, uint64_t bytes) {
  auto* self = static_cast<TestClient*>(context);
  std::lock_guard lock(self->mutex_);
  self->request_credit_ += static_cast<int64_t>(bytes);
  self->changed_.notify_all();
}

void TestClient::end_fn(void* context, mortise_rpc_code code, mortise_bytes message) {
  auto* self = static_cast<TestClient*>(context);
  std::lock_guard calls(self->call_mutex_);
  std::lock_guard lock(self->mutex_);
  EXPECT_FALSE(self->end_.has_value()) << "two ends";
  self->end_ = RpcStatus(static_cast<RpcCode>(code), std::string(store::view(message)));
  self->changed_.notify_all();
}

}  // namespace mortise::watch
