// AMD's XOP and FMA4 (AMD64 Architecture Programmer's Manual, volumes 4 and 6): Bulldozer to Excavator.
// Operands are in the order of the assembler; VEX.W or XOP.W says which of the last two is memory.
#include "elementwise.h"
#include "float_rows.h"

namespace revenant::completion {
namespace {

// Of three sources: function(result, a, b, c, operation).
template <auto function>
bool three(Operation& op) {
  Vector a, b, c, result;
  if (!op.load(1, a) || !op.load(2, b) || !op.load(3, c)) return false;
  function(result, a, b, c, op);
  return op.finish(result);
}

// VPCMOV: by bits of the third.
void choose(Vector& result, const Vector& a, const Vector& b, const Vector& by, Operation& op) {
  for (unsigned i = 0; i < op.length() / 8; i++)
    result.set<U64>(i, (a.get<U64>(i) & by.get<U64>(i)) | (b.get<U64>(i) & ~by.get<U64>(i)));
}

U8 reversed(U8 value) {
  U8 result = 0;
  for (unsigned i = 0; i < 8; i++) result |= static_cast<U8>((value >> i & 1) << (7 - i));
  return result;
}

// VPPERM: a byte of the first (0 to 15) or second source (16 to 31), and what is done with it.
void permute(Vector& result, const Vector& a, const Vector& b, const Vector& by, Operation&) {
  for (unsigned i = 0; i < 16; i++) {
    const U8 control = by.bytes[i];
    const U8 byte = ((control & 16) != 0 ? b : a).bytes[control & 15];
    const auto sign = static_cast<U8>(static_cast<S8>(byte) >> 7);
    const U8 made[8] = {
        byte, static_cast<U8>(~byte), reversed(byte), static_cast<U8>(~reversed(byte)), 0, 0xff,
        sign, static_cast<U8>(~sign)};
    result.bytes[i] = made[control >> 5];
  }
}

// VPERMIL2PS, VPERMIL2PD: an element of the lane in either source, or zero where bit 3 of the control is what
// the immediate says.
template <class T>
void permute_two(Vector& result, const Vector& a, const Vector& b, const Vector& by, Operation& op) {
  constexpr unsigned count = 16 / sizeof(T);
  for (unsigned i = 0; i < op.length() / sizeof(T); i++) {
    const auto control = static_cast<unsigned>(by.get<T>(i));
    const bool match = (control & 8) != 0;
    const bool zero = (op.immediate() & 2) != 0 && match == ((op.immediate() & 1) == 0);
    const unsigned at = (i & ~(count - 1)) + (sizeof(T) == 4 ? control & 3 : control >> 1 & 1);
    result.set<T>(i, zero ? T{0} : ((control & 4) != 0 ? b : a).template get<T>(at));
  }
}

// VPCOMx: all ones where the comparison that the immediate names is true.
template <class T>
bool compare(Operation& op) {
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    for (unsigned i = 0; i < 16 / sizeof(T); i++) {
      const T x = a.get<T>(i), y = b.get<T>(i);
      const bool answers[8] = {x < y, x <= y, (x > y), x >= y, x == y, x != y, false, true};
      result.set<T>(i, static_cast<T>(answers[o.immediate() & 7] ? -1 : 0));
    }
  }>(op);
}

// VPHADDx, VPHSUBx: sums of the neighbours that share an element of the result.
template <class To, class From, bool subtracts>
bool horizontal(Operation& op) {
  return whole_unary<[](Vector& result, const Vector& a, Operation&) {
    constexpr unsigned each = sizeof(To) / sizeof(From);
    for (unsigned i = 0; i < 16 / sizeof(To); i++) {
      U64 sum = 0;
      for (unsigned j = 0; j < each; j++) {
        const auto term = static_cast<U64>(static_cast<S64>(a.get<From>(each * i + j)));
        sum = subtracts && j != 0 ? sum - term : sum + term;
      }
      result.set<To>(i, static_cast<To>(sum));
    }
  }>(op);
}

template <class T>
T bounded(S128 value) {
  constexpr auto least = static_cast<S128>(T{1}) << (8 * sizeof(T) - 1);
  return static_cast<T>(value < -least ? -least : value >= least ? least - 1 : value);
}

// VPMACSx: products of the elements at `from`, and every `each`th after it, and an addend.
template <class To, class From, unsigned from, bool saturates>
void multiply_add(Vector& result, const Vector& a, const Vector& b, const Vector& c, Operation&) {
  constexpr unsigned each = sizeof(To) / sizeof(From);
  for (unsigned i = 0; i < 16 / sizeof(To); i++) {
    const S128 product = S128{a.get<From>(each * i + from)} * b.get<From>(each * i + from);
    const S128 sum = product + c.get<To>(i);
    result.set<To>(i, saturates ? bounded<To>(sum) : static_cast<To>(sum));
  }
}

// VPMADCSWD, VPMADCSSWD: two products.
template <bool saturates>
void multiply_add_pairs(Vector& result, const Vector& a, const Vector& b, const Vector& c, Operation&) {
  for (unsigned i = 0; i < 4; i++) {
    const S64 sum = S64{a.get<S16>(2 * i)} * b.get<S16>(2 * i) +
                    S64{a.get<S16>(2 * i + 1)} * b.get<S16>(2 * i + 1) + c.get<S32>(i);
    result.set<S32>(i, saturates ? bounded<S32>(sum) : static_cast<S32>(sum));
  }
}

enum class Shift { kRotate, kLogical, kArithmetic };

// T is unsigned. A negative count is to the right; counts beyond the element's bits wrap around.
template <class T, Shift kind>
T shifted(T value, S8 count) {
  constexpr unsigned bits = 8 * sizeof(T);
  const unsigned by = static_cast<unsigned>(count < 0 ? -count : count) & (bits - 1);
  if (by == 0) return value;
  const auto left = static_cast<T>(value << by), right = static_cast<T>(value >> by);
  if (kind == Shift::kRotate)
    return count > 0 ? static_cast<T>(left | value >> (bits - by))
                     : static_cast<T>(right | value << (bits - by));
  if (count > 0) return left;
  const auto signs = static_cast<T>(value >> (bits - 1) != 0 ? ~T{0} << (bits - by) : 0);
  return kind == Shift::kArithmetic ? static_cast<T>(right | signs) : right;
}

// By the lowest byte of each element of the second source, or by an immediate.
template <class T, Shift kind>
bool shift(Operation& op) {
  Vector a, b, result;
  if (!op.load(1, a)) return false;
  const bool immediate = op.operands() < 3;
  if (!immediate && !op.load(2, b)) return false;
  for (unsigned i = 0; i < 16 / sizeof(T); i++) {
    const auto count = static_cast<S8>(immediate ? op.immediate() : b.bytes[i * sizeof(T)]);
    result.set<T>(i, shifted<T, kind>(a.get<T>(i), count));
  }
  return op.finish(result);
}

// VFRCZx: what truncation takes away. The rest of a register is zero, also of the scalar forms.
template <class F, bool scalar>
bool fraction(Operation& op) {
  using Bits = typename F::Bits;
  Vector a, result;
  if (!op.load(1, a, sizeof(Bits))) return false;
  Environment env(op);
  std::memset(result.bytes, 0, sizeof result.bytes);
  for (unsigned i = 0; i < (scalar ? 1 : op.length() / sizeof(Bits)); i++) {
    const Bits value = a.get<Bits>(i);
    if (F::is_nan(value)) {
      result.set<Bits>(i, propagated<F>(env, value));
      continue;
    }
    Environment own = env;
    const Bits integer = float_integral<F>(own, value, kTruncate, 0, true);
    result.set<Bits>(i, float_subtract<F>(env, value, integer));
  }
  return env.commit(op) && op.finish(result, scalar ? 16 : op.length(), sizeof(Bits));
}

// FMA4: +-(a * b) +- c; of scalar forms the rest of the register is zero.
template <class F, bool negate_product, bool negate_sum, unsigned alternates, bool scalar>
bool fused(Operation& op) {
  using Bits = typename F::Bits;
  Vector a, b, c, result;
  if (!op.load(1, a) || !op.load(2, b) || !op.load(3, c)) return false;
  Environment env(op);
  std::memset(result.bytes, 0, sizeof result.bytes);
  for (unsigned i = 0; i < (scalar ? 1 : op.length() / sizeof(Bits)); i++) {
    const bool sum_sign = alternates == 0 ? negate_sum : (i & 1) == alternates - 1;
    result.set<Bits>(
        i, float_fused<F>(env, a.get<Bits>(i), b.get<Bits>(i), c.get<Bits>(i), negate_product, sum_sign));
  }
  return env.commit(op) && op.finish(result, scalar ? 16 : op.length(), sizeof(Bits));
}

#define ROW(name, function, width) \
  { ZYDIS_MNEMONIC_##name, function, width, 0 }
#define SHIFTS(name, kind)                                                 \
  ROW(name##B, (shift<U8, kind>), 1), ROW(name##W, (shift<U16, kind>), 2), \
      ROW(name##D, (shift<U32, kind>), 4), ROW(name##Q, (shift<U64, kind>), 8)
#define FUSED_PACKED(name, np, ns, alternates)                  \
  ROW(name##PS, (fused<Single, np, ns, alternates, false>), 4), \
      ROW(name##PD, (fused<Double, np, ns, alternates, false>), 8)
#define FUSED(name, np, ns)                                                          \
  FUSED_PACKED(name, np, ns, 0), ROW(name##SS, (fused<Single, np, ns, 0, true>), 4), \
      ROW(name##SD, (fused<Double, np, ns, 0, true>), 8)
constexpr Row rows[] = {
    ROW(VPCMOV, three<choose>, 8),
    ROW(VPPERM, three<permute>, 1),
    ROW(VPERMIL2PS, three<permute_two<U32>>, 4),
    ROW(VPERMIL2PD, three<permute_two<U64>>, 8),
    ROW(VPCOMB, compare<S8>, 1),
    ROW(VPCOMW, compare<S16>, 2),
    ROW(VPCOMD, compare<S32>, 4),
    ROW(VPCOMQ, compare<S64>, 8),
    ROW(VPCOMUB, compare<U8>, 1),
    ROW(VPCOMUW, compare<U16>, 2),
    ROW(VPCOMUD, compare<U32>, 4),
    ROW(VPCOMUQ, compare<U64>, 8),
    ROW(VPHADDBW, (horizontal<S16, S8, false>), 2),
    ROW(VPHADDBD, (horizontal<S32, S8, false>), 4),
    ROW(VPHADDBQ, (horizontal<S64, S8, false>), 8),
    ROW(VPHADDWD, (horizontal<S32, S16, false>), 4),
    ROW(VPHADDWQ, (horizontal<S64, S16, false>), 8),
    ROW(VPHADDDQ, (horizontal<S64, S32, false>), 8),
    ROW(VPHADDUBW, (horizontal<U16, U8, false>), 2),
    ROW(VPHADDUBD, (horizontal<U32, U8, false>), 4),
    ROW(VPHADDUBQ, (horizontal<U64, U8, false>), 8),
    ROW(VPHADDUWD, (horizontal<U32, U16, false>), 4),
    ROW(VPHADDUWQ, (horizontal<U64, U16, false>), 8),
    ROW(VPHADDUDQ, (horizontal<U64, U32, false>), 8),
    ROW(VPHSUBBW, (horizontal<S16, S8, true>), 2),
    ROW(VPHSUBWD, (horizontal<S32, S16, true>), 4),
    ROW(VPHSUBDQ, (horizontal<S64, S32, true>), 8),
    ROW(VPMACSWW, (three<multiply_add<S16, S16, 0, false>>), 2),
    ROW(VPMACSSWW, (three<multiply_add<S16, S16, 0, true>>), 2),
    ROW(VPMACSWD, (three<multiply_add<S32, S16, 1, false>>), 4),
    ROW(VPMACSSWD, (three<multiply_add<S32, S16, 1, true>>), 4),
    ROW(VPMACSDD, (three<multiply_add<S32, S32, 0, false>>), 4),
    ROW(VPMACSSDD, (three<multiply_add<S32, S32, 0, true>>), 4),
    ROW(VPMACSDQL, (three<multiply_add<S64, S32, 0, false>>), 8),
    ROW(VPMACSSDQL, (three<multiply_add<S64, S32, 0, true>>), 8),
    ROW(VPMACSDQH, (three<multiply_add<S64, S32, 1, false>>), 8),
    ROW(VPMACSSDQH, (three<multiply_add<S64, S32, 1, true>>), 8),
    ROW(VPMADCSWD, three<multiply_add_pairs<false>>, 4),
    ROW(VPMADCSSWD, three<multiply_add_pairs<true>>, 4),
    SHIFTS(VPROT, Shift::kRotate),
    SHIFTS(VPSHL, Shift::kLogical),
    SHIFTS(VPSHA, Shift::kArithmetic),
    ROW(VFRCZPS, (fraction<Single, false>), 4),
    ROW(VFRCZPD, (fraction<Double, false>), 8),
    ROW(VFRCZSS, (fraction<Single, true>), 4),
    ROW(VFRCZSD, (fraction<Double, true>), 8),
    FUSED(VFMADD, false, false),
    FUSED(VFMSUB, false, true),
    FUSED(VFNMADD, true, false),
    FUSED(VFNMSUB, true, true),
    FUSED_PACKED(VFMADDSUB, false, false, 1),
    FUSED_PACKED(VFMSUBADD, false, false, 2),
};

}  // namespace

Rows xop_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
