// What the mapping between JSON and wire bytes has to know of a message type, made once from its
// descriptor: no descriptor is touched while a request is served.
//
// Tables are made by one thread and are constant afterwards.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/wire/codec.h"

namespace google::protobuf {
class Descriptor;
class EnumDescriptor;
class FieldDescriptor;
}  // namespace google::protobuf

namespace mortise::json {

// Floating point and groups occur in no message of the API; a table of one that has them cannot be
// made.
enum class Kind : uint8_t {
  kBool,
  kInt32,
  kInt64,
  kUint32,
  kUint64,
  kSint32,
  kSint64,
  kFixed32,
  kFixed64,
  kSfixed32,
  kSfixed64,
  kEnum,
  kString,
  kBytes,
  kMessage,
};

// Of one value; a packed field has them as bytes.
wire::Type wire_type_of(Kind kind);

struct MessageTable;

struct EnumTable {
  // The first name of a number is the one that is written.
  std::vector<std::pair<std::string, int32_t>> values;
  const std::string* name_of(int32_t number) const;
  const int32_t* number_of(std::string_view name) const;
};

struct FieldTable {
  std::string name;       // As in the .proto file: what is written.
  std::string json_name;  // In lowerCamelCase: read too.
  std::string full_name;
  std::string output_name;  // `"name":`
  uint32_t number = 0;
  uint32_t index = 0;  // In the order of declaration, which is the order of output.
  Kind kind = Kind::kBool;
  const char* kind_name = "";  // As messages to clients call it.
  bool is_repeated = false;    // Maps too.
  bool is_packed = false;
  bool is_map = false;
  // Written even if zero or empty: a member of a oneof, or declared `optional`.
  bool has_presence = false;
  int oneof = -1;
  std::string oneof_name;
  std::string tag;  // As bytes, with the wire type that is written.
  const EnumTable* enumeration = nullptr;
  const MessageTable* message = nullptr;  // Of a map: its entry, with key 1 and value 2.
};

struct MessageTable {
  std::string full_name;
  std::vector<FieldTable> fields;
  // By number if the numbers are small, as nearly all are; else searched in `fields`.
  std::vector<int16_t> index_by_number;

  const FieldTable* by_number(uint32_t number) const;
  const FieldTable* by_name(std::string_view name) const;
};

class TableSet {
 public:
  // The table of a type, with those of all types that it contains.
  const MessageTable* of(const google::protobuf::Descriptor& descriptor);

 private:
  const EnumTable* of(const google::protobuf::EnumDescriptor& descriptor);
  void fill(const google::protobuf::FieldDescriptor& descriptor, FieldTable* field);

  std::map<const google::protobuf::Descriptor*, std::unique_ptr<MessageTable>> messages_;
  std::map<const google::protobuf::EnumDescriptor*, std::unique_ptr<EnumTable>> enums_;
};

// Fields of a message and members of one nesting are marked in words of so many bits.
constexpr int kMessageFieldsMax = 64;

}  // namespace mortise::json
