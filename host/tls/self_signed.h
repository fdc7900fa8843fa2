// Certificates that the server makes for itself (--auto-tls, --peer-auto-tls).
#pragma once

#include <string>
#include <vector>

#include "host/base/status.h"
#include "host/config/tls_options.h"
#include "host/tls/context.h"

namespace mortise::tls {

// cert.pem and key.pem in `folder`, made for these hosts (names and IP addresses) unless both are
// there already; ECDSA on P-521, valid for years of 365 days from now. Options other than versions
// and cipher suites are those of a server whose certificate nobody can check.
Result<config::TlsOptions> self_signed(const std::string& folder,
                                       const std::vector<std::string>& hosts, uint64_t years,
                                       const config::TlsOptions& given, const LogHook& log);

}  // namespace mortise::tls
