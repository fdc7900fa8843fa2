// Rules over the whole set of values: etcd's, with etcd's texts, and then what this version cannot
// do yet. Internal to host/config. Pure.
#pragma once

#include <vector>

#include "host/config/config.h"
#include "host/config/options.h"

namespace mortise::config {

// etcd ends with 2 here, and with 1 for all else that it finds wrong.
inline constexpr std::string_view kUnrecognizedLevel = "unrecognized level: ";
inline constexpr std::string_view kAdvertiseClientUrlsUnset =
    "--advertise-client-urls is required when --listen-client-urls is set explicitly";

// The logging options alone: if it is ok, errors of other options are logged as the user wants it.
Status validate_logging(const Values& values);

// etcd's own checks, validate_logging() among them. Appends warnings to `logs`.
Status validate_as_etcd(const Values& values, std::vector<LogLine>& logs);

// --auto-compaction-retention: a plain number counts hours or revisions, as `mode` says; anything
// else is a duration, whose nanoseconds count revisions if revisions are what is counted.
Result<int64_t> parse_retention(std::string_view mode, std::string_view text);

Result<LogRotation> parse_log_rotation(std::string_view text);

// A line for each option that asks for what this server does not have and does not need.
void warn_without_effect(const Values& values, std::vector<LogLine>& logs);

// kInvalid if any option asks for what has no effect in this version; names all of them.
Status refuse_not_yet(const Values& values);

}  // namespace mortise::config
