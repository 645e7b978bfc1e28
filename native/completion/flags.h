// The arithmetic flags of RFLAGS.
#pragma once

#include <bit>

#include "widths.h"

namespace revenant::completion::flags {

constexpr U64 kCarry = 1, kParity = 4, kAuxiliary = 0x10, kZero = 0x40, kSign = 0x80, kOverflow = 0x800;
constexpr U64 kArithmetic = kCarry | kParity | kAuxiliary | kZero | kSign | kOverflow;

inline U64 low_bits(unsigned count) { return count >= 64 ? ~0ull : (1ull << count) - 1; }

// PF, ZF and SF of a result of so many bits.
inline U64 of_result(U64 result, unsigned width) {
  U64 flags = 0;
  if (std::popcount(result & 0xff) % 2 == 0) flags |= kParity;
  if ((result & low_bits(width)) == 0) flags |= kZero;
  if (result >> (width - 1) & 1) flags |= kSign;
  return flags;
}

// All of a + b + carry, or a - b - carry, of so many bits; `result` is that.
inline U64 of_sum(U64 a, U64 b, U64 carry, bool subtracts, unsigned width, U64 result) {
  U64 flags = of_result(result, width);
  if (((a ^ b ^ result) & 0x10) != 0) flags |= kAuxiliary;
  const bool wraps = subtracts ? a < b || (carry != 0 && a == b) : result < a || (carry != 0 && result == a);
  if (wraps) flags |= kCarry;
  const U64 overflow = subtracts ? (a ^ b) & (a ^ result) : (a ^ result) & (b ^ result);
  if (overflow >> (width - 1) & 1) flags |= kOverflow;
  return flags;
}

// Whether a condition is true, by the low four bits of Jcc's opcode.
inline bool holds(unsigned condition, U64 flags) {
  const auto has = [flags](U64 which) { return (flags & which) != 0; };
  bool result = false;
  switch (condition >> 1) {
    case 0:
      result = has(kOverflow);
      break;
    case 1:
      result = has(kCarry);
      break;
    case 2:
      result = has(kZero);
      break;
    case 3:
      result = has(kCarry | kZero);
      break;
    case 4:
      result = has(kSign);
      break;
    case 5:
      result = has(kParity);
      break;
    case 6:
      result = has(kSign) != has(kOverflow);
      break;
    default:
      result = has(kZero) || has(kSign) != has(kOverflow);
      break;
  }
  return result != ((condition & 1) != 0);
}

}  // namespace revenant::completion::flags
