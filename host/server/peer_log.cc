#include "host/server/peer_log.h"

namespace mortise::server {
namespace {

Fields fields_of(const peer::LogFields& fields) {
  Fields out;
  for (const peer::LogField& field : fields) {
    std::visit(
        [&](const auto& value) {
          if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::chrono::nanoseconds>) {
            out.emplace_back(field.name, duration_text(value));
          } else {
            out.emplace_back(field.name, value);
          }
        },
        field.value);
  }
  return out;
}

}  // namespace

peer::LogHook peer_log_hook(Log* log) {
  return [log](peer::LogLevel level, std::string_view message, const peer::LogFields& fields,
               std::source_location where) {
    log->write(static_cast<Level>(level), message, fields_of(fields), where);
  };
}

}  // namespace mortise::server
