// Instructions on mask registers (VEX).
#include "elementwise.h"

namespace revenant::completion {
namespace {

U64 kept(unsigned bits) { return bits >= 64 ? ~0ull : (1ull << bits) - 1; }

// A row's width is that of the mask in bytes.
U64 all(const Operation& op) { return kept(8 * op.width()); }

template <auto function>
bool logic(Operation& op) {
  op.mask_register(0) = function(op.mask_register(1), op.mask_register(2)) & all(op);
  return true;
}

bool complement(Operation& op) {
  op.mask_register(0) = ~op.mask_register(1) & all(op);
  return true;
}

bool is_mask(const Operation& op, unsigned index) {
  const ZydisRegister value = op.operand(index).reg.value;
  return op.operand(index).type == ZYDIS_OPERAND_TYPE_REGISTER && value >= ZYDIS_REGISTER_K0 &&
         value <= ZYDIS_REGISTER_K7;
}

bool move(Operation& op) {
  U64 value = 0;
  if (op.is_memory(1)) {
    if (!op.read(1, op.address(1), &value, op.width())) return false;
  } else {
    value = is_mask(op, 1) ? op.mask_register(1) : op.state().gpr[op.number(1)];
  }
  value &= all(op);
  if (op.is_memory(0)) return op.write(0, op.address(0), &value, op.width());
  if (is_mask(op, 0)) {
    op.mask_register(0) = value;
  } else {
    op.state().gpr[op.number(0)] = value;
  }
  return true;
}

// KUNPCKBW and kin: the row's width is that of a half.
bool unpack(Operation& op) {
  op.mask_register(0) = (op.mask_register(1) & all(op)) << 8 * op.width() | (op.mask_register(2) & all(op));
  return true;
}

template <bool left>
bool shift(Operation& op) {
  const U64 value = op.mask_register(1) & all(op);
  const unsigned count = op.immediate();
  op.mask_register(0) = count >= 8u * op.width() ? 0 : (left ? value << count : value >> count) & all(op);
  return true;
}

// ZF and CF as given; OF, SF, AF, PF clear.
bool set_flags(Operation& op, bool zero, bool carry) {
  U64& flags = op.state().rflags;
  flags = (flags & ~0x8d5ull) | (zero ? 0x40 : 0) | (carry ? 1 : 0);
  return true;
}

bool or_test(Operation& op) {
  const U64 bits = (op.mask_register(0) | op.mask_register(1)) & all(op);
  return set_flags(op, bits == 0, bits == all(op));
}

bool and_test(Operation& op) {
  const U64 first = op.mask_register(0), second = op.mask_register(1);
  return set_flags(op, (first & second & all(op)) == 0, (~first & second & all(op)) == 0);
}

#define ROW(name, function, width) \
  { ZYDIS_MNEMONIC_##name, function, width, 0 }
#define FOUR(name, function) \
  ROW(name##B, function, 1), ROW(name##W, function, 2), ROW(name##D, function, 4), ROW(name##Q, function, 8)
constexpr Row rows[] = {
    FOUR(KADD, (logic<[](U64 a, U64 b) { return a + b; }>)),
    FOUR(KAND, (logic<[](U64 a, U64 b) { return a & b; }>)),
    FOUR(KANDN, (logic<[](U64 a, U64 b) { return ~a & b; }>)),
    FOUR(KOR, (logic<[](U64 a, U64 b) { return a | b; }>)),
    FOUR(KXOR, (logic<[](U64 a, U64 b) { return a ^ b; }>)),
    FOUR(KXNOR, (logic<[](U64 a, U64 b) { return ~(a ^ b); }>)),
    FOUR(KNOT, complement),
    FOUR(KMOV, move),
    FOUR(KSHIFTL, shift<true>),
    FOUR(KSHIFTR, shift<false>),
    FOUR(KORTEST, or_test),
    FOUR(KTEST, and_test),
    ROW(KUNPCKBW, unpack, 1),
    ROW(KUNPCKWD, unpack, 2),
    ROW(KUNPCKDQ, unpack, 4),
};

}  // namespace

Rows mask_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
