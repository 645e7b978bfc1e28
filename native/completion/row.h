// The table of instructions: a row a mnemonic, in groups by what they do.
#pragma once

#include "operation.h"

namespace revenant::completion {

// What is particular about an instruction.
enum RowFlag : std::uint8_t {
  kScalar = 1,    // one element; the rest comes from the first source
  kReadsAll = 2,  // memory must be accessible even where the mask leaves elements out
  kAligned = 4,   // memory must be aligned to the operand's size
  // Of instructions without VEX and EVEX:
  kDestructive = 8,  // the destination is the first source, too
  kTakesXmm0 = 16,   // XMM0 is the last source
  kUnaligned = 32,   // memory of 16 bytes need not be aligned
};

struct Row {
  ZydisMnemonic mnemonic;
  // Executes; returns false when the instruction ended with a fault.
  bool (*run)(Operation&);
  std::uint8_t width;  // bytes of an element of the destination
  std::uint8_t flags;
};

struct Rows {
  const Row* first;
  unsigned count;
};

Rows move_rows();
Rows permute_rows();
Rows integer_rows();
Rows multiply_rows();
Rows shift_rows();
Rows bit_rows();
Rows compare_rows();
Rows mask_rows();
Rows narrow_rows();
Rows memory_rows();
Rows cipher_rows();
Rows arithmetic_rows();
Rows fused_rows();
Rows convert_rows();
Rows special_rows();
Rows approximation_rows();
Rows avx_rows();
Rows general_rows();
Rows tile_rows();
Rows scalar_rows();
Rows hash_rows();
Rows xop_rows();
// Those of SSSE3 that have MMX registers for operands: of mnemonics that XMM registers have, too.
Rows mmx_rows();

}  // namespace revenant::completion
