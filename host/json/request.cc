#include "host/json/request.h"

#ifdef __SSE2__
#define RAPIDJSON_SSE2
#endif
#include <rapidjson/reader.h>
#include <rapidjson/stream.h>

#include <cstdlib>
#include <limits>
#include <memory>
#include <set>
#include <string>

#include "host/json/request_errors.h"
#include "host/json/text.h"
#include "host/json/wire_writer.h"

namespace mortise::json {
namespace {

enum class Token { kNull, kFalse, kTrue, kNumber, kString, kObject, kArray };

// What the reader tells, turned into wire bytes at once. After the first error only syntax is
// looked at, since errors of syntax, wherever they are, come first.
class Handler {
 public:
  using Ch = char;

  Handler(const MessageTable& root, std::string_view json, rapidjson::InsituStringStream* stream,
          ByteBuffer* out)
      : root_(root), json_(json), stream_(*stream), work_(stream->head_), writer_(out) {
    frames_.reserve(kUsualDepth);
  }

  bool Null() { return scalar(Token::kNull, stream_.Tell() - 4, {}); }
  bool Bool(bool b) {
    return scalar(b ? Token::kTrue : Token::kFalse, stream_.Tell() - (b ? 4 : 5), {});
  }
  bool RawNumber(const char* text, rapidjson::SizeType size, bool) {
    return scalar(Token::kNumber, offset_of(text), {text, size});
  }
  bool String(const char* text, rapidjson::SizeType size, bool) {
    return scalar(Token::kString, offset_of(text) - 1, {text, size});
  }
  bool Key(const char* text, rapidjson::SizeType size, bool);
  bool StartObject();
  bool EndObject(rapidjson::SizeType);
  bool StartArray();
  bool EndArray(rapidjson::SizeType);
  // Numbers come as text.
  bool Int(int) { return false; }
  bool Uint(unsigned) { return false; }
  bool Int64(int64_t) { return false; }
  bool Uint64(uint64_t) { return false; }
  bool Double(double) { return false; }

  bool is_too_deep() const { return depth_ > kJsonDepthMax; }
  bool has_error() const { return !error_.empty(); }
  size_t error_offset() const { return error_offset_; }
  std::string take_error() { return std::move(error_); }
  void finish() { writer_.finish(); }

 private:
  static constexpr size_t kUsualDepth = 8;
  enum class In : uint8_t { kMessage, kList, kMap };
  struct Frame {
    In in = In::kMessage;
    bool is_map_value = false;  // A message that is the value of a map's entry.
    bool has_body = false;      // `body` is to be ended.
    const MessageTable* message = nullptr;
    const FieldTable* field = nullptr;  // Of a message the present field; null: to be ignored.
    uint64_t seen = 0;
    uint64_t seen_oneofs = 0;
    WireWriter::Mark body{};   // Of a nested message or a packed list.
    WireWriter::Mark entry{};  // Of a map's present entry.
    std::unique_ptr<std::set<std::string, std::less<>>> keys{};  // Of a map.
  };

  size_t offset_of(const char* text) const { return static_cast<size_t>(text - work_); }
  bool fail(size_t offset, std::string text) {
    if (error_.empty()) {
      error_ = std::move(text);
      error_offset_ = offset;
    }
    return true;
  }
  bool unexpected(size_t offset) {
    return fail(offset, "proto: syntax error " + position(json_, offset) + ": unexpected token " +
                            raw_token(json_, offset));
  }
  bool invalid_value(const FieldTable& field, size_t offset) {
    return fail(offset, "proto: " + position(json_, offset) + ": invalid value for " +
                            field.kind_name + " field " + field.json_name + ": " +
                            raw_token(json_, offset));
  }
  bool is_ignoring() const { return ignored_ > 0 || has_error(); }

  const FieldTable* value_field(const Frame& frame) const {
    return frame.in == In::kMap ? &frame.field->message->fields[1] : frame.field;
  }
  bool scalar(Token token, size_t offset, std::string_view text);
  bool key(std::string_view text, size_t offset);
  bool map_key(Frame* frame, std::string_view text, size_t offset);
  bool claim_oneof(Frame* frame, size_t key_offset);
  bool start(Token token, size_t offset);
  void push_message(const FieldTable* field, const MessageTable* message, bool is_map_value);
  void push_field(const FieldTable& field);
  // False if the value does not fit the field. *is_absent: nothing was written.
  bool write(const FieldTable& field, Token token, std::string_view text, bool in_list,
             bool* is_absent);
  bool write_enum(const FieldTable& field, Token token, std::string_view text, bool keeps_zero,
                  bool* is_absent);
  bool write_bytes(const FieldTable& field, std::string_view text, bool keeps_empty);
  bool write_number(const FieldTable& field, Token token, std::string_view text, bool keeps_zero);
  void put_varint(const FieldTable& field, uint64_t value, bool keeps_zero);

  const MessageTable& root_;
  const std::string_view json_;
  rapidjson::InsituStringStream& stream_;
  const char* const work_;  // The copy of json_ in which the reader decodes strings.
  WireWriter writer_;
  std::vector<Frame> frames_;
  size_t key_offset_ = 0;
  int depth_ = 0;
  int ignored_ = 0;  // How many of the open objects and arrays are in an unknown field.
  std::string error_;
  size_t error_offset_ = 0;
};

bool Handler::Key(const char* text, rapidjson::SizeType size, bool) {
  if (is_ignoring()) return true;
  return key({text, size}, offset_of(text) - 1);
}

bool Handler::key(std::string_view text, size_t offset) {
  Frame& frame = frames_.back();
  key_offset_ = offset;
  if (frame.in == In::kMap) return map_key(&frame, text, offset);
  frame.field = frame.message->by_name(text);
  if (frame.field == nullptr) return true;
  const uint64_t bit = uint64_t{1} << frame.field->index;
  if ((frame.seen & bit) != 0) {
    return fail(offset, "proto: " + position(json_, offset) + ": duplicate field " +
                            raw_token(json_, offset));
  }
  frame.seen |= bit;
  return true;
}

bool Handler::map_key(Frame* frame, std::string_view text, size_t offset) {
  if (find_invalid_utf8(text) != text.size()) {
    return fail(offset, "proto: " + position(json_, offset) +
                            ": invalid value for string key: " + raw_token(json_, offset));
  }
  if (frame->keys == nullptr) frame->keys = std::make_unique<std::set<std::string, std::less<>>>();
  if (!frame->keys->emplace(text).second) {
    return fail(offset, "proto: " + position(json_, offset) + ": duplicate map key " +
                            raw_token(json_, offset));
  }
  frame->entry = writer_.begin(frame->field->tag);
  writer_.bytes(frame->field->message->fields[0].tag, text);
  return true;
}

bool Handler::claim_oneof(Frame* frame, size_t key_offset) {
  if (frame->in != In::kMessage || frame->field->oneof < 0) return true;
  const uint64_t bit = uint64_t{1} << frame->field->oneof;
  if ((frame->seen_oneofs & bit) != 0) {
    fail(key_offset, "proto: " + position(json_, key_offset) + ": error parsing " +
                         raw_token(json_, key_offset) + ", oneof " + frame->field->oneof_name +
                         " is already set");
    return false;
  }
  frame->seen_oneofs |= bit;
  return true;
}

bool Handler::scalar(Token token, size_t offset, std::string_view text) {
  if (is_ignoring()) return true;
  if (frames_.empty()) return unexpected(offset);
  Frame& frame = frames_.back();
  if (frame.field == nullptr) return true;
  if (frame.in == In::kMessage) {
    if (token == Token::kNull) return true;
    if (frame.field->is_repeated) return unexpected(offset);
    if (!claim_oneof(&frame, key_offset_)) return true;
  }
  const FieldTable& field = *value_field(frame);
  if (field.kind == Kind::kMessage) return unexpected(offset);
  bool is_absent = false;
  if (!write(field, token, text, frame.in == In::kList, &is_absent)) {
    return invalid_value(field, offset);
  }
  if (frame.in != In::kMap) return true;
  if (is_absent) {
    writer_.undo(frame.entry);
  } else {
    writer_.end(frame.entry);
  }
  return true;
}

bool Handler::StartObject() {
  if (++depth_ > kJsonDepthMax) return false;
  return start(Token::kObject, stream_.Tell());
}

bool Handler::StartArray() {
  if (++depth_ > kJsonDepthMax) return false;
  return start(Token::kArray, stream_.Tell());
}

bool Handler::start(Token token, size_t offset) {
  if (is_ignoring()) {
    ++ignored_;
    return true;
  }
  if (frames_.empty()) {
    if (token != Token::kObject) return unexpected(offset);
    push_message(nullptr, &root_, false);
    return true;
  }
  Frame& frame = frames_.back();
  if (frame.field == nullptr) {
    ++ignored_;
    return true;
  }
  if (frame.in == In::kMessage && frame.field->is_repeated) {
    const bool fits = (token == Token::kObject) == frame.field->is_map;
    if (!fits) return unexpected(offset);
    push_field(*frame.field);
    return true;
  }
  if (!claim_oneof(&frame, key_offset_)) return true;
  const FieldTable& field = *value_field(frame);
  if (field.kind != Kind::kMessage) return invalid_value(field, offset);
  if (token != Token::kObject) return unexpected(offset);
  push_message(&field, field.message, frame.in == In::kMap);
  return true;
}

void Handler::push_message(const FieldTable* field, const MessageTable* message,
                           bool is_map_value) {
  Frame frame;
  frame.message = message;
  frame.is_map_value = is_map_value;
  frame.has_body = field != nullptr;
  if (field != nullptr) frame.body = writer_.begin(field->tag);
  frames_.push_back(std::move(frame));
}

void Handler::push_field(const FieldTable& field) {
  Frame frame;
  frame.in = field.is_map ? In::kMap : In::kList;
  frame.field = &field;
  frame.has_body = field.is_packed;
  if (frame.has_body) frame.body = writer_.begin(field.tag);
  frames_.push_back(std::move(frame));
}

bool Handler::EndObject(rapidjson::SizeType) {
  --depth_;
  if (ignored_ > 0) {
    --ignored_;
    return true;
  }
  if (has_error()) return true;
  const Frame frame = std::move(frames_.back());
  frames_.pop_back();
  if (frame.has_body) writer_.end(frame.body);
  if (frame.is_map_value) writer_.end(frames_.back().entry);
  return true;
}

bool Handler::EndArray(rapidjson::SizeType) {
  --depth_;
  if (ignored_ > 0) {
    --ignored_;
    return true;
  }
  if (has_error()) return true;
  const Frame frame = std::move(frames_.back());
  frames_.pop_back();
  if (!frame.has_body) return true;
  if (writer_.is_empty(frame.body)) {
    writer_.undo(frame.body);
  } else {
    writer_.end(frame.body);
  }
  return true;
}

bool Handler::write(const FieldTable& field, Token token, std::string_view text, bool in_list,
                    bool* is_absent) {
  const bool keeps_zero = in_list || field.has_presence;
  switch (field.kind) {
    case Kind::kBool:
      if (token != Token::kTrue && token != Token::kFalse) return false;
      put_varint(field, token == Token::kTrue ? 1 : 0, keeps_zero);
      return true;
    case Kind::kEnum: return write_enum(field, token, text, keeps_zero, is_absent);
    case Kind::kString:
      // The input is UTF-8; half a pair of surrogates is the one thing that escapes make of it.
      if (token != Token::kString || find_invalid_utf8(text) != text.size()) return false;
      if (keeps_zero || !text.empty()) writer_.bytes(field.tag, text);
      return true;
    case Kind::kBytes: return token == Token::kString && write_bytes(field, text, keeps_zero);
    default: return write_number(field, token, text, keeps_zero);
  }
}

bool Handler::write_enum(const FieldTable& field, Token token, std::string_view text,
                         bool keeps_zero, bool* is_absent) {
  int64_t number = 0;
  if (token == Token::kString) {
    const int32_t* named = field.enumeration->number_of(text);
    *is_absent = named == nullptr;  // As unknown fields are.
    if (named == nullptr) return true;
    number = *named;
  } else if (token != Token::kNumber ||
             !parse_signed(text, std::numeric_limits<int32_t>::min(),
                           std::numeric_limits<int32_t>::max(), &number)) {
    return false;
  }
  put_varint(field, static_cast<uint64_t>(number), keeps_zero);
  return true;
}

bool Handler::write_bytes(const FieldTable& field, std::string_view text, bool keeps_empty) {
  // Decoded where it stands: the result is shorter, and the reader is past it.
  char* in_place = const_cast<char*>(text.data());
  size_t size = 0;
  if (!base64_decode(text, in_place, &size)) return false;
  if (keeps_empty || size > 0) writer_.bytes(field.tag, {in_place, size});
  return true;
}

bool Handler::write_number(const FieldTable& field, Token token, std::string_view text,
                           bool keeps_zero) {
  if (token != Token::kNumber && token != Token::kString) return false;
  constexpr auto kMin32 = std::numeric_limits<int32_t>::min();
  constexpr auto kMax32 = std::numeric_limits<int32_t>::max();
  constexpr auto kMin64 = std::numeric_limits<int64_t>::min();
  constexpr auto kMax64 = std::numeric_limits<int64_t>::max();
  int64_t number = 0;
  uint64_t bits = 0;
  bool fits = false;
  switch (field.kind) {
    case Kind::kUint32:
    case Kind::kFixed32:
      fits = parse_unsigned(text, std::numeric_limits<uint32_t>::max(), &bits);
      break;
    case Kind::kUint64:
    case Kind::kFixed64:
      fits = parse_unsigned(text, std::numeric_limits<uint64_t>::max(), &bits);
      break;
    case Kind::kInt32:
    case Kind::kSint32:
    case Kind::kSfixed32:
      fits = parse_signed(text, kMin32, kMax32, &number);
      bits = static_cast<uint64_t>(number);
      break;
    default:
      fits = parse_signed(text, kMin64, kMax64, &number);
      bits = static_cast<uint64_t>(number);
      break;
  }
  if (!fits) return false;
  const bool is_zigzag = field.kind == Kind::kSint32 || field.kind == Kind::kSint64;
  if (is_zigzag) bits = bits << 1 ^ static_cast<uint64_t>(number >> 63);
  put_varint(field, bits, keeps_zero);
  return true;
}

void Handler::put_varint(const FieldTable& field, uint64_t value, bool keeps_zero) {
  if (value == 0 && !keeps_zero) return;
  const std::string_view tag = field.is_packed ? std::string_view() : field.tag;
  switch (field.kind) {
    case Kind::kFixed32:
    case Kind::kSfixed32: return writer_.fixed(tag, value, 4);
    case Kind::kFixed64:
    case Kind::kSfixed64: return writer_.fixed(tag, value, 8);
    default: return writer_.varint(tag, value);
  }
}

SyntaxError kind_of(rapidjson::ParseErrorCode code) {
  switch (code) {
    case rapidjson::kParseErrorObjectMissName: return SyntaxError::kObjectKey;
    case rapidjson::kParseErrorObjectMissColon: return SyntaxError::kAfterObjectKey;
    case rapidjson::kParseErrorObjectMissCommaOrCurlyBracket: return SyntaxError::kAfterObjectValue;
    case rapidjson::kParseErrorArrayMissCommaOrSquareBracket:
      return SyntaxError::kAfterArrayElement;
    case rapidjson::kParseErrorStringUnicodeEscapeInvalidHex: return SyntaxError::kHexEscape;
    case rapidjson::kParseErrorStringUnicodeSurrogateInvalid: return SyntaxError::kSurrogate;
    case rapidjson::kParseErrorStringEscapeInvalid:
    case rapidjson::kParseErrorStringMissQuotationMark:
    case rapidjson::kParseErrorStringInvalidEncoding: return SyntaxError::kString;
    case rapidjson::kParseErrorNumberMissFraction: return SyntaxError::kFraction;
    case rapidjson::kParseErrorNumberMissExponent: return SyntaxError::kExponent;
    case rapidjson::kParseErrorNumberTooBig: return SyntaxError::kNumberTooLarge;
    default: return SyntaxError::kValue;
  }
}

// A copy of the input that the reader may write to. It ends with zeros, up to which vector
// instructions may read.
class WorkingCopy {
 public:
  explicit WorkingCopy(std::string_view json) {
    if (json.size() + kPadding > sizeof(small_)) {
      large_.reset(static_cast<char*>(std::malloc(json.size() + kPadding)));
      MORTISE_CHECK(large_ != nullptr, "out of memory");
    }
    json.copy(data(), json.size());
    std::memset(data() + json.size(), 0, kPadding);
  }
  char* data() { return large_ != nullptr ? large_.get() : small_; }

 private:
  static constexpr size_t kPadding = 32;
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };
  alignas(16) char small_[4096];
  std::unique_ptr<char, Free> large_;
};

bool is_blank(std::string_view json) {
  return json.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

}  // namespace

Status request_to_wire(const MessageTable& message, std::string_view json, ByteBuffer* out) {
  if (is_blank(json)) return Status();
  WorkingCopy work(json);
  rapidjson::InsituStringStream stream(work.data());
  Handler handler(message, json, &stream, out);
  constexpr unsigned kFlags = rapidjson::kParseInsituFlag | rapidjson::kParseIterativeFlag |
                              rapidjson::kParseNumbersAsStringsFlag |
                              rapidjson::kParseStopWhenDoneFlag;
  // Keeps some bytes for each level of kJsonDepthMax.
  thread_local rapidjson::Reader reader;
  const rapidjson::ParseResult parsed = reader.Parse<kFlags>(stream, handler);
  if (parsed.IsError()) {
    const SyntaxError error = handler.is_too_deep() ? SyntaxError::kDepth : kind_of(parsed.Code());
    return invalid(syntax_error(error, json, parsed.Offset()));
  }
  const std::string_view value = json.substr(0, stream.Tell());
  const size_t bad = find_invalid_utf8(value);
  // A string is checked before anything is made of it.
  if (bad < value.size() &&
      (!handler.has_error() || string_begin(json, bad) <= handler.error_offset())) {
    return invalid(string_error(json, bad, "invalid UTF-8 in string"));
  }
  if (handler.has_error()) return invalid(handler.take_error());
  handler.finish();
  return Status();
}

}  // namespace mortise::json
