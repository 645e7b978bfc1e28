// Measures VRCP14 and VRSQRT14 of this processor.
#pragma once

namespace revenant::completion_test {

// Executes VRCP14SS and VRSQRT14SS for every mantissa, finds the straight lines that give the same results,
// and prints them as native/completion/approximation_tables.h has them. Returns false where no such lines
// were found.
bool print_approximations();

}  // namespace revenant::completion_test
