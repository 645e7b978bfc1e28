// VRCP14, VRSQRT14, VRCPPS and VRSQRTPS: approximations that each vendor makes in its own way, by the tables
// of the recording's vendor.
#include "approximation_tables.h"
#include "float_rows.h"

namespace revenant::completion {
namespace {

using Byte = std::uint8_t;

// The line of `table` (2^bits of them) for a mantissa of 23 bits: 16 bits of fraction of a number in [1/2,
// 1).
std::uint32_t on_line(const ApproximationLine* table, unsigned bits, std::uint32_t mantissa) {
  const ApproximationLine& line = table[mantissa >> (23 - bits)];
  const std::int32_t x = static_cast<std::int32_t>(mantissa >> (13 - bits) & 1023);
  return static_cast<std::uint32_t>((line.base - line.slope * x) >> 9);
}

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

std::uint32_t mantissa_of(const Number& x) {
  return static_cast<std::uint32_t>(x.significand >> 40) & 0x7fffff;
}

template <class F>
constexpr auto reciprocal = [](Environment& env, typename F::Bits a, Byte) -> typename F::Bits {
  if (F::is_nan(a)) return F::quieted(a);
  const Number x = unpacked<F>(env, a);
  if (x.kind == Kind::kZero) return F::signed_bits(x.sign, F::kInfinity);
  if (x.kind == Kind::kInfinity) return F::signed_bits(x.sign, 0);
  const std::uint32_t mantissa = mantissa_of(x);
  if ((x.significand << 1) == 0) return composed<F>(x.sign, -x.exponent, 0, env);
  return composed<F>(x.sign, -x.exponent - 1, on_line(kZenReciprocal, 6, mantissa), env);
};

template <class F>
constexpr auto reciprocal_root = [](Environment& env, typename F::Bits a, Byte) -> typename F::Bits {
  if (F::is_nan(a)) return F::quieted(a);
  const Number x = unpacked<F>(env, a);
  if (x.kind == Kind::kZero) return F::signed_bits(x.sign, F::kInfinity);
  if (x.sign) return F::kIndefinite;
  if (x.kind == Kind::kInfinity) return 0;
  const std::uint32_t mantissa = mantissa_of(x);
  const int half = x.exponent >> 1;
  if ((x.exponent & 1) != 0) return composed<F>(false, -half - 1, on_line(kZenRootOdd, 5, mantissa), env);
  if ((x.significand << 1) == 0) return composed<F>(false, -half, 0, env);
  return composed<F>(false, -half - 1, on_line(kZenRootEven, 5, mantissa), env);
};

// The 12 bits of VRCPPS and VRSQRTPS: denormals count as zeros, whatever DAZ says, and results are never
// denormal.
std::uint32_t short_line(const ApproximationLine* table, unsigned bits, unsigned shift,
                         std::uint32_t mantissa) {
  const ApproximationLine& line = table[mantissa >> (23 - bits)];
  const auto x = static_cast<std::int32_t>(mantissa >> 11 & ((1u << (12 - bits)) - 1));
  return static_cast<std::uint32_t>((line.base - line.slope * x) >> shift) << 4;
}

constexpr auto short_reciprocal = [](Environment& env, std::uint32_t a, Byte) -> std::uint32_t {
  if (Single::is_nan(a)) return Single::quieted(a);
  env.denormals_are_zero = env.flush_to_zero_set = true;
  const Number x = unpacked<Single>(env, a);
  if (x.kind == Kind::kZero) return Single::signed_bits(x.sign, Single::kInfinity);
  if (x.kind == Kind::kInfinity) return Single::signed_bits(x.sign, 0);
  return composed<Single>(x.sign, -x.exponent - 1, short_line(kZenShortReciprocal, 8, 6, mantissa_of(x)),
                          env);
};

constexpr auto short_root = [](Environment& env, std::uint32_t a, Byte) -> std::uint32_t {
  if (Single::is_nan(a)) return Single::quieted(a);
  env.denormals_are_zero = true;
  const Number x = unpacked<Single>(env, a);
  if (x.kind == Kind::kZero) return Single::signed_bits(x.sign, Single::kInfinity);
  if (x.sign) return Single::kIndefinite;
  if (x.kind == Kind::kInfinity) return 0;
  const std::uint32_t fraction = (x.exponent & 1) != 0 ? short_line(kZenShortRootOdd, 8, 6, mantissa_of(x))
                                                       : short_line(kZenShortRootEven, 9, 4, mantissa_of(x));
  return composed<Single>(false, -(x.exponent >> 1) - 1, fraction, env);
};

// No exceptions, and only the vendor whose tables were measured.
template <auto driver>
bool measured(Operation& op) {
  if (op.state().vendor != Vendor::kAmd) return op.fault(Verdict::kNotMine);
  return driver(op);
}

template <class F, auto function, bool scalar>
bool approximate(Operation& op) {
  return measured<float_unary<F, function, scalar>>(op);
}

constexpr Row rows[] = {
    FLOAT_FOUR(VRCP14, approximate, reciprocal),
    FLOAT_ROW(VRCPPS, (measured<float_unary<Single, short_reciprocal, false>>), 4, 0),
    FLOAT_ROW(VRCPSS, (measured<float_unary<Single, short_reciprocal, true>>), 4, kScalar),
    FLOAT_ROW(VRSQRTPS, (measured<float_unary<Single, short_root, false>>), 4, 0),
    FLOAT_ROW(VRSQRTSS, (measured<float_unary<Single, short_root, true>>), 4, kScalar),
    FLOAT_FOUR(VRSQRT14, approximate, reciprocal_root),
};

}  // namespace

Rows approximation_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
