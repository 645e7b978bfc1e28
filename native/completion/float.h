// IEEE 754 arithmetic as x86's vector instructions do it: rounding modes, denormals as zeros, flush to zero,
// the order of exceptions (SDM volume 1, 11.5), tininess after rounding. In integers, so that it is the same
// on every host.
#pragma once

#include <bit>
#include <cstdint>

#include "operation.h"

namespace revenant::completion {

// Flags as in MXCSR.
enum FloatFlag : unsigned {
  kInvalid = 1,
  kDenormal = 2,
  kZeroDivide = 4,
  kOverflow = 8,
  kUnderflow = 16,
  kInexact = 32,
};

enum Rounding : unsigned { kNearest, kDown, kUp, kTruncate };

// How an instruction rounds, and the exceptions of its elements so far.
struct Environment {
  unsigned rounding;
  bool denormals_are_zero;
  bool flush_to_zero;      // takes effect: underflow is masked
  bool flush_to_zero_set;  // whether or not it does
  bool underflow_masked;
  bool overflow_masked;
  unsigned flags;
  Vendor vendor;

  explicit Environment(Operation& op);

  // Ends the arithmetic: flags to MXCSR; returns false with #XM when one is not masked.
  bool commit(Operation& op) const;
};

template <class B, int fraction, int exponent_bits>
struct FloatFormat {
  using Bits = B;
  static constexpr int kFraction = fraction;
  static constexpr int kBias = (1 << (exponent_bits - 1)) - 1;
  static constexpr int kInfinite = (1 << exponent_bits) - 1;  // the biased exponent of infinities and NaNs
  static constexpr int kWidth = 8 * sizeof(B);
  static constexpr Bits kSign = static_cast<Bits>(Bits{1} << (kWidth - 1));
  static constexpr Bits kInfinity = static_cast<Bits>(static_cast<Bits>(kInfinite) << fraction);
  static constexpr Bits kQuiet = static_cast<Bits>(Bits{1} << (fraction - 1));
  static constexpr Bits kIndefinite = static_cast<Bits>(kSign | kInfinity | kQuiet);
  static constexpr Bits kLargest = static_cast<Bits>(kInfinity - 1);
  static constexpr Bits kOne = static_cast<Bits>(static_cast<Bits>(kBias) << fraction);
  // Half precision has neither DAZ nor FTZ.
  static constexpr bool kFlushes = sizeof(B) > 2;

  static bool is_nan(Bits bits) { return static_cast<Bits>(bits & ~kSign) > kInfinity; }
  static bool is_signalling(Bits bits) { return is_nan(bits) && (bits & kQuiet) == 0; }
  static bool is_denormal(Bits bits) {
    return (bits & kInfinity) == 0 && static_cast<Bits>(bits & ~kSign) != 0;
  }
  static Bits quieted(Bits bits) { return static_cast<Bits>(bits | kQuiet); }
  static Bits signed_bits(bool sign, Bits bits) { return static_cast<Bits>(sign ? bits | kSign : bits); }
};

using Half = FloatFormat<std::uint16_t, 10, 5>;
using Single = FloatFormat<std::uint32_t, 23, 8>;
using Double = FloatFormat<std::uint64_t, 52, 11>;

enum class Kind : std::uint8_t { kZero, kFinite, kInfinity, kNan };

// A number taken apart: significand / 2^63 * 2^exponent, bit 63 set if finite.
struct Number {
  Kind kind;
  bool sign;
  bool denormal;
  int exponent;
  std::uint64_t significand;
};

template <class F>
Number unpacked(const Environment& env, typename F::Bits bits) {
  Number n = {};
  n.sign = (bits & F::kSign) != 0;
  const auto fraction = static_cast<std::uint64_t>(bits & ((typename F::Bits{1} << F::kFraction) - 1));
  const int biased = static_cast<int>((bits & F::kInfinity) >> F::kFraction);
  if (biased == F::kInfinite) {
    n.kind = fraction != 0 ? Kind::kNan : Kind::kInfinity;
  } else if (biased != 0) {
    n.kind = Kind::kFinite;
    n.exponent = biased - F::kBias;
    n.significand = 1ull << 63 | fraction << (63 - F::kFraction);
  } else if (fraction == 0 || (F::kFlushes && env.denormals_are_zero)) {
    n.kind = Kind::kZero;
  } else {
    n.kind = Kind::kFinite;
    n.denormal = true;
    const int shift = std::countl_zero(fraction);
    n.significand = fraction << shift;
    n.exponent = 1 - F::kBias - F::kFraction + 63 - shift;
  }
  return n;
}

// value >> count, with a lowest bit that says whether anything was lost.
inline U128 shifted_sticky(U128 value, int count) {
  if (count <= 0) return value;
  if (count > 127) return value != 0 ? 1 : 0;
  const U128 kept = value >> count;
  return kept | ((kept << count) != value ? 1 : 0);
}

inline int leading_zeros(U128 value) {
  const auto high = static_cast<std::uint64_t>(value >> 64);
  return high != 0 ? std::countl_zero(high) : 64 + std::countl_zero(static_cast<std::uint64_t>(value));
}

// Whether to round `kept` up in magnitude, `lost` being the part that is dropped in units of 2^-`bits`.
inline bool rounds_up(unsigned rounding, bool sign, bool odd, U128 lost, int bits) {
  if (lost == 0) return false;
  if (rounding == kNearest) {
    const U128 half = U128{1} << (bits - 1);
    return lost > half || (lost == half && odd);
  }
  return rounding == (sign ? kDown : kUp);
}

// The number +-significand / 2^127 * 2^exponent, rounded; significand is not 0, its lowest bit may be sticky.
template <class F>
typename F::Bits rounded(Environment& env, bool sign, int exponent, U128 significand) {
  using Bits = typename F::Bits;
  const int shift = leading_zeros(significand);
  significand <<= shift;
  exponent -= shift;
  constexpr int dropped = 127 - F::kFraction;
  const auto lost_of = [](U128 value, int bits) { return value & ((U128{1} << bits) - 1); };
  const auto round = [&](U128 value, bool& inexact) {
    U128 kept = value >> dropped;
    const U128 lost = lost_of(value, dropped);
    inexact = lost != 0;
    if (rounds_up(env.rounding, sign, (kept & 1) != 0, lost, dropped)) kept++;
    return static_cast<std::uint64_t>(kept);
  };
  bool inexact;
  std::uint64_t kept = round(significand, inexact);
  const bool inexact_unbounded = inexact;
  int biased = exponent + F::kBias;
  const bool carried = (kept >> (F::kFraction + 1)) != 0;
  const bool tiny = biased + carried < 1;
  if (biased < 1) {
    // The carry of a number just below the least normal one comes by itself.
    kept = round(shifted_sticky(significand, 1 - biased), inexact);
    if (tiny) {
      if (!env.underflow_masked) {
        // No result; exactness is that of the number with an exponent of any size.
        env.flags |= kUnderflow | (inexact_unbounded ? unsigned{kInexact} : 0);
        return 0;
      }
      if (inexact) env.flags |= kUnderflow;
      if (F::kFlushes && env.flush_to_zero) {
        env.flags |= kUnderflow | kInexact;
        return F::signed_bits(sign, 0);
      }
    }
    if (inexact) env.flags |= kInexact;
    return F::signed_bits(sign, static_cast<Bits>(kept));
  }
  if (carried) {
    kept >>= 1;
    biased++;
  }
  if (biased >= F::kInfinite) {
    env.flags |= kOverflow | (env.overflow_masked || inexact_unbounded ? unsigned{kInexact} : 0);
    const bool infinite = env.rounding == kNearest || env.rounding == (sign ? kDown : kUp);
    return F::signed_bits(sign, infinite ? F::kInfinity : F::kLargest);
  }
  if (inexact) env.flags |= kInexact;
  const auto bits = static_cast<Bits>((kept & ((1ull << F::kFraction) - 1)) |
                                      static_cast<std::uint64_t>(biased) << F::kFraction);
  return F::signed_bits(sign, bits);
}

// The exponents' and signs' rules are in float.cc, for each format.
template <class F>
typename F::Bits float_add(Environment& env, typename F::Bits a, typename F::Bits b);
template <class F>
typename F::Bits float_subtract(Environment& env, typename F::Bits a, typename F::Bits b) {
  // A NaN keeps its sign.
  return float_add<F>(env, a, F::is_nan(b) ? b : static_cast<typename F::Bits>(b ^ F::kSign));
}
template <class F>
typename F::Bits float_multiply(Environment& env, typename F::Bits a, typename F::Bits b);
template <class F>
typename F::Bits float_divide(Environment& env, typename F::Bits a, typename F::Bits b);
template <class F>
typename F::Bits float_root(Environment& env, typename F::Bits a);
// +-(a * b) +- c, rounded once; NaNs in the order a, b, c.
template <class F>
typename F::Bits float_fused(Environment& env, typename F::Bits a, typename F::Bits b, typename F::Bits c,
                             bool negate_product, bool negate_sum);
// To an integer in `rounding`, scaled: to a multiple of 2^-scale (VRNDSCALE). `exact`: without kInexact.
template <class F>
typename F::Bits float_integral(Environment& env, typename F::Bits a, unsigned rounding, int scale,
                                bool exact);
// Between formats.
template <class To, class From>
typename To::Bits float_convert(Environment& env, typename From::Bits a);

// Flags of an operand that is a NaN: sets kInvalid for a signalling one.
template <class F>
typename F::Bits propagated(Environment& env, typename F::Bits a) {
  if (F::is_signalling(a)) env.flags |= kInvalid;
  return F::quieted(a);
}

// Of two operands of which one is a NaN: the first NaN, quiet.
template <class F>
typename F::Bits propagated(Environment& env, typename F::Bits a, typename F::Bits b) {
  if (F::is_signalling(a) || F::is_signalling(b)) env.flags |= kInvalid;
  return F::quieted(F::is_nan(a) ? a : b);
}

// Exact. Of denormal halves none is a denormal single.
inline U32 single_of_half(Environment& env, U16 value) { return float_convert<Single, Half>(env, value); }
inline U32 single_of_brief(Environment&, U16 value) { return U32{value} << 16; }

}  // namespace revenant::completion
