// A scenario as text: steps, each with what must come of it.
//
//     # A comment.
//     since 3.7                     The server must be as new as this, or the file is skipped.
//
//     put /registry/pods/a one      A command, and lines that belong to it, indented.
//     ----
//     revision 2                    What must come, up to an empty line.
//
// session.h has the commands.
#pragma once

#include <string>
#include <vector>

#include "host/base/status.h"

namespace mortise::scenarios {

struct Step {
  int line = 0;
  std::string before;             // Comments and empty lines above it, as they are.
  std::vector<std::string> text;  // The command, then its indented lines.
  std::string expected;           // Lines, each with its end.
};

struct Script {
  std::string since;  // Empty: any server.
  std::vector<Step> steps;
  std::string after;  // What stands below the last step.
};

Result<Script> parse(const std::string& text);
// The text of the script with what came instead of what was expected.
std::string render(const Script& script, const std::vector<std::string>& results);

// The words of a line, by blanks.
std::vector<std::string> words(const std::string& line);

}  // namespace mortise::scenarios
