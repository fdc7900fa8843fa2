// testdata/requests.txt: what becomes of a body. The errors in it, and which bodies have none, are
// recorded from etcd 3.7.1's gateway; what is taken is shown as JSON of our own.
#include "host/json/request.h"

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <fstream>

#include "host/json/descriptors.h"
#include "host/json/response.h"
#include "proto/rpc.pb.h"

namespace mortise::json {
namespace {

// "<0a>" in the file stands for a byte.
std::string unescape(std::string_view line) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '<' && i + 3 < line.size() && line[i + 3] == '>') {
      out += static_cast<char>(std::stoi(std::string(line.substr(i + 1, 2)), nullptr, 16));
      i += 3;
    } else {
      out += line[i];
    }
  }
  return out;
}

std::string to_wire(const MessageTable& table, std::string_view json) {
  ByteBuffer wire;
  const Status status = request_to_wire(table, json, &wire);
  EXPECT_TRUE(status.ok()) << status.message();
  return std::string(wire.view());
}

class Requests : public ::testing::Test {
 protected:
  const MessageTable& request_of(const std::string& path) {
    return *tables_.of(*find_method(path)->input_type());
  }
  // "= <as JSON>" or "! <error>".
  std::string outcome(const std::string& path, std::string_view json) {
    const MessageTable& table = request_of(path);
    ByteBuffer wire;
    const Status status = request_to_wire(table, json, &wire);
    if (!status.ok()) return "! " + status.message();
    ByteBuffer back;
    const Status written = wire_to_json(table, wire.view(), &back);
    return written.ok() ? "= " + std::string(back.view()) : "not a message: " + written.message();
  }

  TableSet tables_;
};

TEST_F(Requests, AsRecorded) {
  std::ifstream file("testdata/requests.txt");
  std::string line;
  std::string path;
  std::string body;
  int cases = 0;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    if (line[0] == '/') {
      path = line;
    } else if (line[0] == '>') {
      body = line.substr(2);
    } else {
      EXPECT_EQ(outcome(path, unescape(body)), unescape(line)) << body;
      ++cases;
    }
  }
  EXPECT_GT(cases, 190);
}

TEST_F(Requests, NothingIsTheEmptyMessage) {
  EXPECT_EQ(outcome("/etcdserverpb.KV/Range", ""), "= {}");
  EXPECT_EQ(outcome("/etcdserverpb.KV/Range", " \r\n\t"), "= {}");
}

std::string nested_txn(int levels, const std::string& inner) {
  std::string json = inner;
  for (int i = 0; i < levels; ++i) json = R"({"success":[{"request_txn":)" + json + "}]}";
  return json;
}

TEST_F(Requests, TxnsNestAsDeepAsOverGrpc) {
  const std::string inner = R"({"success":[{"request_put":{"key":"Zm9v"}}]})";
  const std::string wire = to_wire(request_of("/etcdserverpb.KV/Txn"), nested_txn(256, inner));
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const uint8_t*>(wire.data()),
                                                static_cast<int>(wire.size()));
  stream.SetRecursionLimit(1000);
  etcdserverpb::TxnRequest txn;
  ASSERT_TRUE(txn.ParseFromCodedStream(&stream));
  EXPECT_EQ(txn.ByteSizeLong(), wire.size());
  const etcdserverpb::TxnRequest* at = &txn;
  for (int i = 0; i < 256; ++i) at = &at->success(0).request_txn();
  EXPECT_EQ(at->success(0).request_put().key(), "foo");
}

TEST_F(Requests, DepthHasALimit) {
  const std::string path = "/etcdserverpb.KV/Txn";
  const std::string deep = std::string(kJsonDepthMax, '[') + std::string(kJsonDepthMax, ']');
  EXPECT_EQ(outcome(path, R"({"nope":)" + deep.substr(1, deep.size() - 2) + "}"), "= {}");
  EXPECT_EQ(outcome(path, R"({"nope":)" + deep + "}"), "! exceeded max depth");
  EXPECT_EQ(outcome(path, std::string(10'000'000, '[')), "! exceeded max depth");
  std::string objects;
  for (int i = 0; i < 1'000'000; ++i) objects += "{\"a\":";
  EXPECT_EQ(outcome(path, objects), "! exceeded max depth");
}

TEST_F(Requests, LargeValuesOfAllSizes) {
  for (size_t size : {0, 1, 2, 3, 63, 64, 3000, 4063, 4064, 4065, 4096, 100'000, 3'000'000}) {
    etcdserverpb::PutRequest put;
    put.set_key("k");
    put.set_value(std::string(size, 'v'));
    ByteBuffer json;
    const MessageTable& table = request_of("/etcdserverpb.KV/Put");
    ASSERT_TRUE(wire_to_json(table, put.SerializeAsString(), &json).ok());
    EXPECT_EQ(to_wire(table, json.view()), put.SerializeAsString()) << size;
  }
}

TEST_F(Requests, LongValuesAreCutInErrors) {
  const std::string value(1'000'000, '!');
  const std::string text =
      outcome("/etcdserverpb.KV/Put", R"({"key":"Zm9v","value":")" + value + "\"}");
  EXPECT_EQ(text, "! proto: (line 1:23): invalid value for bytes field value: \"" +
                      value.substr(0, 99) + "...");
}

TEST_F(Requests, HalvesOfPairsOfSurrogatesAreNoText) {
  const std::string path = "/etcdserverpb.Auth/UserGet";
  const std::string error = "! proto: syntax error (line 1:9): invalid escape code in string";
  EXPECT_EQ(outcome(path, R"({"name":"\ud800"})"), error);
  EXPECT_EQ(outcome(path, R"({"name":"\ud800x"})"), error);
  EXPECT_EQ(outcome(path, R"({"name":"\ud800\ud800"})"), error);
  EXPECT_EQ(outcome(path, R"({"name":"\udc00"})"),
            R"(! proto: (line 1:9): invalid value for string field name: "\udc00")");
}

// Where etcd is more lenient, or names it otherwise: nobody sends these.
TEST_F(Requests, DifferFromEtcd) {
  const std::string path = "/etcdserverpb.KV/Range";
  EXPECT_EQ(outcome(path, R"({"limit":0e99999999999})"),
            "! proto: (line 1:10): number too large: 0e99999999999");
  EXPECT_EQ(outcome(path, R"({"limit":"1 2"})"),
            R"(! proto: (line 1:10): invalid value for int64 field limit: "1 2")");
}

// Lengths of what is nested need one byte, two or three.
TEST_F(Requests, NestedLengthsOfAllSizes) {
  const MessageTable& table = request_of("/etcdserverpb.KV/Txn");
  for (int size : {0, 1, 100, 121, 122, 123, 124, 125, 126, 127, 128, 129, 16370, 16384, 100'000}) {
    etcdserverpb::TxnRequest txn;
    for (int i = 0; i < 3; ++i) {
      auto* inner = txn.add_success()->mutable_request_txn();
      inner->add_compare()->set_key(std::string(static_cast<size_t>(size), 'k'));
      inner->add_failure()->mutable_request_delete_range()->set_key("x");
    }
    ByteBuffer json;
    ASSERT_TRUE(wire_to_json(table, txn.SerializeAsString(), &json).ok());
    EXPECT_EQ(to_wire(table, json.view()), txn.SerializeAsString()) << size;
  }
}

}  // namespace
}  // namespace mortise::json
