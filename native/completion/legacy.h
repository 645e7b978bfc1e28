// Instructions without VEX or EVEX.
#pragma once

#include "row.h"

namespace revenant::completion {

// The name of an instruction that VEX has, too, and its name there: the row of that one executes it.
struct Twin {
  ZydisMnemonic legacy;
  ZydisMnemonic vex;
  std::uint8_t flags;  // RowFlag bits in addition to the row's
};

struct Twins {
  const Twin* first;
  unsigned count;
};

Twins legacy_twins();

constexpr unsigned kMaxTwins = 256;

}  // namespace revenant::completion
