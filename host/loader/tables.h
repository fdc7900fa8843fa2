// What this host knows of each interface: the members of its table, and which of them are required.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace mortise::loader {

struct Member {
  const char* name;
  size_t offset;
  bool required;
};

struct TableSpec {
  const char* id;
  std::span<const Member> members;
  // A shorter table lacks a required member.
  size_t required_size() const {
    size_t size = 0;
    for (const Member& m : members) {
      if (m.required) size = m.offset + sizeof(void*);
    }
    return size;
  }
};

// Null for an id that this host does not know.
const TableSpec* find_spec(std::string_view id);

}  // namespace mortise::loader
