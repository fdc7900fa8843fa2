#include "host/json/transcoder.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "host/json/openapi.h"

namespace mortise::json {
namespace {

using Json = nlohmann::json;

constexpr const char* kPut[] = {"/v3/kv/put", nullptr};
constexpr const char* kTxn[] = {"/v3/kv/txn", nullptr};
constexpr const char* kWatch[] = {"/v3/watch", nullptr};
constexpr const char* kRevoke[] = {"/v3/lease/revoke", "/v3/kv/lease/revoke", nullptr};
constexpr const char* kNone[] = {nullptr};

const std::vector<mortise_method>& methods() {
  static const std::vector<mortise_method> table = {
      {0, MORTISE_UNARY, 0, 0, "/etcdserverpb.KV/Put", kPut},
      {1, MORTISE_UNARY, 0, 0, "/etcdserverpb.KV/Txn", kTxn},
      {2, MORTISE_BIDI_STREAM, 0, 0, "/etcdserverpb.Watch/Watch", kWatch},
      {3, MORTISE_UNARY, 0, 0, "/etcdserverpb.Lease/LeaseRevoke", kRevoke},
      {4, MORTISE_UNARY, 0, 0, "/grpc.health.v1.Health/List", kNone},
  };
  return table;
}

Json document() { return Json::parse(openapi_document(methods(), "1.2.3")); }

void gather_references(const Json& json, std::set<std::string>* out) {
  for (const auto& item : json.items()) {
    if (item.key() == "$ref") out->insert(item.value().get<std::string>());
    if (item.value().is_structured()) gather_references(item.value(), out);
  }
}

TEST(OpenApi, HasAllPathsAndNothingElse) {
  const Json made = document();
  EXPECT_EQ(made["openapi"], "3.0.3");
  EXPECT_EQ(made["info"]["version"], "1.2.3");
  std::set<std::string> paths;
  std::set<std::string> names;
  for (const auto& item : made["paths"].items()) {
    paths.insert(item.key());
    names.insert(item.value()["post"]["operationId"]);
  }
  EXPECT_EQ(paths, (std::set<std::string>{"/v3/kv/put", "/v3/kv/txn", "/v3/watch",
                                          "/v3/lease/revoke", "/v3/kv/lease/revoke"}));
  EXPECT_EQ(names.size(), paths.size());
  EXPECT_TRUE(made["paths"]["/v3/kv/lease/revoke"]["post"]["deprecated"]);
}

TEST(OpenApi, EveryReferenceLeadsSomewhere) {
  const Json made = document();
  std::set<std::string> references;
  gather_references(made, &references);
  EXPECT_GT(references.size(), 15u);
  for (const std::string& reference : references) {
    EXPECT_TRUE(made.contains(Json::json_pointer(reference.substr(1)))) << reference;
  }
}

TEST(OpenApi, SchemasSayHowFieldsAreWritten) {
  const Json made = document();
  const Json& schemas = made["components"]["schemas"];
  const Json& put = schemas["etcdserverpb.PutRequest"]["properties"];
  EXPECT_EQ(put["key"], Json::parse(R"({"type":"string","format":"byte"})"));
  EXPECT_EQ(put["lease"], Json::parse(R"({"type":"string","format":"int64"})"));
  EXPECT_EQ(put["prev_kv"], Json::parse(R"({"type":"boolean"})"));
  const Json& txn = schemas["etcdserverpb.TxnRequest"]["properties"];
  EXPECT_EQ(txn["compare"]["items"]["$ref"], "#/components/schemas/etcdserverpb.Compare");
  EXPECT_EQ(schemas["etcdserverpb.Compare"]["properties"]["target"]["enum"].size(), 5u);
  const Json& watch = made["paths"]["/v3/watch"]["post"]["responses"]["200"];
  EXPECT_EQ(watch["content"]["application/json"]["schema"]["properties"]["result"]["$ref"],
            "#/components/schemas/etcdserverpb.WatchResponse");
}

// The service as a transport calls it.
TEST(HostService, MapsByMethod) {
  const mortise_host_json_v1* service = host_service(methods());
  const auto bytes = [](std::string_view text) {
    return mortise_bytes{reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  };
  mortise_error error{};
  error.struct_size = sizeof error;
  mortise_buffer out{};
  ASSERT_EQ(service->request_from_json(nullptr, 0, bytes(R"({"key":"Zm9v"})"), &out, &error),
            MORTISE_OK);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(out.data), out.size),
            "\x0a\x03"
            "foo");
  out.release(out.owner);
  ASSERT_EQ(service->request_from_json(nullptr, 0, bytes(""), &out, &error), MORTISE_OK);
  EXPECT_EQ(out.size, 0u);
  ASSERT_EQ(service->response_to_json(nullptr, 3, bytes("\x0a\x02\x18\x05"), &out, &error),
            MORTISE_OK);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(out.data), out.size),
            R"({"header":{"revision":"5"}})");
  out.release(out.owner);

  EXPECT_EQ(service->request_from_json(nullptr, 0, bytes("{\"key\":1}"), &out, &error),
            MORTISE_E_INVALID);
  EXPECT_STREQ(error.message, "proto: (line 1:8): invalid value for bytes field key: 1");
  EXPECT_EQ(service->request_from_json(nullptr, 5, bytes("{}"), &out, nullptr), MORTISE_E_INVALID);
  EXPECT_EQ(service->response_to_json(nullptr, 0, bytes("\x0a"), &out, &error), MORTISE_E_INVALID);
}

}  // namespace
}  // namespace mortise::json
