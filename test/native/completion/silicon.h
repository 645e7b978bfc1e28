// Executes one instruction on this processor from a given state: the reference of the tests.
#pragma once

#include "arena.h"

namespace revenant::completion_test {

// Whether this processor and this kernel have AVX; and AVX-512 with 32 registers and masks.
bool has_avx();
bool has_avx512();

// The Feature bits of this processor.
std::uint64_t silicon_features();

// AMD where CPUID says so, else Intel.
completion::Vendor processor_vendor();

class Silicon {
 public:
  // Maps the arena and the code's pages at their addresses and takes the signals. Returns false, having said
  // why on stderr, when that cannot be done. One object a process.
  bool open();

  // The arena's bytes, writable here even where the instruction finds them read-only.
  std::uint8_t* arena() { return arena_; }

  // Executes the instruction at the start of `bytes` (15 of them) with `state`, and fills it with the result.
  // RSP, RIP, the segment bases and the trap flag are set here.
  completion::Outcome execute(completion::State& state, const std::uint8_t* bytes);

 private:
  std::uint8_t* arena_ = nullptr;
  std::uint8_t* code_ = nullptr;  // the writable view of the code's page
};

}  // namespace revenant::completion_test
