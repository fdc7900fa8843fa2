// Bodies and messages with bytes changed are read or refused: no crash, and what is read is a
// message that can be written again. The seeds are fixed, so a failure comes again.
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <random>

#include "host/json/request.h"
#include "host/json/response.h"
#include "host/json/text.h"
#include "proto/health.pb.h"
#include "proto/rpc.pb.h"

namespace mortise::json {
namespace {

constexpr std::string_view kBodies[] = {
    R"({"key":"Zm9v","value":"YmFyYmF6","lease":"12","prev_kv":true})",
    R"({"key":"Zm9v","range_end":"AA","limit":10,"sort_order":"ASCEND","sortTarget":2,"x":[1,{}]})",
    R"({"compare":[{"key":"Zm9v","version":"1"}],"success":[{"request_put":{"key":"Zm9v"}},)"
    R"({"request_txn":{"failure":[{"requestRange":{"key":"Zg=="}}]}}],"failure":[]})",
    R"({"create_request":{"key":"Zg","filters":["NOPUT",1],"watch_id":"-3e0"}})",
    R"({"ID":"1","peerURLs":["http://a:1","\u00e9\ud83d\ude00\n"]})",
    R"({"statuses":{"a":{"status":"SERVING"},"b":{},"c":{"status":9}}})",
};

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}
  size_t below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }

  std::string mutate(std::string text) {
    for (size_t n = 1 + below(4); n > 0; --n) change_one(&text);
    return text;
  }

 private:
  void change_one(std::string* text) {
    static constexpr std::string_view kTokens[] = {"\"",      "{",
                                                   "}",       "[",
                                                   "]",       ",",
                                                   ":",       "\\",
                                                   "\\ud800", "null",
                                                   "true",    "1e99",
                                                   "-",       "0.",
                                                   "\xff",    "\xed\xa0\x80",
                                                   "\n",      "=",
                                                   "_-",      "18446744073709551616",
                                                   "\\u00",   "[[[[",
                                                   R"("a":)", "{\"",
                                                   "\t",      "99999999999999999999"};
    const size_t at = below(text->size() + 1);
    switch (below(7)) {
      case 0: text->resize(at); return;
      case 1: text->insert(at, 1, static_cast<char>(random_())); return;
      case 2: text->insert(at, kTokens[below(std::size(kTokens))]); return;
      case 3: text->erase(at, below(5)); return;
      case 4: text->insert(at, text->substr(below(text->size() + 1), below(40))); return;
      case 5: text->insert(at, 1, '\0'); return;
      default:
        if (at < text->size()) (*text)[at] = static_cast<char>(random_());
    }
  }

  std::mt19937 random_;
};

std::vector<const MessageTable*> tables(TableSet* set) {
  return {set->of(*etcdserverpb::PutRequest::descriptor()),
          set->of(*etcdserverpb::RangeRequest::descriptor()),
          set->of(*etcdserverpb::TxnRequest::descriptor()),
          set->of(*etcdserverpb::WatchRequest::descriptor()),
          set->of(*etcdserverpb::MemberUpdateRequest::descriptor()),
          set->of(*grpc::health::v1::HealthListResponse::descriptor())};
}

TEST(JsonFuzz, BodiesAreReadOrRefused) {
  TableSet set;
  const auto types = tables(&set);
  Mutator mutator(1);
  int read = 0;
  constexpr int kRounds = 30'000;
  for (int i = 0; i < kRounds; ++i) {
    const size_t which = mutator.below(types.size());
    // Of its exact size, so that a sanitizer sees what reads beyond it.
    const std::string text = mutator.mutate(std::string(kBodies[which]));
    const std::vector<char> body(text.begin(), text.end());
    ByteBuffer wire;
    const Status status =
        request_to_wire(*types[which], std::string_view(body.data(), body.size()), &wire);
    if (!status.ok()) {
      ASSERT_FALSE(status.message().empty());
      ASSERT_EQ(find_invalid_utf8(status.message()), status.message().size()) << text;
      continue;
    }
    ++read;
    ByteBuffer json;
    const Status written = wire_to_json(*types[which], wire.view(), &json);
    ASSERT_TRUE(written.ok()) << written.message() << "\n" << text;
    ByteBuffer again;
    ASSERT_TRUE(request_to_wire(*types[which], json.view(), &again).ok()) << json.view();
  }
  EXPECT_GT(read, kRounds / 20);
  EXPECT_LT(read, kRounds);
}

TEST(JsonFuzz, MessagesAreReadOrRefused) {
  TableSet set;
  const auto types = tables(&set);
  std::vector<std::string> seeds;
  for (size_t i = 0; i < types.size(); ++i) {
    ByteBuffer wire;
    ASSERT_TRUE(request_to_wire(*types[i], kBodies[i], &wire).ok());
    seeds.emplace_back(wire.view());
  }
  Mutator mutator(2);
  for (int i = 0; i < 30'000; ++i) {
    const size_t which = mutator.below(types.size());
    const std::string bytes = mutator.mutate(seeds[which]);
    const std::vector<char> exact(bytes.begin(), bytes.end());
    ByteBuffer json;
    if (!wire_to_json(*types[which], std::string_view(exact.data(), exact.size()), &json).ok()) {
      continue;
    }
    ASSERT_EQ(find_invalid_utf8(json.view()), json.size());
    ByteBuffer again;
    const Status status = request_to_wire(*types[which], json.view(), &again);
    ASSERT_TRUE(status.ok()) << status.message() << "\n" << json.view();
  }
}

}  // namespace
}  // namespace mortise::json
