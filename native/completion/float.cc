#include "float.h"

#include <cmath>

namespace revenant::completion {

Environment::Environment(Operation& op) {
  vendor = op.state().vendor;
  const std::uint32_t mxcsr = op.state().mxcsr;
  rounding = op.rounding() >= 0 ? static_cast<unsigned>(op.rounding()) : mxcsr >> 13 & 3;
  denormals_are_zero = (mxcsr & 0x40) != 0;
  underflow_masked = op.suppressed() || (mxcsr & 0x800) != 0;
  overflow_masked = op.suppressed() || (mxcsr & 0x400) != 0;
  flush_to_zero_set = (mxcsr & 0x8000) != 0;
  flush_to_zero = flush_to_zero_set && underflow_masked;
  flags = 0;
}

bool Environment::commit(Operation& op) const {
  if (op.suppressed() || flags == 0) return true;
  std::uint32_t& mxcsr = op.state().mxcsr;
  const unsigned unmasked = ~(mxcsr >> 7) & 0x3f;
  unsigned seen = flags;
  // Those found before computing come first: the others are not looked for any more.
  if ((seen & unmasked & (kInvalid | kDenormal | kZeroDivide)) != 0)
    seen &= kInvalid | kDenormal | kZeroDivide;
  mxcsr |= seen;
  return (seen & unmasked) == 0 || op.fault(Verdict::kFloatException);
}

template <class F>
typename F::Bits float_add(Environment& env, typename F::Bits a, typename F::Bits b) {
  if (F::is_nan(a) || F::is_nan(b)) return propagated<F>(env, a, b);
  const Number x = unpacked<F>(env, a), y = unpacked<F>(env, b);
  if (x.kind == Kind::kInfinity || y.kind == Kind::kInfinity) {
    if (x.kind == y.kind && x.sign != y.sign) {
      env.flags |= kInvalid;
      return F::kIndefinite;
    }
    if (x.denormal || y.denormal) env.flags |= kDenormal;
    return F::signed_bits(x.kind == Kind::kInfinity ? x.sign : y.sign, F::kInfinity);
  }
  if (x.denormal || y.denormal) env.flags |= kDenormal;
  if (x.kind == Kind::kZero && y.kind == Kind::kZero)
    return F::signed_bits(x.sign == y.sign ? x.sign : env.rounding == kDown, 0);
  if (x.kind == Kind::kZero) return rounded<F>(env, y.sign, y.exponent, U128{y.significand} << 64);
  if (y.kind == Kind::kZero) return rounded<F>(env, x.sign, x.exponent, U128{x.significand} << 64);
  const bool swap = x.exponent < y.exponent || (x.exponent == y.exponent && x.significand < y.significand);
  const Number& large = swap ? y : x;
  const Number& small = swap ? x : y;
  const U128 l = U128{large.significand} << 62;
  const U128 s = shifted_sticky(U128{small.significand} << 62, large.exponent - small.exponent);
  const U128 sum = x.sign == y.sign ? l + s : l - s;
  if (sum == 0) return F::signed_bits(env.rounding == kDown, 0);
  return rounded<F>(env, large.sign, large.exponent + 2, sum);
}

template <class F>
typename F::Bits float_multiply(Environment& env, typename F::Bits a, typename F::Bits b) {
  if (F::is_nan(a) || F::is_nan(b)) return propagated<F>(env, a, b);
  const Number x = unpacked<F>(env, a), y = unpacked<F>(env, b);
  const bool sign = x.sign != y.sign;
  const bool zero = x.kind == Kind::kZero || y.kind == Kind::kZero;
  if (x.kind == Kind::kInfinity || y.kind == Kind::kInfinity) {
    if (zero) {
      env.flags |= kInvalid;
      return F::kIndefinite;
    }
    if (x.denormal || y.denormal) env.flags |= kDenormal;
    return F::signed_bits(sign, F::kInfinity);
  }
  if (x.denormal || y.denormal) env.flags |= kDenormal;
  if (zero) return F::signed_bits(sign, 0);
  return rounded<F>(env, sign, x.exponent + y.exponent + 1, U128{x.significand} * y.significand);
}

template <class F>
typename F::Bits float_divide(Environment& env, typename F::Bits a, typename F::Bits b) {
  if (F::is_nan(a) || F::is_nan(b)) return propagated<F>(env, a, b);
  const Number x = unpacked<F>(env, a), y = unpacked<F>(env, b);
  const bool sign = x.sign != y.sign;
  if (x.kind == y.kind && x.kind != Kind::kFinite) {
    env.flags |= kInvalid;
    return F::kIndefinite;
  }
  if (y.kind == Kind::kZero && x.kind == Kind::kFinite) {
    env.flags |= kZeroDivide;
    return F::signed_bits(sign, F::kInfinity);
  }
  if (x.denormal || y.denormal) env.flags |= kDenormal;
  if (x.kind == Kind::kInfinity || y.kind == Kind::kZero) return F::signed_bits(sign, F::kInfinity);
  if (x.kind == Kind::kZero || y.kind == Kind::kInfinity) return F::signed_bits(sign, 0);
  const U128 dividend = U128{x.significand} << 63;
  const U128 quotient = dividend / y.significand;
  const bool inexact = quotient * y.significand != dividend;
  return rounded<F>(env, sign, x.exponent - y.exponent + 63, quotient << 1 | (inexact ? 1 : 0));
}

// The integral square root, with the rest as a sticky bit above: root * 2 | inexact.
static U128 root_sticky(U128 value) {
  auto root = static_cast<std::uint64_t>(
      std::sqrt(static_cast<double>(static_cast<std::uint64_t>(value >> 64))) * 4294967296.0);
  if (root == 0) root = 1;
  // The estimate has some 50 bits; two steps of Newton's give all.
  for (int i = 0; i < 2; i++) {
    const U128 quotient = value / root;
    root = static_cast<std::uint64_t>((quotient + root) >> 1);
  }
  while (U128{root} * root > value) root--;
  while (U128{root + 1} * (root + 1) <= value) root++;
  return U128{root} << 1 | (U128{root} * root != value ? 1 : 0);
}

template <class F>
typename F::Bits float_root(Environment& env, typename F::Bits a) {
  if (F::is_nan(a)) return propagated<F>(env, a);
  const Number x = unpacked<F>(env, a);
  if (x.kind == Kind::kZero) return F::signed_bits(x.sign, 0);
  if (x.sign) {
    env.flags |= kInvalid;
    return F::kIndefinite;
  }
  if (x.kind == Kind::kInfinity) return a;
  if (x.denormal) env.flags |= kDenormal;
  // Scaled so that the exponent is even.
  const bool odd = (x.exponent & 1) != 0;
  const U128 root = root_sticky(U128{x.significand} << (odd ? 62 : 61));
  return rounded<F>(env, false, ((x.exponent - (odd ? 1 : 0)) >> 1) + 64, root);
}

template <class F>
typename F::Bits float_fused(Environment& env, typename F::Bits a, typename F::Bits b, typename F::Bits c,
                             bool negate_product, bool negate_sum) {
  const Number x = unpacked<F>(env, a), y = unpacked<F>(env, b);
  Number z = unpacked<F>(env, c);
  const bool invalid_product = (x.kind == Kind::kInfinity && y.kind == Kind::kZero) ||
                               (x.kind == Kind::kZero && y.kind == Kind::kInfinity);
  if (F::is_nan(a) || F::is_nan(b) || F::is_nan(c)) {
    if (F::is_signalling(a) || F::is_signalling(b) || F::is_signalling(c)) env.flags |= kInvalid;
    return F::quieted(F::is_nan(a) ? a : F::is_nan(b) ? b : c);
  }
  bool sign = (x.sign != y.sign) != negate_product;
  z.sign = z.sign != negate_sum;
  const bool infinite = x.kind == Kind::kInfinity || y.kind == Kind::kInfinity;
  if (invalid_product || (infinite && z.kind == Kind::kInfinity && sign != z.sign)) {
    env.flags |= kInvalid;
    return F::kIndefinite;
  }
  if (x.denormal || y.denormal || z.denormal) env.flags |= kDenormal;
  if (infinite) return F::signed_bits(sign, F::kInfinity);
  if (z.kind == Kind::kInfinity) return F::signed_bits(z.sign, F::kInfinity);
  if (x.kind == Kind::kZero || y.kind == Kind::kZero) {
    if (z.kind == Kind::kZero) return F::signed_bits(sign == z.sign ? sign : env.rounding == kDown, 0);
    return rounded<F>(env, z.sign, z.exponent, U128{z.significand} << 64);
  }
  // Significands have at most 53 bits, so the product has 106 at the top of 127, and 20 to spare below.
  U128 p = U128{x.significand} * y.significand >> 1;
  int exponent = x.exponent + y.exponent + 2;
  if (z.kind == Kind::kZero) return rounded<F>(env, sign, exponent, p);
  U128 q = U128{z.significand} << 62;
  const int other = z.exponent + 2;
  if (exponent >= other) {
    q = shifted_sticky(q, exponent - other);
  } else {
    p = shifted_sticky(p, other - exponent);
    exponent = other;
  }
  U128 sum;
  if (sign == z.sign) {
    sum = p + q;
  } else if (p >= q) {
    sum = p - q;
  } else {
    sum = q - p;
    sign = z.sign;
  }
  if (sum == 0) return F::signed_bits(env.rounding == kDown, 0);
  return rounded<F>(env, sign, exponent, sum);
}

template <class F>
typename F::Bits float_integral(Environment& env, typename F::Bits a, unsigned rounding, int scale,
                                bool exact) {
  if (F::is_nan(a)) return propagated<F>(env, a);
  const Number x = unpacked<F>(env, a);
  if (x.kind == Kind::kInfinity) return a;
  if (x.kind == Kind::kZero) return F::signed_bits(x.sign, 0);
  const int exponent = x.exponent + scale;
  if (exponent >= F::kFraction) return a;
  // The number as an integer and 63 or more bits of fraction.
  const int lost_bits = exponent >= -1 ? 63 - exponent : 65;
  const U128 value = exponent >= -1 ? U128{x.significand} : U128{1};
  U128 kept = value >> lost_bits;
  const U128 lost = value - (kept << lost_bits);
  if (!exact && lost != 0) env.flags |= kInexact;
  if (rounds_up(rounding, x.sign, (kept & 1) != 0, lost, lost_bits)) kept++;
  if (kept == 0) return F::signed_bits(x.sign, 0);
  Environment quiet = env;
  return rounded<F>(quiet, x.sign, 127 - scale, kept);
}

template <class To, class From>
typename To::Bits float_convert(Environment& env, typename From::Bits a) {
  using Bits = typename To::Bits;
  const bool sign = (a & From::kSign) != 0;
  if (From::is_nan(a)) {
    const auto quiet = static_cast<std::uint64_t>(propagated<From>(env, a)) & ((1ull << From::kFraction) - 1);
    const std::uint64_t fraction =
        To::kFraction >= From::kFraction
            ? quiet << (To::kFraction >= From::kFraction ? To::kFraction - From::kFraction : 0)
            : quiet >> (To::kFraction >= From::kFraction ? 0 : From::kFraction - To::kFraction);
    return To::signed_bits(sign, static_cast<Bits>(To::kInfinity | fraction));
  }
  const Number x = unpacked<From>(env, a);
  if (x.kind == Kind::kInfinity) return To::signed_bits(sign, To::kInfinity);
  if (x.kind == Kind::kZero) return To::signed_bits(sign, 0);
  if (x.denormal) env.flags |= kDenormal;
  return rounded<To>(env, sign, x.exponent, U128{x.significand} << 64);
}

#define FORMAT(F)                                                                       \
  template F::Bits float_add<F>(Environment&, F::Bits, F::Bits);                        \
  template F::Bits float_multiply<F>(Environment&, F::Bits, F::Bits);                   \
  template F::Bits float_divide<F>(Environment&, F::Bits, F::Bits);                     \
  template F::Bits float_root<F>(Environment&, F::Bits);                                \
  template F::Bits float_fused<F>(Environment&, F::Bits, F::Bits, F::Bits, bool, bool); \
  template F::Bits float_integral<F>(Environment&, F::Bits, unsigned, int, bool);
FORMAT(Half)
FORMAT(Single)
FORMAT(Double)
template Single::Bits float_convert<Single, Double>(Environment&, Double::Bits);
template Double::Bits float_convert<Double, Single>(Environment&, Single::Bits);
template Half::Bits float_convert<Half, Single>(Environment&, Single::Bits);
template Single::Bits float_convert<Single, Half>(Environment&, Half::Bits);
template Half::Bits float_convert<Half, Double>(Environment&, Double::Bits);
template Double::Bits float_convert<Double, Half>(Environment&, Half::Bits);

}  // namespace revenant::completion
