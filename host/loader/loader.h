// Loads plugins: the only place that opens shared objects. The server's start-up and
// mortise-plugin-check call it.
//
// Everything that can be judged without running the plugin's functions is judged here: file, ELF
// type, symbol, ABI major, struct sizes, names, and for every interface that this host knows the
// length of its table and its required members. What is wrong is said in one line that names the
// file, the interface where there is one, what was wanted and what was found.
//
// Threads: any. Ownership: plugins are never unloaded, so a Plugin and its tables live as long as
// the process, and loading the same file again gives the same Plugin.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/base/status.h"
#include "mortise/abi/auth.h"
#include "mortise/abi/backend.h"
#include "mortise/abi/plugin.h"
#include "mortise/abi/transport.h"
#include "mortise/abi/watch.h"

namespace mortise::loader {

struct Interface {
  std::string id;
  const void* table = nullptr;
};

struct Plugin {
  std::string path;
  std::string name;
  std::string version;
  std::string description;
  uint32_t abi_major = 0;
  uint32_t abi_minor = 0;
  std::vector<Interface> interfaces;
};

// A name with a '/' is a path. Any other is looked for as <dir>/<prefix><name>.so, with `prefix`
// such as "backend_", then as <dir>/<name>.so, in each of `dirs` in turn; if there is none, the
// message lists the plugins that are there.
Result<const Plugin*> load(const std::string& name_or_path, const std::vector<std::string>& dirs,
                           std::string_view prefix);

// The table of an interface, or a line that says what the plugin offers instead. In builds with
// MORTISE_CHECKED_PLUGINS it is the checked wrapper (checked.h).
Result<const mortise_backend_v1*> backend(const Plugin& plugin);
Result<const mortise_transport_v1*> transport(const Plugin& plugin);
Result<const mortise_watch_v1*> watch(const Plugin& plugin);
Result<const mortise_auth_v1*> auth(const Plugin& plugin);

// One member of an interface that this host knows; for listings.
struct MemberInfo {
  const char* name;
  bool required;
  bool present;
};
// Empty for an interface that this host does not know.
std::vector<MemberInfo> members(const Interface& interface);

}  // namespace mortise::loader
