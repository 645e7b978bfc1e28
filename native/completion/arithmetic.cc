// Floating-point sums, products, quotients, roots, minima, maxima and comparisons.
#include "float_rows.h"

namespace revenant::completion {
namespace {

using Byte = std::uint8_t;

template <class F>
constexpr auto sum =
    [](Environment& env, typename F::Bits a, typename F::Bits b, Byte) { return float_add<F>(env, a, b); };
template <class F>
constexpr auto difference = [](Environment& env, typename F::Bits a, typename F::Bits b, Byte) {
  return float_subtract<F>(env, a, b);
};
template <class F>
constexpr auto product = [](Environment& env, typename F::Bits a, typename F::Bits b, Byte) {
  return float_multiply<F>(env, a, b);
};
template <class F>
constexpr auto quotient =
    [](Environment& env, typename F::Bits a, typename F::Bits b, Byte) { return float_divide<F>(env, a, b); };
template <class F>
constexpr auto root = [](Environment& env, typename F::Bits a, Byte) { return float_root<F>(env, a); };

// -1, 0 or 1 as a is below, equal to or above b; neither is a NaN.
template <class F>
int order(const Environment& env, typename F::Bits a, typename F::Bits b) {
  const auto key = [&](typename F::Bits bits) -> std::int64_t {
    auto magnitude = static_cast<std::int64_t>(bits & ~F::kSign);
    if (F::kFlushes && env.denormals_are_zero && F::is_denormal(bits)) magnitude = 0;
    return (bits & F::kSign) != 0 ? -magnitude : magnitude;
  };
  const std::int64_t x = key(a), y = key(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

template <class F>
void note_denormals(Environment& env, typename F::Bits a, typename F::Bits b) {
  if (F::kFlushes && env.denormals_are_zero) return;
  if (F::is_denormal(a) || F::is_denormal(b)) env.flags |= kDenormal;
}

template <class F>
typename F::Bits flushed(const Environment& env, typename F::Bits bits) {
  const bool zero = F::kFlushes && env.denormals_are_zero && F::is_denormal(bits);
  return zero ? static_cast<typename F::Bits>(bits & F::kSign) : bits;
}

// The second operand when they are equal or one is a NaN.
template <class F, int wanted>
typename F::Bits extreme(Environment& env, typename F::Bits a, typename F::Bits b) {
  if (F::is_nan(a) || F::is_nan(b)) {
    env.flags |= kInvalid;
    return flushed<F>(env, b);
  }
  note_denormals<F>(env, a, b);
  return flushed<F>(env, order<F>(env, a, b) == wanted ? a : b);
}

template <class F>
constexpr auto least =
    [](Environment& env, typename F::Bits a, typename F::Bits b, Byte) { return extreme<F, -1>(env, a, b); };
template <class F>
constexpr auto greatest =
    [](Environment& env, typename F::Bits a, typename F::Bits b, Byte) { return extreme<F, 1>(env, a, b); };

// Results of the 16 predicates for below, equal, above and unordered, a bit each; those of 16 to 31 are the
// same.
constexpr Byte kPredicates[16] = {0b0010, 0b0001, 0b0011, 0b1000, 0b1101, 0b1110, 0b1100, 0b0111,
                                  0b1010, 0b1001, 0b1011, 0b0000, 0b0101, 0b0110, 0b0100, 0b1111};
// Predicates of 0 to 15 for which a quiet NaN is invalid, too; of 16 to 31, the others.
constexpr unsigned kSignalling = 0b0110'0110'0110'0110;

template <class F, bool scalar>
bool compare(Operation& op) {
  using Bits = typename F::Bits;
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  Environment env(op);
  const unsigned predicate = op.immediate() & 31;
  const bool signalling = ((kSignalling >> (predicate & 15) & 1) != 0) != (predicate >= 16);
  std::uint64_t bits = 0;
  for (unsigned i = 0; i < op.count(); i++) {
    if (!op.active(i)) continue;
    const Bits x = a.get<Bits>(i), y = b.get<Bits>(i);
    unsigned relation = 3;
    if (F::is_nan(x) || F::is_nan(y)) {
      if (signalling || F::is_signalling(x) || F::is_signalling(y)) env.flags |= kInvalid;
    } else {
      note_denormals<F>(env, x, y);
      relation = static_cast<unsigned>(order<F>(env, x, y) + 1);
    }
    if (kPredicates[predicate & 15] >> relation & 1) bits |= 1ull << i;
  }
  return env.commit(op) && op.finish_mask(bits);
}

// VCOMISx and VUCOMISx: to ZF, PF and CF.
template <class F, bool quiet>
bool compare_flags(Operation& op) {
  using Bits = typename F::Bits;
  Vector b;
  if (!op.load(1, b)) return false;
  Environment env(op);
  const Bits x = op.old().get<Bits>(0), y = b.get<Bits>(0);
  unsigned flags = 0x45;
  if (F::is_nan(x) || F::is_nan(y)) {
    if (!quiet || F::is_signalling(x) || F::is_signalling(y)) env.flags |= kInvalid;
  } else {
    note_denormals<F>(env, x, y);
    const int relation = order<F>(env, x, y);
    flags = relation < 0 ? 1 : relation == 0 ? 0x40 : 0;
  }
  if (!env.commit(op)) return false;
  op.state().rflags = (op.state().rflags & ~0x8d5ull) | flags;
  return true;
}

constexpr Row rows[] = {
    FLOAT_SIX(VADD, float_binary, sum),
    FLOAT_SIX(VSUB, float_binary, difference),
    FLOAT_SIX(VMUL, float_binary, product),
    FLOAT_SIX(VDIV, float_binary, quotient),
    FLOAT_SIX(VMIN, float_binary, least),
    FLOAT_SIX(VMAX, float_binary, greatest),
    FLOAT_SIX(VSQRT, float_unary, root),
    FLOAT_ROW(VCMPPH, (compare<Half, false>), 2, 0),
    FLOAT_ROW(VCMPPS, (compare<Single, false>), 4, 0),
    FLOAT_ROW(VCMPPD, (compare<Double, false>), 8, 0),
    FLOAT_ROW(VCMPSH, (compare<Half, true>), 2, kScalar),
    FLOAT_ROW(VCMPSS, (compare<Single, true>), 4, kScalar),
    FLOAT_ROW(VCMPSD, (compare<Double, true>), 8, kScalar),
    FLOAT_ROW(VCOMISH, (compare_flags<Half, false>), 2, kScalar),
    FLOAT_ROW(VCOMISS, (compare_flags<Single, false>), 4, kScalar),
    FLOAT_ROW(VCOMISD, (compare_flags<Double, false>), 8, kScalar),
    FLOAT_ROW(VUCOMISH, (compare_flags<Half, true>), 2, kScalar),
    FLOAT_ROW(VUCOMISS, (compare_flags<Single, true>), 4, kScalar),
    FLOAT_ROW(VUCOMISD, (compare_flags<Double, true>), 8, kScalar),
};

}  // namespace

Rows arithmetic_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
