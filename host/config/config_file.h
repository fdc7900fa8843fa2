// The configuration file: YAML or JSON with etcd's keys and our `plugins` map. Internal to
// host/config. Pure.
#pragma once

#include <string>

#include "host/config/config.h"
#include "host/config/options.h"

namespace mortise::config {

struct FileParse {
  Status status;
  // Set instead of `status` where etcd prints a line and exits, without a log line.
  std::string stderr_text;
  std::vector<LogLine> logs;
};

// What the `plugins` map says beyond the options of the table.
struct FilePlugins {
  std::string watch_options = "{}";
  std::vector<PluginSpec> transports;  // Empty if the file does not list transports with options.
};

FileParse apply_file(const std::string& content, Values& values, FilePlugins& plugins);

}  // namespace mortise::config
