// grpc.reflection.v1.ServerReflection, and v1alpha, whose messages are the same bytes. The answers
// come from the descriptors in the generated code and, for the list of services, from the table of
// methods.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <deque>
#include <set>

#include "host/api/methods.h"
#include "proto/reflection_v1.pb.h"

namespace mortise::api {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;
using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;

const DescriptorPool& pool() { return *DescriptorPool::generated_pool(); }

void set_not_found(const std::string& what, ServerReflectionResponse* response) {
  response->mutable_error_response()->set_error_code(static_cast<int>(RpcCode::kNotFound));
  response->mutable_error_response()->set_error_message(what);
}

// The file and all that it imports, each once.
void add_file(const FileDescriptor* file, std::set<const FileDescriptor*>* added,
              ServerReflectionResponse* response) {
  if (!added->insert(file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file->CopyTo(&proto);
  response->mutable_file_descriptor_response()->add_file_descriptor_proto(
      proto.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) add_file(file->dependency(i), added, response);
}

void set_file(const FileDescriptor* file, const std::string& what,
              ServerReflectionResponse* response) {
  std::set<const FileDescriptor*> added;
  if (file == nullptr) return set_not_found(what, response);
  add_file(file, &added, response);
}

void set_file_with_extension(const ServerReflectionRequest& request,
                             ServerReflectionResponse* response) {
  const auto& wanted = request.file_containing_extension();
  const auto* type = pool().FindMessageTypeByName(wanted.containing_type());
  const auto* extension =
      type == nullptr ? nullptr : pool().FindExtensionByNumber(type, wanted.extension_number());
  set_file(extension == nullptr ? nullptr : extension->file(),
           "unknown extension: " + wanted.containing_type() + " " +
               std::to_string(wanted.extension_number()),
           response);
}

void set_extension_numbers(const std::string& name, ServerReflectionResponse* response) {
  const auto* type = pool().FindMessageTypeByName(name);
  if (type == nullptr) return set_not_found("unknown message type: " + name, response);
  std::vector<const google::protobuf::FieldDescriptor*> extensions;
  pool().FindAllExtensions(type, &extensions);
  auto* numbers = response->mutable_all_extension_numbers_response();
  numbers->set_base_type_name(name);
  for (const auto* extension : extensions) numbers->add_extension_number(extension->number());
}

void set_services(ServerReflectionResponse* response) {
  std::set<std::string> names;
  for (const MethodEntry& entry : methods()) {
    std::string_view path = entry.grpc_path;  // "/package.Service/Method"
    names.insert(std::string(path.substr(1, path.rfind('/') - 1)));
  }
  auto* list = response->mutable_list_services_response();
  for (const std::string& name : names) list->add_service()->set_name(name);
}

ServerReflectionResponse answer(const ServerReflectionRequest& request) {
  ServerReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case ServerReflectionRequest::kFileByFilename:
      set_file(pool().FindFileByName(request.file_by_filename()),
               "unknown file: " + request.file_by_filename(), &response);
      break;
    case ServerReflectionRequest::kFileContainingSymbol:
      set_file(pool().FindFileContainingSymbol(request.file_containing_symbol()),
               "unknown symbol: " + request.file_containing_symbol(), &response);
      break;
    case ServerReflectionRequest::kFileContainingExtension:
      set_file_with_extension(request, &response);
      break;
    case ServerReflectionRequest::kAllExtensionNumbersOfType:
      set_extension_numbers(request.all_extension_numbers_of_type(), &response);
      break;
    case ServerReflectionRequest::kListServices: set_services(&response); break;
    case ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      response.mutable_error_response()->set_error_code(
          static_cast<int>(RpcCode::kInvalidArgument));
      response.mutable_error_response()->set_error_message("the request asks for nothing");
      break;
  }
  return response;
}

// Answers requests in the order they came. Few wait for the client to read the answers before; its
// calls come one at a time.
class ReflectionStream : public rpc::ServerStream,
                         public std::enable_shared_from_this<ReflectionStream> {
 public:
  static constexpr uint64_t kWindowBytes = 16 << 10;
  static constexpr size_t kWaitingMax = 256;

  explicit ReflectionStream(const rpc::ClientStream& client) : client_(client) {}
  void start() {
    self_ = shared_from_this();
    client_.grant(kWindowBytes);
  }
  void on_message(rpc::Payload message) override {
    if (waiting_.size() >= kWaitingMax) return end(rpc_errors::kTooManyRequests);
    waiting_.push_back(std::move(message));
    pump();
  }
  void on_half_close() override {
    half_closed_ = true;
    pump();
  }
  void on_grant(uint64_t bytes) override {
    credit_ += static_cast<int64_t>(bytes);
    pump();
  }
  void on_cancel() override { end(rpc_errors::kContextCanceled); }

 private:
  void pump() {
    while (self_ != nullptr && !waiting_.empty() && credit_ > 0) {
      rpc::Payload message = std::move(waiting_.front());
      waiting_.pop_front();
      ServerReflectionRequest request;
      if (!parse(message.view(), &request)) return end(rpc_errors::kMalformedStream);
      std::string text = answer(request).SerializeAsString();
      ByteBuffer bytes(text.size());
      bytes.append(text);
      credit_ -= static_cast<int64_t>(bytes.size());
      client_.send(std::move(bytes));
      client_.grant(message.view().size());
    }
    if (half_closed_ && waiting_.empty()) end(RpcStatus());
  }
  void end(const RpcStatus& status) {
    auto self = std::move(self_);
    if (self != nullptr) client_.end(status);
  }

  rpc::ClientStream client_;
  std::shared_ptr<ReflectionStream> self_;  // Keeps the stream until it has ended.
  std::deque<rpc::Payload> waiting_;
  int64_t credit_ = 0;
  bool half_closed_ = false;
};

}  // namespace

rpc::ServerStream* reflection_info(const Context&, const rpc::ClientStream& client,
                                   std::shared_ptr<auth::Warrant>, RpcStatus*) {
  auto stream = std::make_shared<ReflectionStream>(client);
  stream->start();
  return stream.get();
}

}  // namespace mortise::api
