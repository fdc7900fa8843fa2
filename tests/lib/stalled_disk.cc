// Loaded into a server of a test (LD_PRELOAD): while the file that MORTISE_STALL_FILE names is
// there, no call that makes data durable returns.
#include <dlfcn.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

namespace {

using Sync = int (*)(int);

void wait_while_stalled() {
  static const char* const file = std::getenv("MORTISE_STALL_FILE");
  while (file != nullptr && ::access(file, F_OK) == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

int sync_with(const char* name, int fd) {
  wait_while_stalled();
  return reinterpret_cast<Sync>(::dlsym(RTLD_NEXT, name))(fd);
}

}  // namespace

#define MORTISE_INTERPOSED extern "C" __attribute__((visibility("default")))

MORTISE_INTERPOSED int fdatasync(int fd) { return sync_with("fdatasync", fd); }
MORTISE_INTERPOSED int fsync(int fd) { return sync_with("fsync", fd); }
