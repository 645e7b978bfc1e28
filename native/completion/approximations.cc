// VRCP14, VRSQRT14, VRCPPS and VRSQRTPS: approximations that each vendor makes in its own way, by the tables
// of the recording's vendor.
#include "float_rows.h"
#include "intel_approximations.h"
#include "zen_approximations.h"

namespace revenant::completion {
namespace {

using Byte = std::uint8_t;

// 16 bits of fraction of a number in [1/2, 1), for a mantissa of 23 bits.
std::uint32_t on_line(const Approximation& table, std::uint32_t mantissa) {
  const ApproximationLine& line = table.lines[mantissa >> (23 - table.index_bits)];
  const unsigned shift = 23u - table.index_bits - table.offset_bits;
  const auto x = static_cast<std::int32_t>(mantissa >> shift & ((1u << table.offset_bits) - 1));
  return static_cast<std::uint32_t>((line.base - line.slope * x) >> table.shift) << table.unit;
}

// What a vendor's processors have.
struct Approximations {
  const Approximation &reciprocal, &root_even, &root_odd;
  const Approximation &short_reciprocal, &short_root_even, &short_root_odd;
};
constexpr Approximations kZen = {kZenReciprocal,      kZenRootEven,      kZenRootOdd,
                                 kZenShortReciprocal, kZenShortRootEven, kZenShortRootOdd};
constexpr Approximations kIntel = {kIntelReciprocal,      kIntelRootEven,      kIntelRootOdd,
                                   kIntelShortReciprocal, kIntelShortRootEven, kIntelShortRootOdd};

// fraction / 2^16 + 1, times 2^exponent; below the normal numbers without rounding.
template <class F>
typename F::Bits composed(bool sign, int exponent, std::uint32_t fraction, const Environment& env) {
  using Bits = typename F::Bits;
  const int biased = exponent + F::kBias;
  if (biased >= F::kInfinite) return F::signed_bits(sign, F::kInfinity);
  const auto whole = (1ull << 16 | fraction) << (F::kFraction - 16);
  if (biased < 1) {
    if (env.flush_to_zero_set) return F::signed_bits(sign, 0);
    return F::signed_bits(sign, static_cast<Bits>(whole >> (1 - biased)));
  }
  const auto low = static_cast<Bits>(whole & ((1ull << F::kFraction) - 1));
  return F::signed_bits(
      sign, static_cast<Bits>(static_cast<Bits>(static_cast<Bits>(biased) << F::kFraction) | low));
}

// The same of a half, which has fewer bits than the lines: to the nearest, halves away from zero (measured),
// with denormal results whatever MXCSR says.
template <>
Half::Bits composed<Half>(bool sign, int exponent, std::uint32_t fraction, const Environment&) {
  const int biased = exponent + Half::kBias;
  if (biased >= Half::kInfinite) return Half::signed_bits(sign, Half::kInfinity);
  const int shift = 16 - Half::kFraction + (biased < 1 ? 1 - biased : 0);
  if (shift > 17) return Half::signed_bits(sign, 0);
  const std::uint32_t rounded = ((1u << 16 | fraction) + (1u << (shift - 1))) >> shift;
  // The first bit, if it is there, and a carry add to the exponent.
  const std::uint32_t below = biased < 1 ? 0 : static_cast<std::uint32_t>(biased - 1) << Half::kFraction;
  return Half::signed_bits(sign, static_cast<Half::Bits>(below + rounded));
}

std::uint32_t mantissa_of(const Number& x) {
  return static_cast<std::uint32_t>(x.significand >> 40) & 0x7fffff;
}

template <class F, const Approximations& tables>
constexpr auto reciprocal = [](Environment& env, typename F::Bits a, Byte) -> typename F::Bits {
  if (F::is_nan(a)) return F::quieted(a);
  const Number x = unpacked<F>(env, a);
  if (x.kind == Kind::kZero) return F::signed_bits(x.sign, F::kInfinity);
  if (x.kind == Kind::kInfinity) return F::signed_bits(x.sign, 0);
  const std::uint32_t mantissa = mantissa_of(x);
  if ((x.significand << 1) == 0) return composed<F>(x.sign, -x.exponent, 0, env);
  return composed<F>(x.sign, -x.exponent - 1, on_line(tables.reciprocal, mantissa), env);
};

template <class F, const Approximations& tables>
constexpr auto reciprocal_root = [](Environment& env, typename F::Bits a, Byte) -> typename F::Bits {
  if (F::is_nan(a)) return F::quieted(a);
  const Number x = unpacked<F>(env, a);
  if (x.kind == Kind::kZero) return F::signed_bits(x.sign, F::kInfinity);
  if (x.sign) return F::kIndefinite;
  if (x.kind == Kind::kInfinity) return 0;
  const std::uint32_t mantissa = mantissa_of(x);
  const int half = x.exponent >> 1;
  if ((x.exponent & 1) != 0) return composed<F>(false, -half - 1, on_line(tables.root_odd, mantissa), env);
  if ((x.significand << 1) == 0) return composed<F>(false, -half, 0, env);
  return composed<F>(false, -half - 1, on_line(tables.root_even, mantissa), env);
};

// The 12 bits of VRCPPS and VRSQRTPS: denormals count as zeros, whatever DAZ says, and results are never
// denormal.
template <const Approximations& tables>
constexpr auto short_reciprocal = [](Environment& env, std::uint32_t a, Byte) -> std::uint32_t {
  if (Single::is_nan(a)) return Single::quieted(a);
  env.denormals_are_zero = env.flush_to_zero_set = true;
  const Number x = unpacked<Single>(env, a);
  if (x.kind == Kind::kZero) return Single::signed_bits(x.sign, Single::kInfinity);
  if (x.kind == Kind::kInfinity) return Single::signed_bits(x.sign, 0);
  return composed<Single>(x.sign, -x.exponent - 1, on_line(tables.short_reciprocal, mantissa_of(x)), env);
};

template <const Approximations& tables>
constexpr auto short_root = [](Environment& env, std::uint32_t a, Byte) -> std::uint32_t {
  if (Single::is_nan(a)) return Single::quieted(a);
  env.denormals_are_zero = true;
  const Number x = unpacked<Single>(env, a);
  if (x.kind == Kind::kZero) return Single::signed_bits(x.sign, Single::kInfinity);
  if (x.sign) return Single::kIndefinite;
  if (x.kind == Kind::kInfinity) return 0;
  const std::uint32_t fraction =
      on_line((x.exponent & 1) != 0 ? tables.short_root_odd : tables.short_root_even, mantissa_of(x));
  return composed<Single>(false, -(x.exponent >> 1) - 1, fraction, env);
};

// No exceptions; by the tables of the recording's vendor.
template <class F, auto zen, auto intel, bool scalar>
bool approximate(Operation& op) {
  return op.state().vendor == Vendor::kAmd ? float_unary<F, zen, scalar>(op)
                                           : float_unary<F, intel, scalar>(op);
}

#define BY_VENDOR(F, function, scalar) (approximate<F, function<F, kZen>, function<F, kIntel>, scalar>)
#define SHORT_BY_VENDOR(function, scalar) (approximate<Single, function<kZen>, function<kIntel>, scalar>)

constexpr Row rows[] = {
    FLOAT_ROW(VRCP14PS, BY_VENDOR(Single, reciprocal, false), 4, 0),
    FLOAT_ROW(VRCP14PD, BY_VENDOR(Double, reciprocal, false), 8, 0),
    FLOAT_ROW(VRCP14SS, BY_VENDOR(Single, reciprocal, true), 4, kScalar),
    FLOAT_ROW(VRCP14SD, BY_VENDOR(Double, reciprocal, true), 8, kScalar),
    FLOAT_ROW(VRCPPH, BY_VENDOR(Half, reciprocal, false), 2, 0),
    FLOAT_ROW(VRCPSH, BY_VENDOR(Half, reciprocal, true), 2, kScalar),
    FLOAT_ROW(VRSQRTPH, BY_VENDOR(Half, reciprocal_root, false), 2, 0),
    FLOAT_ROW(VRSQRTSH, BY_VENDOR(Half, reciprocal_root, true), 2, kScalar),
    FLOAT_ROW(VRCPPS, SHORT_BY_VENDOR(short_reciprocal, false), 4, 0),
    FLOAT_ROW(VRCPSS, SHORT_BY_VENDOR(short_reciprocal, true), 4, kScalar),
    FLOAT_ROW(VRSQRTPS, SHORT_BY_VENDOR(short_root, false), 4, 0),
    FLOAT_ROW(VRSQRTSS, SHORT_BY_VENDOR(short_root, true), 4, kScalar),
    FLOAT_ROW(VRSQRT14PS, BY_VENDOR(Single, reciprocal_root, false), 4, 0),
    FLOAT_ROW(VRSQRT14PD, BY_VENDOR(Double, reciprocal_root, false), 8, 0),
    FLOAT_ROW(VRSQRT14SS, BY_VENDOR(Single, reciprocal_root, true), 4, kScalar),
    FLOAT_ROW(VRSQRT14SD, BY_VENDOR(Double, reciprocal_root, true), 8, kScalar),
};

}  // namespace

Rows approximation_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
