// Runs samples on the silicon and in software, and compares.
#pragma once

#include "forms.h"

namespace revenant::completion_test {

// Executors of samples: the processor, if suitable, and the software with a separate arena.
struct Bench {
  Silicon* silicon;           // null where the processor has no AVX-512
  completion::Vendor vendor;  // whose processor the software is to be
  std::uint8_t software_arena[kArenaBytes];
  std::uint8_t pristine[kArenaBytes];
};

// The digest of a form's samples on the silicon.
std::uint64_t silicon_digest(Bench& bench, const Form& form);

// The digest of a form's samples in software.
std::uint64_t software_digest(Bench& bench, const Form& form, std::uint64_t features);

// What comparing a form's samples came to.
struct Comparison {
  unsigned samples;
  unsigned equal;
  unsigned missing;  // Verdict::kNotMine
};

// Executes a form's samples both ways. Prints the first `say` differences.
Comparison compare(Bench& bench, const Form& form, unsigned say);

// Executes one instruction both ways from `state` with the arena as `pristine` has it. Prints a difference if
// `say`. Returns whether both came to the same; `missing` is set where the software does not execute the
// instruction.
bool same(Bench& bench, const Sample& sample, bool say, bool& missing);

}  // namespace revenant::completion_test
