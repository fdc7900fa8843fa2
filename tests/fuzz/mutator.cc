#include "tests/fuzz/mutator.h"

namespace mortise::fuzz {
namespace {

constexpr size_t kBytesMax = 1 << 20;

size_t position(const std::string& bytes, Random& random) { return random() % (bytes.size() + 1); }

std::string random_bytes(size_t size, Random& random) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

void append_varint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

std::string huge_varint(Random& random) {
  switch (random() % 4) {
    case 0: return std::string(9, '\xff') + "\x01";
    case 1: return std::string(10, '\xff') + "\x7f";  // More than 64 bits.
    case 2: return std::string(random() % 200, '\x80');
    default: return "\xff\xff\xff\xff\x0f";
  }
}

// The bytes as a field, in a field, in a field. 2 and 4 alternate: a txn in a txn.
void nest(std::string* bytes, Random& random) {
  const bool is_txn = random() % 2 == 0;
  uint64_t times = 1 + random() % (random() % 4 == 0 ? 3000 : 40);
  for (uint64_t i = 0; i < times && bytes->size() < kBytesMax; ++i) {
    uint64_t field = is_txn ? (i % 2 == 0 ? 4 : 2) : 1 + random() % 8;
    std::string outer;
    append_varint(field << 3 | 2, &outer);
    append_varint(bytes->size(), &outer);
    *bytes = outer + *bytes;
  }
}

// Groups, which no message here has, closed or not.
void add_groups(std::string* bytes, Random& random) {
  size_t times = 1 + random() % 3000;
  uint64_t field = 1 + random() % 100;
  std::string begin, end;
  append_varint(field << 3 | 3, &begin);
  append_varint(field << 3 | 4, &end);
  std::string out;
  for (size_t i = 0; i < times; ++i) out += begin;
  for (size_t i = random() % 2 * times; i > 0; --i) out += end;
  bytes->insert(position(*bytes, random), out);
}

void change_byte(std::string* bytes, Random& random) {
  if (bytes->empty()) return;
  char& c = (*bytes)[random() % bytes->size()];
  switch (random() % 3) {
    case 0: c = static_cast<char>(c ^ (1 << random() % 8)); break;
    case 1: c = static_cast<char>(random()); break;
    // The same field with another wire type.
    default: c = static_cast<char>((c & ~7) | static_cast<char>(random() % 8));
  }
}

void repeat_part(std::string* bytes, Random& random) {
  size_t begin = position(*bytes, random);
  std::string part = bytes->substr(begin, random() % 64);
  for (size_t i = random() % 50; i > 0; --i) bytes->insert(begin, part);
}

}  // namespace

void mutate(std::string* bytes, Random& random) {
  switch (random() % 12) {
    case 0: bytes->resize(position(*bytes, random)); break;
    case 1: bytes->erase(position(*bytes, random), random() % 16); break;
    case 2: bytes->insert(position(*bytes, random), random_bytes(random() % 16, random)); break;
    case 3: bytes->insert(position(*bytes, random), huge_varint(random)); break;
    case 4: nest(bytes, random); break;
    case 5: add_groups(bytes, random); break;
    case 6: repeat_part(bytes, random); break;
    case 7: *bytes = random_bytes(random() % 200, random); break;
    case 8:
      if (random() % 20 == 0) bytes->append(random_bytes(random() % (3 << 20), random));
      break;
    default: change_byte(bytes, random);
  }
}

}  // namespace mortise::fuzz
