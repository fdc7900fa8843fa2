#include "tests/scenarios/script.h"

#include <sstream>

namespace mortise::scenarios {
namespace {

constexpr const char* kRule = "----";

bool is_note(const std::string& line) {
  return line.empty() || line.starts_with("#") || line.starts_with("since ");
}

}  // namespace

std::vector<std::string> words(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

Result<Script> parse(const std::string& text) {
  Script script;
  std::istringstream in(text);
  std::string line, before;
  for (int number = 1; std::getline(in, line); ++number) {
    if (line.starts_with("since ")) script.since = line.substr(6);
    if (is_note(line)) {
      before += line + "\n";
      continue;
    }
    Step step{number, std::move(before), {}, {}};
    before.clear();
    for (; in && line != kRule; ++number) {
      step.text.push_back(line);
      if (!std::getline(in, line) || line.empty()) {
        return Status(StatusCode::kInvalid,
                      "line " + std::to_string(step.line) + ": no ---- after the command");
      }
    }
    while (std::getline(in, line) && !line.empty()) {
      step.expected += line + "\n";
      ++number;
    }
    ++number;
    script.steps.push_back(std::move(step));
    before = "\n";
  }
  script.after = before;
  return script;
}

std::string render(const Script& script, const std::vector<std::string>& results) {
  std::string out;
  for (size_t i = 0; i < script.steps.size(); ++i) {
    out += script.steps[i].before;
    for (const std::string& line : script.steps[i].text) out += line + "\n";
    out += std::string(kRule) + "\n" + results[i];
  }
  std::string after = script.after;
  if (after.ends_with("\n")) after.pop_back();
  return out + after;
}

}  // namespace mortise::scenarios
