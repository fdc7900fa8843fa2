#include "host/config/config.h"
#include "host/config/feature_gates.h"
#include "host/config/go_syntax.h"
#include "host/config/options.h"

namespace mortise::config {
namespace {

constexpr Group kGroups[] = {Group::kMember,  Group::kClustering, Group::kSecurity,
                             Group::kAuth,    Group::kMonitoring, Group::kLogging,
                             Group::kTracing, Group::kTuning,     Group::kUnsafe,
                             Group::kPlugins, Group::kOther};

std::string_view platform() {
#if defined(__x86_64__)
  return "linux/amd64";
#elif defined(__aarch64__)
  return "linux/arm64";
#else
  return "linux/unknown";
#endif
}

std::string support_text(const Option& option) {
  switch (option.support) {
    case Support::kEffective: return "";
    case Support::kNotYet: return "not yet: " + std::string(option.note);
    case Support::kNoEffect: return "no effect: " + std::string(option.note);
  }
  return "";
}

std::string option_help(const Option& option) {
  std::string text = "  --" + std::string(option.name) + " '" + std::string(option.default_text) +
                     "'\n    " + std::string(option.help) + "\n";
  const std::string support = support_text(option);
  if (!support.empty()) text += "    (" + support + ")\n";
  if (option.name != "feature-gates") return text;
  for (const std::string& gate : describe_feature_gates()) text += "      " + gate + "\n";
  return text;
}

// In a Markdown table '|' would end the cell, and <x> would be taken for a tag.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '<' ? "&lt;" : std::string(1, c);
  }
  return out;
}

std::string code(std::string_view text) {
  return text.empty() ? "" : "`" + std::string(text) + "`";
}

void append_table(Group group, bool flags, std::string& out) {
  out += "### " + std::string(group_title(group)) + "\n\n";
  out += flags ? "| flag | default | key in the file | meaning | limits of this version |\n"
               : "| key in the file | default | meaning | limits of this version |\n";
  out += flags ? "| --- | --- | --- | --- | --- |\n" : "| --- | --- | --- | --- |\n";
  for (const Option& option : options()) {
    if (option.group != group) continue;
    const std::string name = (flags ? "--" : "") + std::string(option.name);
    out += "| " + code(name) + " | " + code(option.default_text) + " | ";
    if (flags) out += (option.yaml.empty() ? "none" : code(option.yaml)) + " | ";
    out += cell(option.help) + " | " + cell(support_text(option)) + " |\n";
  }
  out += "\n";
}

}  // namespace

std::string version_text(std::string_view git_sha) {
  return "etcd Version: " + std::string(kEtcdVersion) +
         "\nGit SHA: " + (git_sha.empty() ? "Not provided" : std::string(git_sha)) +
         "\nGo Version: none (mortise is C++)\nGo OS/Arch: " + std::string(platform()) +
         "\nmortise Version: " + std::string(kMortiseVersion) + "\n";
}

std::string usage_text() {
  return "Usage:\n"
         "\n"
         "  mortised [flags]\n"
         "    Start the server.\n"
         "\n"
         "  mortised --version\n"
         "    Print the version.\n"
         "\n"
         "  mortised -h | --help\n"
         "    Print all flags.\n"
         "\n"
         "  mortised --config-file FILE\n"
         "    Start the server with a configuration file in YAML or JSON. All other flags and "
         "environment\n"
         "    variables are ignored then. Durations in the file are integers of nanoseconds.\n"
         "\n";
}

std::string help_text() {
  std::string text;
  for (const Group group : kGroups) {
    text += "\n" + std::string(group_title(group)) + ":\n";
    for (const Option& option : options()) {
      if (option.group == group) text += option_help(option);
    }
  }
  return text;
}

std::string options_markdown() {
  std::string out;
  for (const Group group : kGroups) append_table(group, true, out);
  append_table(Group::kFileOnly, false, out);
  out += "### Feature gates\n\n";
  for (const std::string& gate : describe_feature_gates()) out += "* `" + gate + "`\n";
  out += "\n### " + std::string(group_title(Group::kIgnored)) +
         "\n\nAccepted and ignored, as etcd does: ";
  bool first = true;
  for (const Option& option : options()) {
    if (option.group != Group::kIgnored) continue;
    out += (first ? "" : ", ") + code("--" + std::string(option.name));
    first = false;
  }
  return out + ".\n";
}

}  // namespace mortise::config
