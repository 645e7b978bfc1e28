// Instructions on general registers that have VEX or XOP encodings: BMI1, BMI2 and TBM.
#include <bit>

#include "flags.h"
#include "row.h"

namespace revenant::completion {
namespace {

unsigned bits_of(const Operation& op) { return op.operand(0).size; }

// A register or memory operand of the destination's size.
bool value_of(Operation& op, unsigned index, U64& to) {
  to = 0;
  if (!op.is_memory(index)) {
    to = op.general(index);
    return true;
  }
  return op.read(index, op.address(index), &to, op.operand(index).size / 8u);
}

using namespace flags;

// Zero and sign of the result, the carry given, overflow clear. The others are undefined in the manual; Zen 4
// has the result's parity, and no auxiliary carry; but BEXTR sets that, and has no sign.
void set_flags(Operation& op, U64 result, bool carry) {
  U64& flags = op.state().rflags;
  flags &= ~kArithmetic;
  // Undefined, as is the auxiliary flag: Intel's processors clear both.
  if (op.state().vendor == Vendor::kAmd && std::popcount(result & 0xff) % 2 == 0) flags |= kParity;
  if (result == 0) flags |= kZero;
  if (result >> (bits_of(op) - 1) & 1) flags |= kSign;
  if (carry) flags |= kCarry;
}

U64 truncated(const Operation& op, U64 value) { return bits_of(op) == 64 ? value : value & 0xffffffff; }

bool and_not(Operation& op) {
  U64 b;
  if (!value_of(op, 2, b)) return false;
  const U64 result = truncated(op, ~op.general(1) & b);
  set_flags(op, result, false);
  op.set_general(0, result);
  return true;
}

// BLSI, BLSMSK, BLSR, and TBM's BLSFILL and kin: function(value) and whether the carry is that the value is
// 0, or that it is not.
template <auto function, bool carry_if_zero>
bool lowest_bit(Operation& op) {
  U64 a;
  if (!value_of(op, 1, a)) return false;
  const U64 result = truncated(op, function(a));
  set_flags(op, result, (a == 0) == carry_if_zero);
  op.set_general(0, result);
  return true;
}

// TBM's lowest zero: function(value, value + 1); the carry is that of the increment.
template <auto function>
bool lowest_zero(Operation& op) {
  U64 a;
  if (!value_of(op, 1, a)) return false;
  const U64 result = truncated(op, function(a, a + 1));
  set_flags(op, result, truncated(op, ~a) == 0);
  op.set_general(0, result);
  return true;
}

// The control is the last operand: of TBM's form an immediate.
bool extract_field(Operation& op) {
  U64 a;
  if (!value_of(op, 1, a)) return false;
  const U64 control = op.operands() > 2 ? op.general(2) : op.instruction().raw.imm[0].value.u;
  const unsigned start = control & 0xff, length = control >> 8 & 0xff;
  U64 result = start < 64 ? a >> start : 0;
  if (length < 64) result &= (1ull << length) - 1;
  set_flags(op, result, false);
  op.state().rflags &= ~U64{kSign};
  if (op.state().vendor == Vendor::kAmd) op.state().rflags |= kAuxiliary;
  op.set_general(0, result);
  return true;
}

bool zero_high(Operation& op) {
  U64 a;
  if (!value_of(op, 1, a)) return false;
  const unsigned from = op.general(2) & 0xff;
  const U64 result = from < bits_of(op) ? a & ((1ull << from) - 1) : a;
  set_flags(op, result, from >= bits_of(op));
  op.set_general(0, result);
  return true;
}

// To two registers, the upper half last, without flags.
bool multiply(Operation& op) {
  U64 b;
  if (!value_of(op, 2, b)) return false;
  const U64 a = truncated(op, op.state().gpr[2]);
  const U128 product = U128{a} * b;
  op.set_general(1, static_cast<U64>(product));
  op.set_general(0, static_cast<U64>(product >> bits_of(op)));
  return true;
}

bool deposit(Operation& op) {
  U64 mask, result = 0;
  if (!value_of(op, 2, mask)) return false;
  for (U64 from = op.general(1); mask != 0; mask &= mask - 1, from >>= 1)
    if (from & 1) result |= mask & (0 - mask);
  op.set_general(0, result);
  return true;
}

bool extract(Operation& op) {
  U64 mask, result = 0;
  if (!value_of(op, 2, mask)) return false;
  const U64 a = op.general(1);
  for (unsigned at = 0; mask != 0; mask &= mask - 1, at++) result |= (a >> std::countr_zero(mask) & 1) << at;
  op.set_general(0, result);
  return true;
}

bool rotate(Operation& op) {
  U64 a;
  if (!value_of(op, 1, a)) return false;
  const unsigned size = bits_of(op), count = op.immediate() & (size - 1);
  op.set_general(0, count == 0 ? a : a >> count | a << (size - count));
  return true;
}

// function(value, count, bits).
template <auto function>
bool shift(Operation& op) {
  U64 a;
  if (!value_of(op, 1, a)) return false;
  const unsigned size = bits_of(op);
  op.set_general(0, function(a, static_cast<unsigned>(op.general(2) & (size - 1)), size));
  return true;
}

U64 left(U64 a, unsigned count, unsigned) { return a << count; }
U64 right(U64 a, unsigned count, unsigned) { return a >> count; }
U64 right_signed(U64 a, unsigned count, unsigned size) {
  const auto wide = static_cast<std::int64_t>(a << (64 - size)) >> (64 - size);
  return static_cast<U64>(wide >> count);
}

#define ROW(name, function) \
  { ZYDIS_MNEMONIC_##name, function, 8, kScalar }
constexpr Row rows[] = {
    ROW(ANDN, and_not),
    ROW(BLSI, (lowest_bit<[](U64 a) { return a & (0 - a); }, false>)),
    ROW(BLSMSK, (lowest_bit<[](U64 a) { return a ^ (a - 1); }, true>)),
    ROW(BLSR, (lowest_bit<[](U64 a) { return a & (a - 1); }, true>)),
    ROW(BEXTR, extract_field),
    ROW(BZHI, zero_high),
    ROW(MULX, multiply),
    ROW(PDEP, deposit),
    ROW(PEXT, extract),
    ROW(RORX, rotate),
    ROW(SHLX, shift<left>),
    ROW(SHRX, shift<right>),
    ROW(SARX, shift<right_signed>),
    ROW(BLCFILL, (lowest_zero<[](U64 a, U64 next) { return a & next; }>)),
    ROW(BLCI, (lowest_zero<[](U64 a, U64 next) { return a | ~next; }>)),
    ROW(BLCIC, (lowest_zero<[](U64 a, U64 next) { return ~a & next; }>)),
    ROW(BLCMSK, (lowest_zero<[](U64 a, U64 next) { return a ^ next; }>)),
    ROW(BLCS, (lowest_zero<[](U64 a, U64 next) { return a | next; }>)),
    ROW(T1MSKC, (lowest_zero<[](U64 a, U64 next) { return ~a | next; }>)),
    ROW(BLSFILL, (lowest_bit<[](U64 a) { return a | (a - 1); }, true>)),
    ROW(BLSIC, (lowest_bit<[](U64 a) { return ~a | (a - 1); }, true>)),
    ROW(TZMSK, (lowest_bit<[](U64 a) { return ~a & (a - 1); }, true>)),
};

}  // namespace

Rows general_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
