// What the JSON of a member is read with, in the store and in etcd's old API. Internal to
// host/membership. Pure.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace mortise::membership {

// Appends the array's strings; none if there is no such array, or null. False if it is anything
// else.
bool read_urls(const nlohmann::json& object, const char* name, std::vector<std::string>* urls);

}  // namespace mortise::membership
