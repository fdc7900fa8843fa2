// Makes bytes out of a well-formed request that are none, or that say something else.
#pragma once

#include <string>

#include "tests/fuzz/seeds.h"

namespace mortise::fuzz {

// Cuts, lies about lengths, huge numbers, wrong wire types, deep nesting, other bytes.
void mutate(std::string* bytes, Random& random);

}  // namespace mortise::fuzz
