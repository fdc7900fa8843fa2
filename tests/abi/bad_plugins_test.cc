// Each bad plugin is refused with one clear line, and mortise-plugin-check ends with 1.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>

#include "host/loader/loader.h"

namespace mortise {
namespace {

std::string build_dir() { return ::getenv("MORTISE_BUILD_DIR"); }
std::string bad(const std::string& name) { return build_dir() + "/bad_plugins/" + name + ".so"; }

// What the message says after "plugin <path>: ".
std::string refusal(const std::string& path) {
  const auto loaded = loader::load(path, {}, "backend_");
  Status status = loaded.status();
  if (loaded.ok()) status = loader::backend(*loaded.value()).status();
  const std::string prefix = "plugin " + path + ": ";
  EXPECT_EQ(status.message().substr(0, prefix.size()), prefix);
  EXPECT_EQ(status.message().find('\n'), std::string::npos);
  return status.message().substr(std::min(prefix.size(), status.message().size()));
}

struct Checked {
  std::string errors;
  int code = 0;  // Of the shell, which adds 128 to a signal's number.
};

// What mortise-plugin-check says about a file on standard error, and its exit code.
Checked check(const std::string& file) {
  const std::string command = "ulimit -c 0; " + build_dir() + "/bin/mortise-plugin-check " + file +
                              " 2>&1 1>/dev/null; exit $?";
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return {"popen failed", -1};
  Checked checked;
  std::array<char, 512> chunk;
  while (size_t size = ::fread(chunk.data(), 1, chunk.size(), pipe)) {
    checked.errors.append(chunk.data(), size);
  }
  const int status = ::pclose(pipe);
  checked.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return checked;
}

TEST(BadPlugins, EachHasItsMessage) {
  EXPECT_EQ(refusal(bad("no_such_file")),
            "wanted a shared object, found no file: No such file or directory");
  EXPECT_EQ(refusal(bad("not_elf")), "wanted an ELF shared object, found a file of another kind");
  EXPECT_EQ(refusal(build_dir() + "/bin/mortise-plugin-check").substr(0, 46),
            "wanted a shared object that the dynamic linker");
  EXPECT_EQ(refusal(build_dir() + "/bad_plugins"), "wanted a shared object, found no regular file");
  EXPECT_EQ(refusal(bad("no_symbol")),
            "wanted the symbol \"mortise_plugin\", found none of that name");
  EXPECT_EQ(refusal(bad("wrong_major")), "wanted ABI major 1, found 2");
  EXPECT_EQ(refusal(bad("short_struct")),
            "wanted a plugin struct of at least 56 bytes, found 16 bytes");
  EXPECT_EQ(refusal(bad("null_name")), "wanted a name, found none");
  EXPECT_EQ(refusal(bad("null_id")), "wanted an id for interface 0, found NULL");
  EXPECT_EQ(refusal(bad("null_table")),
            "interface \"mortise.backend/1\": wanted a table, found NULL");
  EXPECT_EQ(refusal(bad("null_member")),
            "interface \"mortise.backend/1\": wanted the member commit, found NULL");
  EXPECT_EQ(
      refusal(bad("short_table")),
      "interface \"mortise.backend/1\": wanted a table of at least 120 bytes, found 32 bytes");
  EXPECT_EQ(refusal(bad("missing_interface")),
            "wanted interface \"mortise.backend/1\", found \"org.example.other/1\"");
}

TEST(BadPlugins, WordsOfTheLinkerAreKept) {
  const std::string text = refusal(bad("undefined_symbol"));
  EXPECT_EQ(text.find("wanted a shared object that the dynamic linker takes, found "), 0u) << text;
  EXPECT_NE(text.find("mortise_no_such_function"), std::string::npos) << text;
}

TEST(BadPlugins, AnUnknownNameListsWhatIsThere) {
  const auto loaded = loader::load("nothing", {build_dir() + "/bad_plugins"}, "null_");
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.status().message(), "plugin \"nothing\": wanted null_nothing.so in " +
                                           build_dir() +
                                           "/bad_plugins, found id, member, name, table");
  EXPECT_EQ(loaded.status().code(), StatusCode::kNotFound);
}

TEST(BadPlugins, PluginCheckSaysOneLineAndEndsWithOne) {
  for (const char* name : {"no_such_file", "not_elf", "no_symbol", "wrong_major", "short_struct",
                           "null_member", "short_table", "null_table", "missing_interface", ""}) {
    const std::string file = *name == '\0' ? "''" : bad(name);
    const auto [errors, code] = check(file);
    EXPECT_EQ(code, 1) << name;
    EXPECT_EQ(errors.find('\n'), errors.size() - 1) << name << ": " << errors;
    EXPECT_EQ(errors.find("plugin "), 0u) << errors;
  }
}

TEST(BadPlugins, AFileThatWasCutOffIsNotMapped) {
  const std::string whole = build_dir() + "/plugins/backend_memory.so";
  const std::string part = testing::TempDir() + "cut_off.so";
  const auto size = std::filesystem::file_size(whole);
  std::filesystem::copy_file(whole, part, std::filesystem::copy_options::overwrite_existing);
  // Not more than the last byte of what is mapped may be missing, and not the table at the start.
  for (const uintmax_t kept : {size / 3, uintmax_t{70}}) {
    std::filesystem::resize_file(part, kept);
    const std::string text = refusal(part);
    EXPECT_EQ(text.find("wanted a whole file of at least "), 0u) << text;
    EXPECT_NE(text.find(" bytes, found " + std::to_string(kept) + " bytes"), std::string::npos)
        << text;
  }
  std::filesystem::remove(part);
}

TEST(BadPlugins, PluginCheckSaysWhereAPluginEndsTheProcess) {
  const struct {
    const char* plugin;
    const char* line;
    int code;
  } kCases[] = {
      {"exits", "the plugin ended the process by exit(), at: order_of_bytes\n", 1},
      {"aborts", "the plugin ended the process by abort(), at: order_of_bytes\n", 128 + SIGABRT},
  };
  for (const auto& test : kCases) {
    const auto [errors, code] = check(bad(test.plugin));
    EXPECT_EQ(errors.substr(0, errors.find('\n') + 1), test.line);
    EXPECT_EQ(code, test.code) << test.plugin;
  }
}

}  // namespace
}  // namespace mortise
