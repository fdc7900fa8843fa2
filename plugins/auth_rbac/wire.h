// The wire format of protobuf, as much of it as users, roles and their requests need.
//
// Reading and writing by hand keeps the stored bytes equal to etcd's, field by field, whatever
// version of a library is installed. One thread for each object. A Reader lends spans of what it
// was given; it never reads past the end, and fails for good at the first malformed byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mortise::auth_rbac {

class Reader {
 public:
  explicit Reader(std::string_view message) : rest_(message) {}

  // The next field; false at the end, or when the message is malformed: see ok().
  bool next();
  uint32_t field() const { return field_; }
  bool is_bytes() const { return type_ == 2; }
  bool is_varint() const { return type_ == 0; }
  std::string_view bytes() const { return bytes_; }
  uint64_t varint() const { return varint_; }
  bool ok() const { return ok_; }

 private:
  bool fail();
  bool read_varint(uint64_t& out);

  std::string_view rest_;
  std::string_view bytes_;
  uint64_t varint_ = 0;
  uint32_t field_ = 0;
  uint32_t type_ = 0;
  bool ok_ = true;
};

// What a field of type `string` has to be.
bool is_utf8(std::string_view text);

void put_varint(std::string& out, uint64_t value);
// As proto3: a value of zero, or no bytes, is not written.
void put_number(std::string& out, uint32_t field, uint64_t value);
void put_bytes(std::string& out, uint32_t field, std::string_view value);
// A message or an element of a list, which is written even if it is empty.
void put_message(std::string& out, uint32_t field, std::string_view value);

}  // namespace mortise::auth_rbac
