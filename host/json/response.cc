#include "host/json/response.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "host/json/text.h"
#include "host/wire/codec.h"

namespace mortise::json {
namespace {

bool is_zero(const FieldTable& table, const wire::Field& field) {
  switch (table.kind) {
    case Kind::kString:
    case Kind::kBytes: return field.bytes.empty();
    case Kind::kMessage: return false;
    case Kind::kInt32:
    case Kind::kUint32:
    case Kind::kSint32:
    case Kind::kEnum: return static_cast<uint32_t>(field.varint) == 0;
    default: return field.varint == 0;
  }
}

int64_t unzigzag(uint64_t v) { return static_cast<int64_t>(v >> 1 ^ (uint64_t{0} - (v & 1))); }

// The next field that the table knows, with a wire type that fits it; null at the end.
const FieldTable* next_known(const MessageTable& message, wire::FieldReader* reader,
                             wire::Field* field) {
  while (reader->next(field)) {
    const FieldTable* table = message.by_number(field->number);
    if (table == nullptr) continue;
    const wire::Type wanted = wire_type_of(table->kind);
    const bool is_packed = table->is_repeated && field->type == wire::Type::kBytes;
    if (field->type == wanted || is_packed) return table;
  }
  return nullptr;
}

class Writer {
 public:
  explicit Writer(ByteBuffer* out) : out_(out) {}
  bool message(const MessageTable& table, std::string_view bytes, int depth);
  const std::string& error() const { return error_; }

 private:
  using Entries = std::vector<std::pair<std::string_view, std::string_view>>;

  bool fail(std::string error) {
    error_ = std::move(error);
    return false;
  }
  bool malformed(const MessageTable& table) { return fail("malformed " + table.full_name); }
  void comma(bool* is_first) {
    if (!std::exchange(*is_first, false)) out_->append(",");
  }
  bool in_order(const MessageTable& table, std::string_view bytes, int depth);
  bool out_of_order(const MessageTable& table, std::string_view bytes, int depth);
  bool elements(const FieldTable& table, const wire::Field& field, bool* is_first, int depth);
  bool packed(const FieldTable& table, std::string_view bytes, bool* is_first);
  bool map(const FieldTable& table, Entries entries, int depth);
  bool value(const FieldTable& table, const wire::Field& field, int depth);
  void number(const FieldTable& table, uint64_t bits);
  void quoted_number(bool is_signed, uint64_t bits);

  ByteBuffer* out_;
  std::string error_;
};

// Are the fields in the order of output, each singular one at most once? Nearly always.
bool is_in_order(const MessageTable& message, std::string_view bytes, bool* is_malformed) {
  wire::FieldReader reader(bytes);
  wire::Field field;
  int last = -1;
  uint64_t oneofs = 0;
  bool answer = true;
  while (const FieldTable* table = next_known(message, &reader, &field)) {
    const int index = static_cast<int>(table->index);
    if (index < last || (index == last && !table->is_repeated) || table->is_map) answer = false;
    if (table->oneof >= 0) {
      const uint64_t bit = uint64_t{1} << table->oneof;
      if ((oneofs & bit) != 0) answer = false;
      oneofs |= bit;
    }
    last = index;
  }
  *is_malformed = reader.failed();
  return answer;
}

bool Writer::message(const MessageTable& table, std::string_view bytes, int depth) {
  if (depth >= kMessageDepthMax) return fail(table.full_name + " is nested too deeply");
  bool is_malformed = false;
  const bool ordered = is_in_order(table, bytes, &is_malformed);
  if (is_malformed) return malformed(table);
  return ordered ? in_order(table, bytes, depth) : out_of_order(table, bytes, depth);
}

bool Writer::in_order(const MessageTable& table, std::string_view bytes, int depth) {
  wire::FieldReader reader(bytes);
  wire::Field field;
  bool is_first = true;
  const FieldTable* list = nullptr;  // The repeated field that is being written.
  bool is_first_element = true;
  out_->append("{");
  while (const FieldTable* known = next_known(table, &reader, &field)) {
    if (known != list && list != nullptr) {
      out_->append("]");
      list = nullptr;
    }
    if (known->is_repeated) {
      if (list == nullptr) {
        // A packed list may be empty, and then is not there.
        if (known->kind != Kind::kMessage && field.type == wire::Type::kBytes &&
            wire_type_of(known->kind) != wire::Type::kBytes && field.bytes.empty()) {
          continue;
        }
        comma(&is_first);
        out_->append(known->output_name);
        out_->append("[");
        list = known;
        is_first_element = true;
      }
      if (!elements(*known, field, &is_first_element, depth)) return false;
      continue;
    }
    if (!known->has_presence && is_zero(*known, field)) continue;
    comma(&is_first);
    out_->append(known->output_name);
    if (!value(*known, field, depth)) return false;
  }
  if (list != nullptr) out_->append("]");
  out_->append("}");
  return true;
}

bool Writer::elements(const FieldTable& table, const wire::Field& field, bool* is_first,
                      int depth) {
  if (field.type != wire_type_of(table.kind)) return packed(table, field.bytes, is_first);
  comma(is_first);
  return value(table, field, depth);
}

bool Writer::packed(const FieldTable& table, std::string_view bytes, bool* is_first) {
  const wire::Type type = wire_type_of(table.kind);
  const size_t size = type == wire::Type::kFixed32 ? 4 : type == wire::Type::kFixed64 ? 8 : 0;
  while (!bytes.empty()) {
    uint64_t bits = 0;
    size_t used = size;
    if (size != 0) {
      if (bytes.size() < size) return fail("malformed " + table.full_name);
      std::memcpy(&bits, bytes.data(), size);
    } else {
      for (int shift = 0;; shift += 7, ++used) {
        if (used == bytes.size() || used == 10) return fail("malformed " + table.full_name);
        bits |= static_cast<uint64_t>(bytes[used] & 0x7f) << shift;
        if ((bytes[used] & 0x80) == 0) break;
      }
      ++used;
    }
    bytes.remove_prefix(used);
    comma(is_first);
    number(table, bits);
  }
  return true;
}

// What a decoder would have gathered, one field after the other: the last value of a singular one,
// messages merged, the last member of a oneof, all elements of a list.
bool Writer::out_of_order(const MessageTable& table, std::string_view bytes, int depth) {
  struct Gathered {
    std::vector<wire::Field> values;
    std::string merged;  // Of messages: one behind the other is the merge of both.
  };
  std::array<Gathered, kMessageFieldsMax> gathered;
  wire::FieldReader reader(bytes);
  wire::Field field;
  while (const FieldTable* known = next_known(table, &reader, &field)) {
    Gathered& mine = gathered[known->index];
    if (known->oneof >= 0) {
      for (const FieldTable& other : table.fields) {
        if (&other != known && other.oneof == known->oneof) gathered[other.index] = Gathered();
      }
    }
    if (known->is_repeated) {
      mine.values.push_back(field);
    } else if (known->kind == Kind::kMessage) {
      mine.merged.append(field.bytes);
      mine.values.assign(1, field);
    } else {
      mine.values.assign(1, field);
    }
  }
  bool is_first = true;
  out_->append("{");
  for (const FieldTable& known : table.fields) {
    Gathered& mine = gathered[known.index];
    if (mine.values.empty()) continue;
    wire::Field& last = mine.values.back();
    if (!known.is_repeated && !known.has_presence && is_zero(known, last)) continue;
    const size_t begin = out_->size();
    const bool was_first = is_first;
    comma(&is_first);
    out_->append(known.output_name);
    if (known.is_map) {
      Entries entries;
      for (const wire::Field& entry : mine.values) entries.emplace_back("", entry.bytes);
      if (!map(known, std::move(entries), depth)) return false;
    } else if (known.is_repeated) {
      bool is_first_element = true;
      out_->append("[");
      for (const wire::Field& element : mine.values) {
        if (!elements(known, element, &is_first_element, depth)) return false;
      }
      out_->append("]");
      if (is_first_element) {  // Nothing but empty packed lists.
        out_->truncate(begin);
        is_first = was_first;
      }
    } else {
      if (known.kind == Kind::kMessage) last.bytes = mine.merged;
      if (!value(known, last, depth)) return false;
    }
  }
  out_->append("}");
  return true;
}

// In the order of keys; of entries with the same key the last one counts.
bool Writer::map(const FieldTable& table, Entries entries, int depth) {
  const FieldTable& value_table = table.message->fields[1];
  for (auto& [key, entry] : entries) {
    wire::FieldReader reader(entry);
    wire::Field field;
    while (reader.next(&field)) {
      if (field.is_bytes(1)) key = field.bytes;
    }
    if (reader.failed()) return malformed(*table.message);
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  bool is_first = true;
  out_->append("{");
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto& [key, entry] = entries[i];
    if (i + 1 < entries.size() && entries[i + 1].first == key) continue;
    if (find_invalid_utf8(key) != key.size()) {
      return fail("a key of " + table.full_name + " is not UTF-8");
    }
    comma(&is_first);
    append_quoted(key, out_);
    out_->append(":");
    wire::FieldReader reader(entry);
    wire::Field field;
    wire::Field found;
    while (next_known(*table.message, &reader, &field) != nullptr) {
      if (field.number == 2) found = field;
    }
    if (!value(value_table, found, depth)) return false;
  }
  out_->append("}");
  return true;
}

bool Writer::value(const FieldTable& table, const wire::Field& field, int depth) {
  switch (table.kind) {
    case Kind::kMessage: return message(*table.message, field.bytes, depth + 1);
    case Kind::kBytes:
      out_->append("\"");
      append_base64(field.bytes, out_);
      out_->append("\"");
      return true;
    case Kind::kString:
      if (find_invalid_utf8(field.bytes) != field.bytes.size()) {
        return fail("field " + table.full_name + " contains invalid UTF-8");
      }
      append_quoted(field.bytes, out_);
      return true;
    default: number(table, field.varint); return true;
  }
}

void Writer::quoted_number(bool is_signed, uint64_t bits) {
  out_->append("\"");
  if (is_signed) {
    append_signed(static_cast<int64_t>(bits), out_);
  } else {
    append_unsigned(bits, out_);
  }
  out_->append("\"");
}

void Writer::number(const FieldTable& table, uint64_t bits) {
  switch (table.kind) {
    case Kind::kBool: return out_->append(bits != 0 ? "true" : "false");
    case Kind::kInt32:
    case Kind::kSfixed32: return append_signed(static_cast<int32_t>(bits), out_);
    case Kind::kUint32:
    case Kind::kFixed32: return append_unsigned(static_cast<uint32_t>(bits), out_);
    case Kind::kSint32: return append_signed(static_cast<int32_t>(unzigzag(bits)), out_);
    case Kind::kInt64:
    case Kind::kSfixed64: return quoted_number(true, bits);
    case Kind::kUint64:
    case Kind::kFixed64: return quoted_number(false, bits);
    case Kind::kSint64: return quoted_number(true, static_cast<uint64_t>(unzigzag(bits)));
    default: break;
  }
  const auto enumerator = static_cast<int32_t>(bits);
  const std::string* name = table.enumeration->name_of(enumerator);
  if (name == nullptr) return append_signed(enumerator, out_);
  append_quoted(*name, out_);
}

}  // namespace

Status wire_to_json(const MessageTable& message, std::string_view bytes, ByteBuffer* out) {
  // Base64 takes a third more; names are short.
  out->prepare(bytes.size() + bytes.size() / 2 + 256);
  Writer writer(out);
  return writer.message(message, bytes, 0) ? Status() : invalid(writer.error());
}

}  // namespace mortise::json
