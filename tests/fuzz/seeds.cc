#include "tests/fuzz/seeds.h"

#include <google/protobuf/descriptor.h>

#include "proto/election.pb.h"
#include "proto/health.pb.h"
#include "proto/lock.pb.h"
#include "proto/reflection_v1.pb.h"
#include "proto/reflection_v1alpha.pb.h"
#include "proto/rpc.pb.h"

namespace mortise::fuzz {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::Reflection;

constexpr int kDepthMax = 5;

bool one_in(uint64_t n, Random& random) { return random() % n == 0; }

bool ends_with(const std::string& path, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (path.ends_with(std::string("/") + name)) return true;
  }
  return false;
}

std::string some_bytes(Random& random) {
  switch (random() % 8) {
    case 0: return "";
    case 1: return std::string(1, '\0');
    case 2: return std::string(random() % 300, 'x');
    case 3: return "l";
    default: return "k" + std::to_string(random() % 10);
  }
}

int64_t some_number(Random& random) {
  switch (random() % 8) {
    case 0: return -1;
    case 1: return static_cast<int64_t>(random());
    case 2: return INT64_MAX;
    case 3: return INT64_MIN;
    case 4: return static_cast<int64_t>(random() % 5000);
    default: return static_cast<int64_t>(random() % 12);
  }
}

// Valid text, as the field is a string.
std::string some_text(Random& random) {
  return one_in(3, random) ? "" : "name" + std::to_string(random() % 100);
}

void fill(Message* message, int depth, Random& random);

void set_scalar(Message* message, const FieldDescriptor* field, Random& random) {
  const Reflection& r = *message->GetReflection();
  bool many = field->is_repeated();
  auto put = [&](auto set, auto add, auto value) {
    many ? (r.*add)(message, field, value) : (r.*set)(message, field, value);
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return put(&Reflection::SetInt32, &Reflection::AddInt32,
                 static_cast<int32_t>(some_number(random)));
    case FieldDescriptor::CPPTYPE_UINT32:
      return put(&Reflection::SetUInt32, &Reflection::AddUInt32,
                 static_cast<uint32_t>(some_number(random)));
    case FieldDescriptor::CPPTYPE_INT64:
      return put(&Reflection::SetInt64, &Reflection::AddInt64, some_number(random));
    case FieldDescriptor::CPPTYPE_UINT64:
      return put(&Reflection::SetUInt64, &Reflection::AddUInt64,
                 static_cast<uint64_t>(some_number(random)));
    case FieldDescriptor::CPPTYPE_BOOL:
      return put(&Reflection::SetBool, &Reflection::AddBool, one_in(2, random));
    case FieldDescriptor::CPPTYPE_ENUM:
      return put(&Reflection::SetEnumValue, &Reflection::AddEnumValue,
                 static_cast<int>(random() % 5));
    case FieldDescriptor::CPPTYPE_STRING:
      return put(
          &Reflection::SetString, &Reflection::AddString,
          field->type() == FieldDescriptor::TYPE_BYTES ? some_bytes(random) : some_text(random));
    default: return;
  }
}

void set_field(Message* message, const FieldDescriptor* field, int depth, Random& random) {
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
    return set_scalar(message, field, random);
  }
  if (depth >= kDepthMax) return;
  const Reflection& r = *message->GetReflection();
  fill(field->is_repeated() ? r.AddMessage(message, field) : r.MutableMessage(message, field),
       depth + 1, random);
}

void fill(Message* message, int depth, Random& random) {
  const Descriptor* type = message->GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    // The key is what most requests are refused without.
    bool wanted = field->name() == "key" || field->name() == "name" || one_in(3, random);
    uint64_t times = !wanted ? 0 : field->is_repeated() ? 1 + random() % 3 : 1;
    for (; times > 0; --times) set_field(message, field, depth, random);
  }
}

void add_methods(const FileDescriptor* file, std::vector<Method>* out) {
  MessageFactory* factory = MessageFactory::generated_factory();
  for (int i = 0; i < file->service_count(); ++i) {
    const auto* service = file->service(i);
    for (int j = 0; j < service->method_count(); ++j) {
      const auto* method = service->method(j);
      std::string path = "/" + service->full_name() + "/" + method->name();
      bool streams = method->client_streaming() || method->server_streaming();
      out->push_back({path, factory->GetPrototype(method->input_type()), method->client_streaming(),
                      streams || ends_with(path, {"Lock", "Campaign"}),
                      ends_with(path, {"Defragment", "Snapshot", "Hash", "HashKV"})});
    }
  }
}

}  // namespace

std::vector<Method> all_methods() {
  std::vector<Method> out;
  for (const Descriptor* type :
       {etcdserverpb::RangeRequest::descriptor(), v3lockpb::LockRequest::descriptor(),
        v3electionpb::CampaignRequest::descriptor(),
        grpc::health::v1::HealthCheckRequest::descriptor(),
        grpc::reflection::v1::ServerReflectionRequest::descriptor(),
        grpc::reflection::v1alpha::ServerReflectionRequest::descriptor()}) {
    add_methods(type->file(), &out);
  }
  return out;
}

std::unique_ptr<Message> make_request(const Method& method, Random& random) {
  std::unique_ptr<Message> out(method.request->New());
  fill(out.get(), 0, random);
  return out;
}

}  // namespace mortise::fuzz
