// Instructions that leave flags undefined, executed by this processor.
#pragma once

#include <cstdint>

#include <Zydis/Zydis.h>

namespace revenant::completion {

struct OwnInstruction {
  ZydisMnemonic mnemonic;  // a shift, a rotation, IMUL of two operands, BSF, BSR, BT and kin
  unsigned bits;           // of the operands
  std::uint64_t flags;     // CF PF AF ZF SF OF, before and after
  std::uint64_t to;        // the first operand, before and after
  std::uint64_t from;      // the second; of shifts the count
};

// False where there is no such instruction, or this processor is of another kind.
bool execute_own(OwnInstruction& instruction);

// Whether this processor's ROL and ROR by an immediate leave the flags that those by CL do, which execute_own
// executes. By more than one, OF is undefined: Intel's keep it where the count is an immediate.
bool rotates_alike();

}  // namespace revenant::completion
