// Instructions given on standard input, one a line, executed in software: for checks whose answers are
// computed elsewhere.
#pragma once

namespace revenant::completion_test {

// A line is words NAME=HEX: "code" (the instruction), "vendor" (0 Intel, 1 AMD), "features", "mxcsr",
// "rflags", "memory" (at kArenaAddress), registers "zmm0", "k0", "mm0", "gpr0" (in the order of encodings),
// "tileconfig", "tiledata". Bytes are in the order of memory, numbers of fewer bytes than the register are
// padded with zeros. What a line does not name is as the line before left it. The answer to each line is a
// verdict's name and the same words for all that changed. Returns whether all lines could be read.
bool execute_lines();

}  // namespace revenant::completion_test
