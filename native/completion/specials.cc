// The instructions that take floating-point numbers apart: exponents, mantissas, rounding to fractions,
// scaling, ranges, classes, fix-ups.
#include "float_rows.h"

namespace revenant::completion {
namespace {

using Byte = std::uint8_t;

template <class F>
bool counts_as_zero(const Environment& env, typename F::Bits a) {
  const auto magnitude = static_cast<typename F::Bits>(a & ~F::kSign);
  return magnitude == 0 || (F::kFlushes && env.denormals_are_zero && F::is_denormal(a));
}

// An integer that has an exact representation.
template <class F>
typename F::Bits of_integer(int value) {
  if (value == 0) return 0;
  const auto magnitude = static_cast<std::uint64_t>(value < 0 ? -value : value);
  const int top = 63 - std::countl_zero(magnitude);
  const auto fraction =
      static_cast<typename F::Bits>((magnitude << (F::kFraction - top)) & ((1ull << F::kFraction) - 1));
  const auto exponent =
      static_cast<typename F::Bits>(static_cast<typename F::Bits>(F::kBias + top) << F::kFraction);
  return F::signed_bits(value < 0, static_cast<typename F::Bits>(exponent | fraction));
}

template <class F>
constexpr auto get_exponent = [](Environment& env, typename F::Bits a, Byte) -> typename F::Bits {
  if (F::is_nan(a)) return propagated<F>(env, a);
  const Number x = unpacked<F>(env, a);
  if (x.kind == Kind::kInfinity) return F::kInfinity;
  if (x.kind == Kind::kZero) return F::signed_bits(true, F::kInfinity);
  if (x.denormal) env.flags |= kDenormal;
  return of_integer<F>(x.exponent);
};

// Immediate: bits 0 and 1 the interval ([1,2) [1/2,2) [1/2,1) [3/4,3/2)), bits 2 and 3 the sign.
template <class F>
constexpr auto get_mantissa = [](Environment& env, typename F::Bits a, Byte immediate) -> typename F::Bits {
  if (F::is_nan(a)) return propagated<F>(env, a);
  const unsigned interval = immediate & 3, control = immediate >> 2 & 3;
  const Number x = unpacked<F>(env, a);
  const bool sign = (control & 1) != 0 ? false : x.sign;
  if (x.kind == Kind::kZero) return F::signed_bits(sign, F::kOne);
  if (x.sign && (control & 2) != 0) {
    env.flags |= kInvalid;
    return F::kIndefinite;
  }
  if (x.kind == Kind::kInfinity) return F::signed_bits(sign, F::kOne);
  if (x.denormal) env.flags |= kDenormal;
  int exponent = 0;
  if (interval == 1) exponent = x.exponent & 1 ? -1 : 0;
  if (interval == 2) exponent = -1;
  if (interval == 3) exponent = x.significand >> 62 & 1 ? -1 : 0;
  const auto fraction = static_cast<typename F::Bits>((x.significand & ~(1ull << 63)) >> (63 - F::kFraction));
  const auto biased =
      static_cast<typename F::Bits>(static_cast<typename F::Bits>(F::kBias + exponent) << F::kFraction);
  return F::signed_bits(sign, static_cast<typename F::Bits>(biased | fraction));
};

// Immediate of VRNDSCALE and VREDUCE: bits 0 and 1 the rounding, bit 2 MXCSR's instead, bit 3 no inexactness,
// bits 4 to 7 the scale.
unsigned rounding_of(const Environment& env, Byte immediate) {
  return immediate & 4 ? env.rounding : immediate & 3;
}

template <class F>
constexpr auto round_scaled = [](Environment& env, typename F::Bits a, Byte immediate) -> typename F::Bits {
  return float_integral<F>(env, a, rounding_of(env, immediate), immediate >> 4, (immediate & 8) != 0);
};

template <class F>
constexpr auto reduce = [](Environment& env, typename F::Bits a, Byte immediate) -> typename F::Bits {
  if (F::is_nan(a)) return propagated<F>(env, a);
  const Number x = unpacked<F>(env, a);
  if (x.kind == Kind::kInfinity) return 0;
  Environment own = env;
  own.rounding = rounding_of(env, immediate);
  own.underflow_masked = true;
  if (env.vendor == Vendor::kIntel)
    own.flush_to_zero = F::kFraction != Half::kFraction && env.flush_to_zero_set;
  const auto whole = float_integral<F>(own, a, own.rounding, immediate >> 4, true);
  own.flags = 0;
  const auto rest = float_subtract<F>(own, a, whole);
  if ((immediate & 8) == 0) env.flags |= own.flags & kInexact;
  return rest;
};

// a * 2^floor(b).
template <class F>
constexpr auto scale = [](Environment& env, typename F::Bits a, typename F::Bits b, Byte) ->
    typename F::Bits {
      const Number x = unpacked<F>(env, a), y = unpacked<F>(env, b);
      if (F::is_nan(a) || F::is_nan(b)) {
        if (F::is_signalling(a) || F::is_signalling(b)) {
          env.flags |= kInvalid;
        } else if (F::is_nan(a) && !F::is_nan(b)) {
          // A quiet NaN gives way to an infinite scale.
          if (y.kind == Kind::kInfinity) return y.sign ? 0 : F::kInfinity;
        }
        return F::quieted(F::is_nan(a) ? a : b);
      }
      if (y.kind == Kind::kInfinity) {
        if ((y.sign && x.kind == Kind::kInfinity) || (!y.sign && x.kind == Kind::kZero)) {
          env.flags |= kInvalid;
          return F::kIndefinite;
        }
        if (x.denormal) env.flags |= kDenormal;
        return F::signed_bits(x.sign, y.sign ? 0 : F::kInfinity);
      }
      if (x.denormal) env.flags |= kDenormal;
      if (x.kind == Kind::kInfinity) return F::signed_bits(x.sign, F::kInfinity);
      if (x.kind == Kind::kZero) return F::signed_bits(x.sign, 0);
      int exponent = 0;
      if (y.kind == Kind::kFinite) {
        if (y.exponent >= 16) {
          exponent = y.sign ? -100000 : 100000;
        } else if (y.exponent < 0) {
          exponent = y.sign ? -1 : 0;
        } else {
          const int lost_bits = 63 - y.exponent;
          exponent = static_cast<int>(y.significand >> lost_bits);
          if (y.sign) exponent = -exponent - ((y.significand & ((1ull << lost_bits) - 1)) != 0 ? 1 : 0);
        }
      }
      return rounded<F>(env, x.sign, x.exponent + exponent, U128{x.significand} << 64);
    };

// Immediate: bits 0 and 1 minimum, maximum, and those of magnitudes; bits 2 and 3 the result's sign: of the
// first operand, as it is, clear, set.
template <class F>
constexpr auto range = [](Environment& env, typename F::Bits a, typename F::Bits b, Byte immediate) ->
    typename F::Bits {
      using Bits = typename F::Bits;
      if (F::is_signalling(a) || F::is_signalling(b)) {
        env.flags |= kInvalid;
        return F::quieted(F::is_signalling(a) ? a : b);
      }
      const auto flushed = [&](Bits bits) -> Bits {
        return counts_as_zero<F>(env, bits) ? bits & F::kSign : bits;
      };
      const bool nan_a = F::is_nan(a), nan_b = F::is_nan(b);
      Bits result;
      if (nan_a || nan_b) {
        result = nan_a && !nan_b ? flushed(b) : flushed(a);
      } else {
        if (!(F::kFlushes && env.denormals_are_zero) && (F::is_denormal(a) || F::is_denormal(b)))
          env.flags |= kDenormal;
        a = flushed(a);
        b = flushed(b);
        const bool absolute = (immediate & 2) != 0, greatest = (immediate & 1) != 0;
        const auto key = [absolute](Bits bits) {
          const auto magnitude = static_cast<std::int64_t>(bits & ~F::kSign);
          return !absolute && (bits & F::kSign) != 0 ? -magnitude - 1 : magnitude;
        };
        bool first = greatest ? key(a) > key(b) : key(a) < key(b);
        if (key(a) == key(b)) first = (a & F::kSign) == 0 ? greatest : !greatest;
        result = first ? a : b;
      }
      switch (immediate >> 2 & 3) {
        case 0:
          return static_cast<Bits>((a & F::kSign) | (result & ~F::kSign));
        case 2:
          return static_cast<Bits>(result & ~F::kSign);
        case 3:
          return static_cast<Bits>(result | F::kSign);
        default:
          return result;
      }
    };

// Immediate: which classes count, a bit each: quiet NaN, +0, -0, +infinity, -infinity, denormal, negative,
// signalling.
template <class F, bool scalar>
bool classify(Operation& op) {
  Vector a;
  if (!op.load(1, a)) return false;
  Environment env(op);
  std::uint64_t bits = 0;
  for (unsigned i = 0; i < op.count(); i++) {
    const auto x = a.get<typename F::Bits>(i);
    const bool sign = (x & F::kSign) != 0, zero = counts_as_zero<F>(env, x), nan = F::is_nan(x);
    const bool infinite = static_cast<typename F::Bits>(x & ~F::kSign) == F::kInfinity;
    unsigned classes = 0;
    if (nan) classes |= F::is_signalling(x) ? 0x80 : 1;
    if (zero) classes |= sign ? 4 : 2;
    if (infinite) classes |= sign ? 16 : 8;
    if (!zero && F::is_denormal(x)) classes |= 32;
    if (sign && !nan && !zero && !infinite) classes |= 64;
    if (classes & op.immediate()) bits |= 1ull << i;
  }
  (void)scalar;
  return op.finish_mask(bits);
}

// Answers by a table of nibbles in the third operand, one for each class of the second.
template <class F>
typename F::Bits fixed_up(Environment& env, typename F::Bits old, typename F::Bits a, typename F::Bits table,
                          Byte immediate) {
  using Bits = typename F::Bits;
  if (counts_as_zero<F>(env, a)) a &= F::kSign;
  const bool sign = (a & F::kSign) != 0;
  const auto magnitude = static_cast<Bits>(a & ~F::kSign);
  unsigned kind = sign ? 6 : 7;
  if (F::is_nan(a)) {
    kind = F::is_signalling(a) ? 1 : 0;
  } else if (magnitude == 0) {
    kind = 2;
  } else if (a == F::kOne) {
    kind = 3;
  } else if (magnitude == F::kInfinity) {
    kind = sign ? 4 : 5;
  }
  // Bits of the immediate: zero: ZE, IE; one: ZE, IE; signalling: IE; -infinity: IE; negative: IE; +infinity:
  // IE.
  constexpr Byte zero_divides[8] = {0, 0, 1, 4, 0, 0, 0, 0};
  constexpr Byte invalids[8] = {0, 16, 2, 8, 32, 128, 64, 0};
  if (immediate & zero_divides[kind]) env.flags |= kZeroDivide;
  if (immediate & invalids[kind]) env.flags |= kInvalid;
  constexpr std::uint64_t pi_half = 0x3ff921fb54442d18;
  switch (table >> 4 * kind & 15) {
    case 0:
      return old;
    case 1:
      return a;
    case 2:
      return static_cast<Bits>(a | F::kInfinity | F::kQuiet);
    case 3:
      return F::kIndefinite;
    case 4:
      return F::signed_bits(true, F::kInfinity);
    case 5:
      return F::kInfinity;
    case 6:
      return F::signed_bits(sign, F::kInfinity);
    case 7:
      return F::signed_bits(true, 0);
    case 8:
      return 0;
    case 9:
      return F::signed_bits(true, F::kOne);
    case 10:
      return F::kOne;
    case 11:
      return static_cast<Bits>(F::kOne - (Bits{1} << F::kFraction));
    case 12:
      return of_integer<F>(90);
    case 13:
      return sizeof(Bits) == 4 ? static_cast<Bits>(0x3fc90fdb) : static_cast<Bits>(pi_half);
    case 14:
      return F::kLargest;
    default:
      return F::signed_bits(true, F::kLargest);
  }
}

template <class F, bool scalar>
bool fix_up(Operation& op) {
  using Bits = typename F::Bits;
  Vector a, b, result;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const Vector& old = op.old();
  Environment env(op);
  for (unsigned i = 0; i < op.count(); i++)
    if (op.active(i))
      result.set<Bits>(i, fixed_up<F>(env, old.get<Bits>(i), a.get<Bits>(i), b.get<Bits>(i), op.immediate()));
  return finish_float(op, env, result, a, scalar);
}

constexpr Row rows[] = {
    FLOAT_SIX(VGETEXP, float_unary, get_exponent),
    FLOAT_SIX(VGETMANT, float_unary, get_mantissa),
    FLOAT_SIX(VRNDSCALE, float_unary, round_scaled),
    FLOAT_SIX(VREDUCE, float_unary, reduce),
    FLOAT_SIX(VSCALEF, float_binary, scale),
    FLOAT_FOUR(VRANGE, float_binary, range),
    FLOAT_ROW(VFPCLASSPH, (classify<Half, false>), 2, 0),
    FLOAT_ROW(VFPCLASSPS, (classify<Single, false>), 4, 0),
    FLOAT_ROW(VFPCLASSPD, (classify<Double, false>), 8, 0),
    FLOAT_ROW(VFPCLASSSH, (classify<Half, true>), 2, kScalar),
    FLOAT_ROW(VFPCLASSSS, (classify<Single, true>), 4, kScalar),
    FLOAT_ROW(VFPCLASSSD, (classify<Double, true>), 8, kScalar),
    FLOAT_ROW(VFIXUPIMMPS, (fix_up<Single, false>), 4, 0),
    FLOAT_ROW(VFIXUPIMMPD, (fix_up<Double, false>), 8, 0),
    FLOAT_ROW(VFIXUPIMMSS, (fix_up<Single, true>), 4, kScalar),
    FLOAT_ROW(VFIXUPIMMSD, (fix_up<Double, true>), 8, kScalar),
};

}  // namespace

Rows special_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
