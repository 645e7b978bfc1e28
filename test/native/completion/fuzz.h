// Random byte strings, and how long an instruction takes.
#pragma once

#include "run.h"

namespace revenant::completion_test {

// Executes `count` random instructions from random registers in software and, where there is silicon, there
// too. Prints differences; returns whether there were none.
bool fuzz(Bench& bench, std::uint64_t count, std::uint64_t seed);

// Prints how long the software takes for a few kinds of instruction.
bool measure(Bench& bench);

}  // namespace revenant::completion_test
