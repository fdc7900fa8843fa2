#include "host/json/response.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "host/json/request.h"
#include "host/wire/codec.h"
#include "proto/election.pb.h"
#include "proto/health.pb.h"
#include "proto/lock.pb.h"
#include "proto/rpc.pb.h"

namespace mortise::json {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

class Responses : public ::testing::Test {
 protected:
  std::string json_of(const Descriptor& type, std::string_view wire) {
    ByteBuffer out;
    const Status status = wire_to_json(*tables_.of(type), wire, &out);
    return status.ok() ? std::string(out.view()) : "! " + status.message();
  }
  std::string json_of(const Message& message) {
    return json_of(*message.GetDescriptor(), message.SerializeAsString());
  }

  TableSet tables_;
};

TEST_F(Responses, ARange) {
  etcdserverpb::RangeResponse range;
  range.mutable_header()->set_cluster_id(14841639068965178418U);
  range.mutable_header()->set_revision(1);
  auto* kv = range.add_kvs();
  kv->set_key("foo");
  kv->set_create_revision(2);
  kv->set_version(-1);
  kv->set_value("bar");
  range.add_kvs()->set_key(std::string("\0\xff", 2));
  range.set_more(true);
  range.set_count(2);
  EXPECT_EQ(
      json_of(range),
      R"({"header":{"cluster_id":"14841639068965178418","revision":"1"},"kvs":[{"key":"Zm9v",)"
      R"("create_revision":"2","version":"-1","value":"YmFy"},{"key":"AP8="}],"more":true,)"
      R"("count":"2"})");
}

TEST_F(Responses, WhatIsUnsetIsLeftOut) {
  EXPECT_EQ(json_of(etcdserverpb::PutResponse()), "{}");
  // Zero on the wire is unset too, but for members of oneofs and what is in lists.
  EXPECT_EQ(json_of(*etcdserverpb::RangeResponse::descriptor(), std::string("\x20\x00\x18\x00", 4)),
            "{}");
  etcdserverpb::TxnResponse txn;
  txn.mutable_header();
  txn.add_responses();
  txn.add_responses()->mutable_response_put();
  EXPECT_EQ(json_of(txn), R"({"header":{},"responses":[{},{"response_put":{}}]})");
  etcdserverpb::Compare compare;
  compare.set_version(0);
  EXPECT_EQ(json_of(compare), R"({"version":"0"})");
  etcdserverpb::LeaseTimeToLiveResponse lease;
  lease.add_keys("");
  lease.add_keys("a");
  EXPECT_EQ(json_of(lease), R"({"keys":["","YQ=="]})");
}

TEST_F(Responses, SmallNumbersEnumsAndText) {
  etcdserverpb::HashKVResponse hash;
  hash.set_hash(4294967295);
  hash.set_compact_revision(-1);
  EXPECT_EQ(json_of(hash), R"({"hash":4294967295,"compact_revision":"-1"})");
  etcdserverpb::AlarmMember alarm;
  alarm.set_memberid(7);
  alarm.set_alarm(etcdserverpb::CORRUPT);
  EXPECT_EQ(json_of(alarm), R"({"memberID":"7","alarm":"CORRUPT"})");
  alarm.set_alarm(static_cast<etcdserverpb::AlarmType>(99));
  EXPECT_EQ(json_of(alarm), R"({"memberID":"7","alarm":99})");
  etcdserverpb::Member member;
  member.set_name("\"\\/\b\f\n\r\t\x01\x1f\x7f<>&\xc3\xa9\xe2\x80\xa8");
  EXPECT_EQ(json_of(member),
            "{\"name\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f<>&\xc3\xa9\xe2\x80\xa8\"}");
}

TEST_F(Responses, MapsInTheOrderOfKeys) {
  grpc::health::v1::HealthListResponse list;
  (*list.mutable_statuses())["b"].set_status(grpc::health::v1::HealthCheckResponse::SERVING);
  (*list.mutable_statuses())["a\n"];
  EXPECT_EQ(json_of(list), R"({"statuses":{"a\n":{},"b":{"status":"SERVING"}}})");
}

// As protobuf's own decoders: merged, last ones count, whatever the order.
TEST_F(Responses, FieldsInAnyOrder) {
  etcdserverpb::RangeResponse first;
  first.set_count(1);
  first.mutable_header()->set_revision(5);
  etcdserverpb::RangeResponse second;
  second.add_kvs()->set_key("a");
  second.mutable_header()->set_raft_term(6);
  second.set_count(2);
  const std::string wire =
      second.SerializeAsString() + first.SerializeAsString() + second.SerializeAsString();
  EXPECT_EQ(json_of(*etcdserverpb::RangeResponse::descriptor(), wire),
            R"({"header":{"revision":"5","raft_term":"6"},"kvs":[{"key":"YQ=="},{"key":"YQ=="}],)"
            R"("count":"2"})");
  etcdserverpb::ResponseOp put;
  put.mutable_response_put()->mutable_header();
  etcdserverpb::ResponseOp range;
  range.mutable_response_range()->set_count(3);
  EXPECT_EQ(json_of(*etcdserverpb::ResponseOp::descriptor(),
                    put.SerializeAsString() + range.SerializeAsString()),
            R"({"response_range":{"count":"3"}})");
}

TEST_F(Responses, UnknownFieldsAreIgnored) {
  std::string bytes;
  wire::append_varint_field(&bytes, 99, 5);
  wire::append_bytes_field(&bytes, 1000, "x");
  wire::append_varint_field(&bytes, 4, 7);
  wire::append_bytes_field(&bytes, 3, "a known number with another wire type");
  EXPECT_EQ(json_of(*etcdserverpb::RangeResponse::descriptor(), bytes), R"({"count":"7"})");
}

TEST_F(Responses, BadMessagesAreRefused) {
  const auto& range = *etcdserverpb::RangeResponse::descriptor();
  EXPECT_EQ(json_of(range, "\x12\x05x"), "! malformed etcdserverpb.RangeResponse");
  EXPECT_EQ(json_of(range, "\x12\x01\x0a"), "! malformed mvccpb.KeyValue");
  EXPECT_EQ(json_of(*etcdserverpb::Member::descriptor(), "\x12\x01\xff"),
            "! field etcdserverpb.Member.name contains invalid UTF-8");
  std::string txn;
  for (int i = 0; i < kMessageDepthMax; ++i) {
    std::string op;
    wire::append_bytes_field(&op, 4, txn);
    txn.clear();
    wire::append_bytes_field(&txn, 3, op);
  }
  EXPECT_NE(json_of(*etcdserverpb::TxnResponse::descriptor(), txn).find("nested too deeply"),
            std::string::npos);
}

// ---- A second opinion: protobuf's own JSON, over random messages of every type.

class RandomMessages {
 public:
  explicit RandomMessages(uint32_t seed) : random_(seed) {}

  void fill(Message* message, int depth) {
    const Descriptor& type = *message->GetDescriptor();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      const bool is_deep = depth > 4 && field.type() == FieldDescriptor::TYPE_MESSAGE;
      if (is_deep || below(3) == 0 || field.is_map()) continue;
      for (uint64_t n = field.is_repeated() ? below(4) : 1; n > 0; --n) set(message, field, depth);
    }
  }

 private:
  uint64_t below(uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random_); }
  uint64_t number() {
    static constexpr uint64_t kEdges[] = {0, 1, 127, 128, INT64_MAX, UINT64_MAX, 0x80000000U};
    return below(3) == 0 ? random_() : kEdges[below(std::size(kEdges))];
  }
  std::string bytes() {
    std::string out(below(3) == 0 ? below(200) : below(8), '\0');
    for (char& c : out) c = static_cast<char>(random_());
    return out;
  }
  std::string text() {
    static constexpr std::string_view kParts[] = {
        "a", "\"", "\\", "\n", "\x01", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "/", " "};
    std::string out;
    for (uint64_t n = below(8); n > 0; --n) out += kParts[below(std::size(kParts))];
    return out;
  }

  void set(Message* message, const FieldDescriptor& field, int depth) {
    const auto& r = *message->GetReflection();
    const bool many = field.is_repeated();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL: r.SetBool(message, &field, below(2) != 0); break;
      case FieldDescriptor::CPPTYPE_INT64:
        r.SetInt64(message, &field, static_cast<int64_t>(number()));
        break;
      case FieldDescriptor::CPPTYPE_UINT64: r.SetUInt64(message, &field, number()); break;
      case FieldDescriptor::CPPTYPE_UINT32:
        r.SetUInt32(message, &field, static_cast<uint32_t>(number()));
        break;
      case FieldDescriptor::CPPTYPE_INT32:
        r.SetInt32(message, &field, static_cast<int32_t>(number()));
        break;
      case FieldDescriptor::CPPTYPE_ENUM: {
        const auto value = below(4) == 0 ? 50 : field.enum_type()->value(0)->number() + 1;
        many ? r.AddEnumValue(message, &field, value) : r.SetEnumValue(message, &field, value);
        break;
      }
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string value = field.type() == FieldDescriptor::TYPE_BYTES ? bytes() : text();
        many ? r.AddString(message, &field, value) : r.SetString(message, &field, value);
        break;
      }
      default:
        fill(many ? r.AddMessage(message, &field) : r.MutableMessage(message, &field), depth + 1);
    }
  }

  std::mt19937 random_;
};

std::vector<const Descriptor*> all_types() {
  std::vector<const Descriptor*> all;
  for (const auto* file :
       {etcdserverpb::PutRequest::descriptor()->file(), v3lockpb::LockRequest::descriptor()->file(),
        v3electionpb::LeaderKey::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        all.push_back(file->service(s)->method(m)->input_type());
        all.push_back(file->service(s)->method(m)->output_type());
      }
    }
  }
  return all;
}

TEST_F(Responses, AsProtobufsOwnJsonOfRandomMessages) {
  google::protobuf::util::JsonPrintOptions print;
  print.preserve_proto_field_names = true;
  google::protobuf::util::JsonParseOptions parse;
  parse.ignore_unknown_fields = true;
  auto& factory = *google::protobuf::MessageFactory::generated_factory();
  RandomMessages random(20261121);
  for (const Descriptor* type : all_types()) {
    for (int round = 0; round < 40; ++round) {
      std::unique_ptr<Message> message(factory.GetPrototype(type)->New());
      random.fill(message.get(), 0);
      const std::string ours = json_of(*message);
      std::string theirs;
      ASSERT_TRUE(google::protobuf::util::MessageToJsonString(*message, &theirs, print).ok());
      // Theirs writes fields in the order of numbers and escapes more than need be.
      ASSERT_EQ(nlohmann::json::parse(ours), nlohmann::json::parse(theirs)) << type->full_name();

      for (const std::string& json : {ours, theirs}) {
        ByteBuffer wire;
        const Status status = request_to_wire(*tables_.of(*type), json, &wire);
        ASSERT_TRUE(status.ok()) << status.message() << "\n" << json;
        std::unique_ptr<Message> back(factory.GetPrototype(type)->New());
        ASSERT_TRUE(back->ParseFromArray(wire.data(), static_cast<int>(wire.size()))) << json;
        ASSERT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*message, *back)) << json;
        ASSERT_EQ(wire.size(), message->ByteSizeLong()) << json;
      }
      std::unique_ptr<Message> read(factory.GetPrototype(type)->New());
      ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(ours, read.get(), parse).ok());
      ASSERT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*message, *read)) << ours;
    }
  }
}

}  // namespace
}  // namespace mortise::json
