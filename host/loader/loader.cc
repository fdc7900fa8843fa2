#include "host/loader/loader.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/dll/shared_library.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>

#include "host/loader/checked.h"
#include "host/loader/tables.h"

namespace mortise::loader {
namespace {

namespace fs = std::filesystem;

// "plugin <path>: wanted <wanted>, found <found>", the form of every refusal.
Status refuse(const std::string& path, const std::string& wanted, const std::string& found) {
  return invalid("plugin " + path + ": wanted " + wanted + ", found " + found);
}

// A file that was cut off while it was copied would end the process once it is mapped.
Status check_whole(const std::string& path, int fd, const Elf64_Ehdr& header, uint64_t size) {
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr)) {
    return Status();  // The dynamic linker says what it is.
  }
  uint64_t wanted = header.e_phoff + uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  for (uint16_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr part{};
    const auto at = static_cast<off_t>(header.e_phoff + i * sizeof(part));
    if (::pread(fd, &part, sizeof(part), at) != static_cast<ssize_t>(sizeof(part))) break;
    if (part.p_type == PT_LOAD) wanted = std::max(wanted, part.p_offset + part.p_filesz);
  }
  if (wanted <= size) return Status();
  return refuse(path, "a whole file of at least " + std::to_string(wanted) + " bytes",
                std::to_string(size) + " bytes");
}

Status check_elf(const std::string& path, int fd, uint64_t size) {
  Elf64_Ehdr header{};
  if (::pread(fd, &header, sizeof(header), 0) != static_cast<ssize_t>(sizeof(header)) ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    return refuse(path, "an ELF shared object", "a file of another kind");
  }
  if (header.e_type != ET_DYN) {
    return refuse(path, "an ELF shared object", "ELF type " + std::to_string(header.e_type));
  }
  return check_whole(path, fd, header, size);
}

// Judged before the file goes to the dynamic linker, whose own words differ between systems.
Status check_file(const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) {
    return Status(
        StatusCode::kNotFound,
        "plugin " + path + ": wanted a shared object, found no file: " + std::strerror(errno));
  }
  if (!S_ISREG(facts.st_mode)) return refuse(path, "a shared object", "no regular file");
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno_status(errno, "plugin " + path);
  const Status judged = check_elf(path, fd, static_cast<uint64_t>(facts.st_size));
  ::close(fd);
  return judged;
}

// The libraries that were opened; never closed, as a plugin may have threads and atexit handlers.
std::vector<boost::dll::shared_library>& libraries() {
  static auto* list = new std::vector<boost::dll::shared_library>();
  return *list;
}

Result<const mortise_plugin_v1*> open_library(const std::string& path) {
  boost::dll::shared_library library;
  try {
    library.load(boost::dll::fs::path(path),
                 boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
    libraries().push_back(library);
  } catch (const std::exception& e) {
    // Boost wraps the linker's line: "... (dlerror system message: <line>): ...".
    std::string text = e.what();
    const std::string mark = "dlerror system message: ";
    if (const size_t at = text.find(mark); at != std::string::npos) {
      text = text.substr(at + mark.size());
      text = text.substr(0, text.rfind(')'));
    }
    return refuse(path, "a shared object that the dynamic linker takes", text);
  }
  if (!library.has(MORTISE_PLUGIN_SYMBOL)) {
    return refuse(path, "the symbol \"" MORTISE_PLUGIN_SYMBOL "\"", "none of that name");
  }
  return &library.get<const mortise_plugin_v1>(MORTISE_PLUGIN_SYMBOL);
}

Status check_descriptor(const std::string& path, const mortise_plugin_v1& p) {
  constexpr size_t kVersionEnd = offsetof(mortise_plugin_v1, abi_major) + sizeof(p.abi_major);
  const std::string bytes = " bytes";
  if (p.struct_size >= kVersionEnd && p.abi_major != MORTISE_ABI_MAJOR) {
    return refuse(path, "ABI major " + std::to_string(MORTISE_ABI_MAJOR),
                  std::to_string(p.abi_major));
  }
  if (p.struct_size < sizeof(p)) {
    return refuse(path, "a plugin struct of at least " + std::to_string(sizeof(p)) + bytes,
                  std::to_string(p.struct_size) + bytes);
  }
  if (p.name == nullptr || *p.name == '\0') return refuse(path, "a name", "none");
  if (p.version == nullptr) return refuse(path, "a version", "NULL");
  if (p.description == nullptr) return refuse(path, "a description", "NULL");
  if (p.interface_count == 0 || p.interfaces == nullptr) {
    return refuse(path, "at least one interface", "none");
  }
  return Status();
}

Status check_table(const std::string& path, const mortise_interface& i) {
  const std::string where = "plugin " + path + ": interface \"" + i.id + "\": wanted ";
  if (i.table == nullptr) return invalid(where + "a table, found NULL");
  const TableSpec* spec = find_spec(i.id);
  if (spec == nullptr) return Status();
  uint32_t size = 0;
  std::memcpy(&size, i.table, sizeof(size));
  if (size < spec->required_size()) {
    return invalid(where + "a table of at least " + std::to_string(spec->required_size()) +
                   " bytes, found " + std::to_string(size) + " bytes");
  }
  for (const Member& m : spec->members) {
    const void* pointer = nullptr;
    if (m.required)
      std::memcpy(&pointer, static_cast<const char*>(i.table) + m.offset, sizeof(pointer));
    if (m.required && pointer == nullptr) {
      return invalid(where + "the member " + m.name + ", found NULL");
    }
  }
  return Status();
}

Result<std::unique_ptr<Plugin>> load_file(const std::string& path) {
  MORTISE_RETURN_IF_ERROR(check_file(path));
  MORTISE_ASSIGN_OR_RETURN(const mortise_plugin_v1* p, open_library(path));
  MORTISE_RETURN_IF_ERROR(check_descriptor(path, *p));
  auto plugin = std::make_unique<Plugin>();
  plugin->path = path;
  plugin->name = p->name;
  plugin->version = p->version;
  plugin->description = p->description;
  plugin->abi_major = p->abi_major;
  plugin->abi_minor = p->abi_minor;
  for (size_t i = 0; i < p->interface_count; ++i) {
    const mortise_interface& interface = p->interfaces[i];
    if (interface.id == nullptr) {
      return refuse(path, "an id for interface " + std::to_string(i), "NULL");
    }
    MORTISE_RETURN_IF_ERROR(check_table(path, interface));
    const auto same = [&](const Interface& other) { return other.id == interface.id; };
    if (std::any_of(plugin->interfaces.begin(), plugin->interfaces.end(), same)) {
      return refuse(path, std::string("interface \"") + interface.id + "\" once", "two of it");
    }
    plugin->interfaces.push_back({interface.id, interface.table});
  }
  return plugin;
}

std::string join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text.empty() ? "none" : text;
}

// The names that load() would take in these directories.
std::vector<std::string> available(const std::vector<std::string>& dirs, std::string_view prefix) {
  std::vector<std::string> names;
  for (const std::string& dir : dirs) {
    std::error_code ec;
    for (fs::directory_iterator it(dir, ec), end; !ec && it != end; it.increment(ec)) {
      const std::string stem = it->path().stem().string();
      if (it->path().extension() != ".so" || !stem.starts_with(prefix)) continue;
      names.push_back(stem.substr(prefix.size()));
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Result<std::string> resolve(const std::string& name, const std::vector<std::string>& dirs,
                            std::string_view prefix) {
  if (name.find('/') != std::string::npos) return name;
  for (const std::string& dir : dirs) {
    for (const std::string& file : {std::string(prefix) + name + ".so", name + ".so"}) {
      std::error_code ec;
      const fs::path path = fs::path(dir) / file;
      if (fs::exists(path, ec)) return path.string();
    }
  }
  return not_found("plugin \"" + name + "\": wanted " + std::string(prefix) + name + ".so in " +
                   join(dirs) + ", found " + join(available(dirs, prefix)));
}

template <typename Table>
Result<const Table*> find(const Plugin& plugin, std::string_view id) {
  std::vector<std::string> offered;
  for (const Interface& i : plugin.interfaces) {
    if (i.id == id) return static_cast<const Table*>(i.table);
    offered.push_back("\"" + i.id + "\"");
  }
  return refuse(plugin.path, "interface \"" + std::string(id) + "\"", join(offered));
}

#ifdef MORTISE_CHECKED_PLUGINS
constexpr bool kChecked = true;
#else
constexpr bool kChecked = false;
#endif

template <typename Table, typename Wrap>
Result<const Table*> find_maybe_checked(const Plugin& plugin, std::string_view id, Wrap wrap) {
  MORTISE_ASSIGN_OR_RETURN(const Table* table, find<Table>(plugin, id));
  return kChecked ? wrap(table) : table;
}

}  // namespace

Result<const Plugin*> load(const std::string& name_or_path, const std::vector<std::string>& dirs,
                           std::string_view prefix) {
  static std::mutex mutex;
  static auto* loaded = new std::map<std::string, std::unique_ptr<Plugin>>();
  MORTISE_ASSIGN_OR_RETURN(const std::string found, resolve(name_or_path, dirs, prefix));
  std::error_code ec;
  const fs::path canonical = fs::canonical(found, ec);
  const std::string path = ec ? found : canonical.string();
  const std::lock_guard lock(mutex);
  if (const auto it = loaded->find(path); it != loaded->end()) return it->second.get();
  MORTISE_ASSIGN_OR_RETURN(std::unique_ptr<Plugin> plugin, load_file(path));
  return loaded->emplace(path, std::move(plugin)).first->second.get();
}

Result<const mortise_backend_v1*> backend(const Plugin& plugin) {
  return find_maybe_checked<mortise_backend_v1>(plugin, MORTISE_BACKEND_ID, checked_backend);
}
Result<const mortise_transport_v1*> transport(const Plugin& plugin) {
  return find_maybe_checked<mortise_transport_v1>(plugin, MORTISE_TRANSPORT_ID, checked_transport);
}
Result<const mortise_watch_v1*> watch(const Plugin& plugin) {
  return find_maybe_checked<mortise_watch_v1>(plugin, MORTISE_WATCH_ID, checked_watch);
}
Result<const mortise_auth_v1*> auth(const Plugin& plugin) {
  return find_maybe_checked<mortise_auth_v1>(plugin, MORTISE_AUTH_ID, checked_auth);
}

std::vector<MemberInfo> members(const Interface& interface) {
  std::vector<MemberInfo> list;
  const TableSpec* spec = find_spec(interface.id);
  if (spec == nullptr) return list;
  uint32_t size = 0;
  std::memcpy(&size, interface.table, sizeof(size));
  for (const Member& m : spec->members) {
    const void* pointer = nullptr;
    if (m.offset + sizeof(pointer) <= size) {
      std::memcpy(&pointer, static_cast<const char*>(interface.table) + m.offset, sizeof(pointer));
    }
    list.push_back({m.name, m.required, pointer != nullptr});
  }
  return list;
}

}  // namespace mortise::loader
