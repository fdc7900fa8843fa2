#include "host/json/openapi.h"

#include <google/protobuf/descriptor.h>

#include <nlohmann/json.hpp>

#include "host/json/descriptors.h"

namespace mortise::json {
namespace {

using Json = nlohmann::ordered_json;
using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;

constexpr const char* kErrorSchema = "google.rpc.Status";

Json reference(const std::string& schema) { return {{"$ref", "#/components/schemas/" + schema}}; }

Json content(Json schema) { return {{"application/json", {{"schema", std::move(schema)}}}}; }

Json error_schema() {
  return {{"type", "object"},
          {"properties",
           {{"code", {{"type", "integer"}, {"format", "int32"}, {"description", "As in gRPC."}}},
            {"message", {{"type", "string"}}}}}};
}

Json enum_schema(const EnumDescriptor& type) {
  Json names = Json::array();
  for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
  return {{"type", "string"}, {"enum", std::move(names)}};
}

// The schemas of messages, each once, with those that they contain.
class Schemas {
 public:
  Json of(const Descriptor& type) {
    const std::string& name = type.full_name();
    if (!schemas_.contains(name)) {
      schemas_[name] = Json();  // Comes first, and stops types that contain themselves.
      Json schema = message(type);
      schemas_[name] = std::move(schema);
    }
    return reference(name);
  }
  Json take() { return std::move(schemas_); }
  void add(const char* name, Json schema) { schemas_[name] = std::move(schema); }

 private:
  Json message(const Descriptor& type) {
    Json schema = {{"type", "object"}};
    for (int i = 0; i < type.field_count(); ++i) {
      schema["properties"][type.field(i)->name()] = field(*type.field(i));
    }
    return schema;
  }

  Json field(const FieldDescriptor& field) {
    if (field.is_map()) {
      const FieldDescriptor& value = *field.message_type()->field(1);
      return {{"type", "object"}, {"additionalProperties", element(value)}};
    }
    Json schema = element(field);
    if (field.is_repeated()) return {{"type", "array"}, {"items", std::move(schema)}};
    if (const auto* oneof = field.real_containing_oneof()) {
      // What stands beside a $ref is ignored, so the reference is wrapped.
      if (schema.contains("$ref")) schema = {{"allOf", Json::array({schema})}};
      schema["description"] = "At most one of the members of `" + oneof->name() + "` is set.";
    }
    return schema;
  }

  Json element(const FieldDescriptor& field) {
    switch (field.type()) {
      case FieldDescriptor::TYPE_BOOL: return {{"type", "boolean"}};
      case FieldDescriptor::TYPE_STRING: return {{"type", "string"}};
      case FieldDescriptor::TYPE_BYTES: return {{"type", "string"}, {"format", "byte"}};
      case FieldDescriptor::TYPE_ENUM: return enum_schema(*field.enum_type());
      case FieldDescriptor::TYPE_MESSAGE: return of(*field.message_type());
      default: break;
    }
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT64: return {{"type", "string"}, {"format", "int64"}};
      case FieldDescriptor::CPPTYPE_UINT64: return {{"type", "string"}, {"format", "uint64"}};
      case FieldDescriptor::CPPTYPE_UINT32: return {{"type", "integer"}, {"format", "int64"}};
      default: return {{"type", "integer"}, {"format", "int32"}};
    }
  }

  Json schemas_ = Json::object();
};

// A stream answers with one line for each message, and one for an error that ends it.
Json response(const MethodDescriptor& method, Schemas* schemas) {
  Json schema = schemas->of(*method.output_type());
  if (!method.server_streaming()) {
    return {{"description", "The answer."}, {"content", content(std::move(schema))}};
  }
  schema = {{"type", "object"},
            {"properties", {{"result", std::move(schema)}, {"error", reference(kErrorSchema)}}}};
  return {{"description", "A stream: one object a line, as they come."},
          {"content", content(std::move(schema))}};
}

Json operation(const MethodDescriptor& method, Schemas* schemas) {
  Json request = {{"required", true}, {"content", content(schemas->of(*method.input_type()))}};
  if (method.client_streaming())
    request["description"] = "One object or more, one after the other.";
  return {{"tags", Json::array({method.service()->name()})},
          {"operationId", method.service()->name() + "_" + method.name()},
          {"requestBody", std::move(request)},
          {"responses",
           {{"200", response(method, schemas)},
            {"default",
             {{"description", "An error."}, {"content", content(reference(kErrorSchema))}}}}}};
}

}  // namespace

std::string openapi_document(std::span<const mortise_method> methods, std::string_view version) {
  Schemas schemas;
  schemas.add(kErrorSchema, error_schema());
  Json paths = Json::object();
  for (const mortise_method& method : methods) {
    int number = 0;  // Operations have names of their own, aliases too.
    for (const char* const* path = method.http_paths; *path != nullptr; ++path) {
      Json post = operation(*find_method(method.grpc_path), &schemas);
      if (number > 0) {
        post["operationId"] = post["operationId"].get<std::string>() + std::to_string(number + 1);
        post["deprecated"] = true;
      }
      ++number;
      paths[*path] = {{"post", std::move(post)}};
    }
  }
  const Json document = {
      {"openapi", "3.0.3"},
      {"info", {{"title", "mortise: the etcd v3 API over HTTP"}, {"version", version}}},
      {"paths", std::move(paths)},
      {"components",
       {{"schemas", schemas.take()},
        {"securitySchemes",
         {{"token", {{"type", "apiKey"}, {"in", "header"}, {"name", "Authorization"}}}}}}},
      {"security", Json::array({Json::object(), {{"token", Json::array()}}})}};
  return document.dump();
}

}  // namespace mortise::json
