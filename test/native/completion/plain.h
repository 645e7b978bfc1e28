// Plain instructions (execute_plain) against the processor at hand, whichever it is.
#pragma once

#include <cstdint>

namespace revenant::completion_test {

// Executes random instructions that the software accepts, of `count` random byte strings, in software and in
// a traced process, and compares all registers and memory. Returns whether all came to the same.
bool check_plain(std::uint64_t count, std::uint64_t seed);

}  // namespace revenant::completion_test
