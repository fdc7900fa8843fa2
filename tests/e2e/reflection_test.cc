// Server reflection from outside: a client with no .proto files learns what is served, and can make
// a request from what it was told.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <gtest/gtest.h>

#include "proto/reflection_v1.grpc.pb.h"
#include "proto/reflection_v1alpha.grpc.pb.h"
#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using ::testing::Contains;
using ::testing::IsSupersetOf;

// The same for both versions of the service.
template <typename Service, typename Request, typename Response>
class Reflection {
 public:
  explicit Reflection(const std::string& endpoint)
      : client_(endpoint),
        stub_(Service::NewStub(client_.channel())),
        stream_(stub_->ServerReflectionInfo(&context_)) {}
  ~Reflection() {
    stream_->WritesDone();
    EXPECT_FALSE(stream_->Read(&response_));
    EXPECT_EQ(status_text(stream_->Finish()), "OK");
  }
  Response& ask(const Request& request) {
    EXPECT_TRUE(stream_->Write(request));
    EXPECT_TRUE(stream_->Read(&response_));
    EXPECT_EQ(response_.original_request().SerializeAsString(), request.SerializeAsString());
    return response_;
  }
  std::vector<std::string> services() {
    Request request;
    request.set_host("host");
    request.set_list_services("*");
    std::vector<std::string> names;
    for (const auto& service : ask(request).list_services_response().service()) {
      names.push_back(service.name());
    }
    EXPECT_EQ(response_.valid_host(), "host");
    return names;
  }
  std::vector<std::string> files() const {
    const auto& files = response_.file_descriptor_response().file_descriptor_proto();
    return {files.begin(), files.end()};
  }
  Response& symbol(const std::string& name) {
    Request request;
    request.set_file_containing_symbol(name);
    return ask(request);
  }
  Client& client() { return client_; }

 private:
  Client client_;
  grpc::ClientContext context_;
  std::unique_ptr<typename Service::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<Request, Response>> stream_;
  Response response_;
};

using V1 = Reflection<grpc::reflection::v1::ServerReflection,
                      grpc::reflection::v1::ServerReflectionRequest,
                      grpc::reflection::v1::ServerReflectionResponse>;
using V1Alpha = Reflection<grpc::reflection::v1alpha::ServerReflection,
                           grpc::reflection::v1alpha::ServerReflectionRequest,
                           grpc::reflection::v1alpha::ServerReflectionResponse>;

template <typename R>
class ReflectionTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(node_.start().message(), ""); }
  Node node_{mortise_target("lmdb"), NodeOptions{.in_memory = true}};
};
using Versions = ::testing::Types<V1, V1Alpha>;
TYPED_TEST_SUITE(ReflectionTest, Versions);

TYPED_TEST(ReflectionTest, ListsServices) {
  TypeParam reflection(this->node_.endpoint());
  std::vector<std::string> services = reflection.services();
  EXPECT_THAT(services, IsSupersetOf({"etcdserverpb.KV", "etcdserverpb.Watch", "v3lockpb.Lock",
                                      "v3electionpb.Election", "grpc.health.v1.Health",
                                      "grpc.reflection.v1.ServerReflection",
                                      "grpc.reflection.v1alpha.ServerReflection"}));
  // Each can be described.
  for (const std::string& service : services) {
    EXPECT_TRUE(reflection.symbol(service).has_file_descriptor_response()) << service;
  }
}

TYPED_TEST(ReflectionTest, ARequestCanBeMadeOfWhatItSays) {
  TypeParam reflection(this->node_.endpoint());
  reflection.symbol("etcdserverpb.KV.Put");
  // A file may come before those that it imports.
  google::protobuf::SimpleDescriptorDatabase database;
  for (const std::string& file : reflection.files()) {
    google::protobuf::FileDescriptorProto proto;
    ASSERT_TRUE(proto.ParseFromString(file));
    ASSERT_TRUE(database.Add(proto));
  }
  google::protobuf::DescriptorPool pool(&database);
  const auto* method = pool.FindMethodByName("etcdserverpb.KV.Put");
  ASSERT_NE(method, nullptr);
  google::protobuf::DynamicMessageFactory factory;
  std::unique_ptr<google::protobuf::Message> put(factory.GetPrototype(method->input_type())->New());
  put->GetReflection()->SetString(put.get(), method->input_type()->FindFieldByName("key"), "k");
  std::string bytes;
  EXPECT_EQ(status_text(reflection.client().call_raw("/etcdserverpb.KV/Put",
                                                     put->SerializeAsString(), &bytes)),
            "OK");
  std::unique_ptr<google::protobuf::Message> answer(
      factory.GetPrototype(method->output_type())->New());
  EXPECT_TRUE(answer->ParseFromString(bytes));
  EXPECT_THAT(answer->ShortDebugString(), ::testing::HasSubstr("revision: 2"));
}

TYPED_TEST(ReflectionTest, OtherQuestions) {
  TypeParam reflection(this->node_.endpoint());
  auto& by_symbol = reflection.symbol("mvccpb.KeyValue");
  ASSERT_EQ(by_symbol.file_descriptor_response().file_descriptor_proto_size(), 1);
  google::protobuf::FileDescriptorProto file;
  ASSERT_TRUE(file.ParseFromString(reflection.files()[0]));
  auto request = by_symbol.original_request();
  request.set_file_by_filename(file.name());
  EXPECT_EQ(reflection.ask(request).file_descriptor_response().file_descriptor_proto(0),
            file.SerializeAsString());
  request.set_all_extension_numbers_of_type("mvccpb.KeyValue");
  EXPECT_EQ(reflection.ask(request).all_extension_numbers_response().base_type_name(),
            "mvccpb.KeyValue");
  EXPECT_EQ(by_symbol.all_extension_numbers_response().extension_number_size(), 0);

  constexpr int kNotFound = 5, kInvalid = 3;
  EXPECT_EQ(reflection.symbol("etcdserverpb.Nothing").error_response().error_code(), kNotFound);
  request.set_file_by_filename("nothing.proto");
  EXPECT_EQ(reflection.ask(request).error_response().error_code(), kNotFound);
  request.set_all_extension_numbers_of_type("no.Type");
  EXPECT_EQ(reflection.ask(request).error_response().error_code(), kNotFound);
  request.mutable_file_containing_extension()->set_containing_type("mvccpb.KeyValue");
  request.mutable_file_containing_extension()->set_extension_number(1000);
  EXPECT_EQ(reflection.ask(request).error_response().error_code(), kNotFound);
  request.Clear();
  EXPECT_EQ(reflection.ask(request).error_response().error_code(), kInvalid);
}

}  // namespace
}  // namespace mortise::testing
