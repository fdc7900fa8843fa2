// Do two lists of URLs name the same addresses? What etcd asks of --initial-cluster and
// --initial-advertise-peer-urls, and of a joining member and the cluster that it finds.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "host/config/url.h"

namespace mortise::config {

// The address of a name of the DNS; called for other hosts than localhost and IP addresses.
using ResolveHost = std::function<Result<std::string>(const std::string& host)>;

// Ok if each URL of one list has its equal in the other, some of them after their names are
// resolved. Else the message says what differs.
Status match_urls(std::vector<Url> a, std::vector<Url> b, const ResolveHost& resolve);

}  // namespace mortise::config
