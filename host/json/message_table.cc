#include "host/json/message_table.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include "host/base/check.h"
#include "host/wire/codec.h"

namespace mortise::json {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;

constexpr uint32_t kIndexedNumbersMax = 128;

Kind kind_of(const FieldDescriptor& field) {
  switch (field.type()) {
    case FieldDescriptor::TYPE_BOOL: return Kind::kBool;
    case FieldDescriptor::TYPE_INT32: return Kind::kInt32;
    case FieldDescriptor::TYPE_INT64: return Kind::kInt64;
    case FieldDescriptor::TYPE_UINT32: return Kind::kUint32;
    case FieldDescriptor::TYPE_UINT64: return Kind::kUint64;
    case FieldDescriptor::TYPE_SINT32: return Kind::kSint32;
    case FieldDescriptor::TYPE_SINT64: return Kind::kSint64;
    case FieldDescriptor::TYPE_FIXED32: return Kind::kFixed32;
    case FieldDescriptor::TYPE_FIXED64: return Kind::kFixed64;
    case FieldDescriptor::TYPE_SFIXED32: return Kind::kSfixed32;
    case FieldDescriptor::TYPE_SFIXED64: return Kind::kSfixed64;
    case FieldDescriptor::TYPE_ENUM: return Kind::kEnum;
    case FieldDescriptor::TYPE_STRING: return Kind::kString;
    case FieldDescriptor::TYPE_BYTES: return Kind::kBytes;
    case FieldDescriptor::TYPE_MESSAGE: return Kind::kMessage;
    default: break;
  }
  MORTISE_CHECK(false, "no JSON form for " + field.full_name());
  return Kind::kBool;
}

wire::Type wire_type(const FieldTable& field) {
  return field.is_packed ? wire::Type::kBytes : wire_type_of(field.kind);
}

}  // namespace

wire::Type wire_type_of(Kind kind) {
  switch (kind) {
    case Kind::kFixed32:
    case Kind::kSfixed32: return wire::Type::kFixed32;
    case Kind::kFixed64:
    case Kind::kSfixed64: return wire::Type::kFixed64;
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kMessage: return wire::Type::kBytes;
    default: return wire::Type::kVarint;
  }
}

const std::string* EnumTable::name_of(int32_t number) const {
  for (const auto& [name, value] : values) {
    if (value == number) return &name;
  }
  return nullptr;
}

const int32_t* EnumTable::number_of(std::string_view name) const {
  for (const auto& [candidate, value] : values) {
    if (candidate == name) return &value;
  }
  return nullptr;
}

const FieldTable* MessageTable::by_number(uint32_t number) const {
  if (number < index_by_number.size()) {
    const int16_t index = index_by_number[number];
    return index < 0 ? nullptr : &fields[static_cast<size_t>(index)];
  }
  if (number < kIndexedNumbersMax) return nullptr;
  for (const FieldTable& field : fields) {
    if (field.number == number) return &field;
  }
  return nullptr;
}

const FieldTable* MessageTable::by_name(std::string_view name) const {
  for (const FieldTable& field : fields) {
    if (field.name == name || field.json_name == name) return &field;
  }
  return nullptr;
}

void TableSet::fill(const FieldDescriptor& descriptor, FieldTable* field) {
  field->name = descriptor.name();
  field->json_name = descriptor.json_name();
  field->full_name = descriptor.full_name();
  field->output_name = "\"" + field->name + "\":";
  field->number = static_cast<uint32_t>(descriptor.number());
  field->index = static_cast<uint32_t>(descriptor.index());
  field->kind = kind_of(descriptor);
  field->kind_name = descriptor.type_name();
  field->is_repeated = descriptor.is_repeated();
  field->is_packed = descriptor.is_packed();
  field->is_map = descriptor.is_map();
  field->has_presence = descriptor.has_presence();
  if (const auto* oneof = descriptor.containing_oneof()) {
    field->oneof = oneof->index();
    field->oneof_name = oneof->full_name();
  }
  char tag[5];
  field->tag.assign(tag, wire::write_tag(tag, field->number, wire_type(*field)));
  if (field->kind == Kind::kEnum) field->enumeration = of(*descriptor.enum_type());
  if (field->kind == Kind::kMessage) field->message = of(*descriptor.message_type());
}

const MessageTable* TableSet::of(const Descriptor& descriptor) {
  auto& made = messages_[&descriptor];
  if (made != nullptr) return made.get();  // Maybe not filled yet: a type can contain itself.
  made = std::make_unique<MessageTable>();
  MessageTable* table = made.get();
  table->full_name = descriptor.full_name();
  MORTISE_CHECK(descriptor.field_count() <= kMessageFieldsMax, table->full_name);
  MORTISE_CHECK(!descriptor.options().map_entry() ||
                    descriptor.field(0)->type() == FieldDescriptor::TYPE_STRING,
                "maps have strings as keys: " + table->full_name);
  table->fields.resize(static_cast<size_t>(descriptor.field_count()));
  for (int i = 0; i < descriptor.field_count(); ++i) {
    FieldTable& field = table->fields[static_cast<size_t>(i)];
    fill(*descriptor.field(i), &field);
    if (field.number >= kIndexedNumbersMax) continue;
    if (table->index_by_number.size() <= field.number) {
      table->index_by_number.resize(field.number + 1, -1);
    }
    table->index_by_number[field.number] = static_cast<int16_t>(i);
  }
  return table;
}

const EnumTable* TableSet::of(const EnumDescriptor& descriptor) {
  auto& made = enums_[&descriptor];
  if (made != nullptr) return made.get();
  made = std::make_unique<EnumTable>();
  for (int i = 0; i < descriptor.value_count(); ++i) {
    made->values.emplace_back(descriptor.value(i)->name(), descriptor.value(i)->number());
  }
  return made.get();
}

}  // namespace mortise::json
