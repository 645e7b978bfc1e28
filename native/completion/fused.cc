// Fused multiplication and addition, and dot products of bfloat16.
#include "float_rows.h"

namespace revenant::completion {
namespace {

// Which operands are the factors and the addend: 132: 1 * 3 + 2; 213: 2 * 1 + 3; 231: 2 * 3 + 1. NaNs come in
// the order of this formula. Signs: the product's and the sum's; `alternates`: the sum's sign in even
// elements (1) or odd (2).
template <class F, unsigned order, bool negate_product, bool negate_sum, unsigned alternates, bool scalar>
bool fused(Operation& op) {
  using Bits = typename F::Bits;
  Vector second, third, result;
  if (!op.load(1, second) || !op.load(2, third)) return false;
  const Vector first = op.old();
  const Vector& a = order == 132 ? first : second;
  const Vector& b = order == 213 ? first : third;
  const Vector& c = order == 132 ? second : order == 213 ? third : first;
  Environment env(op);
  for (unsigned i = 0; i < op.count(); i++) {
    if (!op.active(i)) continue;
    const bool sum_sign = alternates == 0 ? negate_sum : (i & 1) == alternates - 1;
    result.set<Bits>(
        i, float_fused<F>(env, a.get<Bits>(i), b.get<Bits>(i), c.get<Bits>(i), negate_product, sum_sign));
  }
  return finish_float(op, env, result, first, scalar);
}

// VDPBF16PS: two products a single element, flushed, rounded to nearest, without exceptions.
bool dot_bf16(Operation& op) {
  Vector a, b, result;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const Vector& old = op.old();
  Environment env(op);
  env.rounding = kNearest;
  env.denormals_are_zero = env.flush_to_zero = env.underflow_masked = env.overflow_masked = true;
  for (unsigned i = 0; i < op.count(); i++) {
    if (!op.active(i)) continue;
    std::uint32_t sum = old.get<std::uint32_t>(i);
    for (unsigned j = 2 * i + 1; j + 1 > 2 * i; j--) {
      const auto x = static_cast<std::uint32_t>(a.get<std::uint16_t>(j) << 16);
      const auto y = static_cast<std::uint32_t>(b.get<std::uint16_t>(j) << 16);
      sum = float_fused<Single>(env, x, y, sum, false, false);
      if (j == 0) break;
    }
    result.set<std::uint32_t>(i, sum);
  }
  return op.finish(result);
}

// The second operation of a part: what the first left is no denormal operand (measured).
inline std::uint16_t then_fused(Environment& env, std::uint16_t a, std::uint16_t b, std::uint16_t c,
                                bool negates) {
  const auto denormal = [](std::uint16_t bits) { return (bits & 0x7c00) == 0 && (bits & 0x3ff) != 0; };
  Environment own = env;
  own.flags = 0;
  const std::uint16_t result = float_fused<Half>(own, a, b, c, negates, false);
  if (!denormal(a) && !denormal(b)) own.flags &= ~static_cast<unsigned>(kDenormal);
  env.flags |= own.flags;
  return result;
}

// Complex products of pairs of halves (real part first): VFMULCPH and kin, the first source's conjugate where
// `conjugates`; VFMADDCPH adds to the destination. Two fused operations a part, as the manual's pseudocode
// has them.
template <bool conjugates, bool adds, bool scalar>
bool complex_product(Operation& op) {
  Vector a, b, result;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const Vector old = op.old();
  Environment env(op);
  for (unsigned i = 0; i < op.count(); i++) {
    if (!op.active(i)) continue;
    const auto re_a = a.get<std::uint16_t>(2 * i), im_a = a.get<std::uint16_t>(2 * i + 1);
    const auto re_b = b.get<std::uint16_t>(2 * i), im_b = b.get<std::uint16_t>(2 * i + 1);
    std::uint16_t re, im;
    if (adds) {
      re = float_fused<Half>(env, re_a, re_b, old.get<std::uint16_t>(2 * i), false, false);
      im = float_fused<Half>(env, im_a, re_b, old.get<std::uint16_t>(2 * i + 1), false, false);
    } else {
      re = float_multiply<Half>(env, re_a, re_b);
      im = float_multiply<Half>(env, im_a, re_b);
    }
    result.set<std::uint16_t>(2 * i, then_fused(env, im_a, im_b, re, !conjugates));
    result.set<std::uint16_t>(2 * i + 1, then_fused(env, re_a, im_b, im, conjugates));
  }
  return finish_float(op, env, result, a, scalar);
}

#define FUSED_ORDER(name, suffix, F, width, scalar, flags, np, ns, alt)                 \
  FLOAT_ROW(name##132##suffix, (fused<F, 132, np, ns, alt, scalar>), width, flags),     \
      FLOAT_ROW(name##213##suffix, (fused<F, 213, np, ns, alt, scalar>), width, flags), \
      FLOAT_ROW(name##231##suffix, (fused<F, 231, np, ns, alt, scalar>), width, flags)
#define FUSED_PACKED(name, np, ns, alt)                        \
  FUSED_ORDER(name, PH, Half, 2, false, 0, np, ns, alt),       \
      FUSED_ORDER(name, PS, Single, 4, false, 0, np, ns, alt), \
      FUSED_ORDER(name, PD, Double, 8, false, 0, np, ns, alt)
#define FUSED_SCALAR(name, np, ns)                                \
  FUSED_ORDER(name, SH, Half, 2, true, kScalar, np, ns, 0),       \
      FUSED_ORDER(name, SS, Single, 4, true, kScalar, np, ns, 0), \
      FUSED_ORDER(name, SD, Double, 8, true, kScalar, np, ns, 0)
constexpr Row rows[] = {
    FUSED_PACKED(VFMADD, false, false, 0),
    FUSED_PACKED(VFMSUB, false, true, 0),
    FUSED_PACKED(VFNMADD, true, false, 0),
    FUSED_PACKED(VFNMSUB, true, true, 0),
    FUSED_PACKED(VFMADDSUB, false, false, 1),
    FUSED_PACKED(VFMSUBADD, false, false, 2),
    FUSED_SCALAR(VFMADD, false, false),
    FUSED_SCALAR(VFMSUB, false, true),
    FUSED_SCALAR(VFNMADD, true, false),
    FUSED_SCALAR(VFNMSUB, true, true),
    FLOAT_ROW(VFMULCPH, (complex_product<false, false, false>), 4, 0),
    FLOAT_ROW(VFCMULCPH, (complex_product<true, false, false>), 4, 0),
    FLOAT_ROW(VFMADDCPH, (complex_product<false, true, false>), 4, 0),
    FLOAT_ROW(VFCMADDCPH, (complex_product<true, true, false>), 4, 0),
    FLOAT_ROW(VFMULCSH, (complex_product<false, false, true>), 4, kScalar),
    FLOAT_ROW(VFCMULCSH, (complex_product<true, false, true>), 4, kScalar),
    FLOAT_ROW(VFMADDCSH, (complex_product<false, true, true>), 4, kScalar),
    FLOAT_ROW(VFCMADDCSH, (complex_product<true, true, true>), 4, kScalar),
    FLOAT_ROW(VDPBF16PS, dot_bf16, 4, 0),
};

}  // namespace

Rows fused_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
