// A second process on the same plugin, for checks that kill one or that hold a store from outside.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace mortise::conformance {

class Child {
 public:
  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  // Starts `command` with `arguments` after it; false if that fails.
  bool start(const std::vector<std::string>& command, const std::vector<std::string>& arguments);
  // The next line of its output; false at the end.
  bool read_line(std::string& line);
  void kill_hard();
  // Its exit code, or -1 if it was killed.
  int wait();

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  std::string buffered_;
};

}  // namespace mortise::conformance
