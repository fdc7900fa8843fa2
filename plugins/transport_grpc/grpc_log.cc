#include "plugins/transport_grpc/grpc_log.h"

#include <grpc/support/log.h>

#include <algorithm>
#include <mutex>
#include <string_view>
#include <vector>

namespace mortise::transport_grpc {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<const GrpcLog*> logs;
};

// Never destroyed: the library's threads may log while the process exits.
Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

// The library calls an error what is often a client's fault, so only its failed assertions are
// errors.
mortise_log_level level_of(const gpr_log_func_args& args) {
  if (args.severity != GPR_LOG_SEVERITY_ERROR) return MORTISE_LOG_DEBUG;
  const bool fatal = std::string_view(args.message).starts_with("assertion failed");
  return fatal ? MORTISE_LOG_ERROR : MORTISE_LOG_WARN;
}

void write_line(gpr_log_func_args* args) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  if (r.logs.empty()) return;
  std::string_view file = args->file;
  file.remove_prefix(std::min(file.size(), file.rfind('/') + 1));
  r.logs.back()->host().log(level_of(*args), args->message,
                            {{"source", file}, {"line", args->line}});
}

}  // namespace

GrpcLog::GrpcLog(sdk::Host host) : host_(host) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  r.logs.push_back(this);
  gpr_set_log_function(&write_line);
}

GrpcLog::~GrpcLog() {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  std::erase(r.logs, this);
  if (r.logs.empty()) gpr_set_log_function(nullptr);
}

}  // namespace mortise::transport_grpc
