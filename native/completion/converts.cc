// Conversions between floating-point formats and integers.
#include <type_traits>

#include "float_rows.h"

namespace revenant::completion {
namespace {

// The "integer indefinite": the least signed number, the greatest unsigned one.
template <class T>
constexpr T kNoInteger = std::is_signed_v<T> ? static_cast<T>(T{1} << (8 * sizeof(T) - 1))
                                             : static_cast<T>(~T{0});

template <class T, class F>
T to_integer(Environment& env, typename F::Bits bits, unsigned rounding) {
  const Number x = unpacked<F>(env, bits);
  if (x.kind == Kind::kZero) return 0;
  if (x.kind != Kind::kFinite || x.exponent > 64) {
    env.flags |= kInvalid;
    return kNoInteger<T>;
  }
  const int lost_bits = x.exponent >= -1 ? 63 - x.exponent : 65;
  U128 kept = x.exponent >= -1 ? U128{x.significand} : U128{1};
  U128 lost = 0;
  if (lost_bits > 0) {
    lost = kept & ((U128{1} << lost_bits) - 1);
    kept >>= lost_bits;
    if (rounds_up(rounding, x.sign, (kept & 1) != 0, lost, lost_bits)) kept++;
  } else {
    kept <<= -lost_bits;
  }
  constexpr U128 one = 1;
  const U128 limit = std::is_signed_v<T> ? (one << (8 * sizeof(T) - 1)) - (x.sign ? 0 : 1)
                     : x.sign            ? 0
                                         : (one << 8 * sizeof(T)) - 1;
  if (kept > limit) {
    env.flags |= kInvalid;
    return kNoInteger<T>;
  }
  if (lost != 0) env.flags |= kInexact;
  const auto magnitude = static_cast<U64>(kept);
  return static_cast<T>(x.sign ? 0 - magnitude : magnitude);
}

template <class F, class T>
typename F::Bits from_integer(Environment& env, T value) {
  if (value == 0) return 0;
  const bool sign = std::is_signed_v<T> && value < 0;
  const auto wide = static_cast<U64>(value);
  return rounded<F>(env, sign, 127, U128{sign ? 0 - wide : wide});
}

// Rows' width is the wider of the two elements. function(environment, bits) -> bits.
template <class To, class From, auto function>
bool convert(Operation& op) {
  Vector a, result;
  if (!op.load(1, a, sizeof(From))) return false;
  Environment env(op);
  for (unsigned i = 0; i < op.count(); i++)
    if (op.active(i)) result.set<To>(i, function(env, a.get<From>(i)));
  return env.commit(op) && op.finish(result, op.count() * unsigned{sizeof(To)}, sizeof(To));
}

template <class To, class From>
constexpr auto between = convert<typename To::Bits, typename From::Bits, float_convert<To, From>>;
template <class F, class T>
constexpr auto float_of = convert<typename F::Bits, T, from_integer<F, T>>;
template <class T, class F>
constexpr auto integer_of = convert<T, typename F::Bits, [](Environment& env, typename F::Bits bits) {
  return to_integer<T, F>(env, bits, env.rounding);
}>;
template <class T, class F>
constexpr auto truncated_of = convert<T, typename F::Bits, [](Environment& env, typename F::Bits bits) {
  return to_integer<T, F>(env, bits, kTruncate);
}>;

// Scalars: the rest of the destination from the first source.
template <class To, class From>
bool scalar_between(Operation& op) {
  Vector a, b, result;
  if (!op.load(1, a) || !op.load(2, b, sizeof(typename From::Bits))) return false;
  Environment env(op);
  if (op.active(0))
    result.set<typename To::Bits>(0, float_convert<To, From>(env, b.get<typename From::Bits>(0)));
  return env.commit(op) && op.finish_scalar(result, a);
}

// From a general register or memory of 4 or 8 bytes.
template <class F, bool is_signed>
bool scalar_of_general(Operation& op) {
  Vector a, result;
  U64 value = 0;
  const unsigned size = op.operand(2).size / 8u;
  if (op.is_memory(2)) {
    if (!op.read(2, op.address(2), &value, size)) return false;
  } else {
    value = op.general(2);
  }
  if (!op.load(1, a)) return false;
  Environment env(op);
  if (size == 4 && is_signed) value = static_cast<U64>(S64{static_cast<S32>(value)});
  const auto bits = is_signed ? from_integer<F>(env, static_cast<S64>(value)) : from_integer<F>(env, value);
  result.set<typename F::Bits>(0, bits);
  return env.commit(op) && op.finish_scalar(result, a);
}

template <class F, bool is_signed, bool truncates>
bool general_of_scalar(Operation& op) {
  Vector a;
  if (!op.load(1, a)) return false;
  Environment env(op);
  const unsigned rounding = truncates ? unsigned{kTruncate} : env.rounding;
  const auto bits = a.get<typename F::Bits>(0);
  U64 value;
  if (op.operand(0).size == 64) {
    value = is_signed ? static_cast<U64>(to_integer<S64, F>(env, bits, rounding))
                      : to_integer<U64, F>(env, bits, rounding);
  } else {
    value = is_signed ? static_cast<U32>(to_integer<S32, F>(env, bits, rounding))
                      : to_integer<U32, F>(env, bits, rounding);
  }
  if (!env.commit(op)) return false;
  op.set_general(0, value);
  return true;
}

// VCVTPH2PS: half's denormals are numbers, whatever DAZ says, and no exception.
U32 widened_half(Environment& env, U16 bits) {
  Environment own = env;
  const U32 result = float_convert<Single, Half>(own, bits);
  env.flags |= own.flags & kInvalid;
  return result;
}

// VCVTPS2PH: rounds as the immediate says, or MXCSR where bit 2 is set; never flushes.
bool narrow_to_half(Operation& op) {
  Vector a, result;
  if (!op.load(1, a)) return false;
  Environment env(op);
  if ((op.immediate() & 4) == 0) env.rounding = op.immediate() & 3;
  env.flush_to_zero = false;
  for (unsigned i = 0; i < op.count(); i++)
    if (op.active(i)) result.set<U16>(i, float_convert<Half, Single>(env, a.get<U32>(i)));
  // Intel's processors convert first, and note what arose even where the store faults.
  if (op.state().vendor == Vendor::kIntel) return env.commit(op) && op.finish(result, op.count() * 2, 2);
  return op.finishable(op.count() * 2, 2) && env.commit(op) && op.finish(result, op.count() * 2, 2);
}

// To nearest even, denormals as zeros, without exceptions.
U16 to_bf16(U32 bits) {
  if (Single::is_nan(bits)) return static_cast<U16>(bits >> 16 | 0x40);
  if (Single::is_denormal(bits)) return static_cast<U16>(bits >> 16 & 0x8000);
  return static_cast<U16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

bool bf16_of_one(Operation& op) {
  Vector a, result;
  if (!op.load(1, a)) return false;
  for (unsigned i = 0; i < op.count(); i++) result.set<U16>(i, to_bf16(a.get<U32>(i)));
  return op.finish(result, op.count() * 2, 2);
}

// The second source to the lower half, the first to the upper one.
bool bf16_of_two(Operation& op) {
  Vector a, b, result;
  if (!op.load(1, a) || !op.load(2, b, 4)) return false;
  const unsigned half = op.length() / 4;
  for (unsigned i = 0; i < half; i++) {
    result.set<U16>(i, to_bf16(b.get<U32>(i)));
    result.set<U16>(half + i, to_bf16(a.get<U32>(i)));
  }
  return op.finish(result);
}

#define INTEGERS(float_name, F, integer_name, T, U, width)                            \
  FLOAT_ROW(VCVT##float_name##2##integer_name, (integer_of<T, F>), width, 0),         \
      FLOAT_ROW(VCVTT##float_name##2##integer_name, (truncated_of<T, F>), width, 0),  \
      FLOAT_ROW(VCVT##integer_name##2##float_name, (float_of<F, T>), width, 0),       \
      FLOAT_ROW(VCVT##float_name##2U##integer_name, (integer_of<U, F>), width, 0),    \
      FLOAT_ROW(VCVTT##float_name##2U##integer_name, (truncated_of<U, F>), width, 0), \
      FLOAT_ROW(VCVTU##integer_name##2##float_name, (float_of<F, U>), width, 0)
#define GENERAL(name, F, width)                                                          \
  FLOAT_ROW(VCVT##name##2SI, (general_of_scalar<F, true, false>), width, kScalar),       \
      FLOAT_ROW(VCVTT##name##2SI, (general_of_scalar<F, true, true>), width, kScalar),   \
      FLOAT_ROW(VCVT##name##2USI, (general_of_scalar<F, false, false>), width, kScalar), \
      FLOAT_ROW(VCVTT##name##2USI, (general_of_scalar<F, false, true>), width, kScalar), \
      FLOAT_ROW(VCVTSI2##name, (scalar_of_general<F, true>), width, kScalar),            \
      FLOAT_ROW(VCVTUSI2##name, (scalar_of_general<F, false>), width, kScalar)
constexpr Row rows[] = {
    FLOAT_ROW(VCVTPS2PD, (between<Double, Single>), 8, 0),
    FLOAT_ROW(VCVTPD2PS, (between<Single, Double>), 8, 0),
    FLOAT_ROW(VCVTPH2PD, (between<Double, Half>), 8, 0),
    FLOAT_ROW(VCVTPD2PH, (between<Half, Double>), 8, 0),
    FLOAT_ROW(VCVTPH2PSX, (between<Single, Half>), 4, 0),
    FLOAT_ROW(VCVTPS2PHX, (between<Half, Single>), 4, 0),
    FLOAT_ROW(VCVTPH2PS, (convert<U32, U16, widened_half>), 4, 0),
    FLOAT_ROW(VCVTPS2PH, narrow_to_half, 4, 0),
    FLOAT_ROW(VCVTSS2SD, (scalar_between<Double, Single>), 8, kScalar),
    FLOAT_ROW(VCVTSD2SS, (scalar_between<Single, Double>), 4, kScalar),
    FLOAT_ROW(VCVTSH2SS, (scalar_between<Single, Half>), 4, kScalar),
    FLOAT_ROW(VCVTSS2SH, (scalar_between<Half, Single>), 2, kScalar),
    FLOAT_ROW(VCVTSH2SD, (scalar_between<Double, Half>), 8, kScalar),
    FLOAT_ROW(VCVTSD2SH, (scalar_between<Half, Double>), 2, kScalar),
    INTEGERS(PS, Single, DQ, S32, U32, 4),
    INTEGERS(PD, Double, DQ, S32, U32, 8),
    INTEGERS(PS, Single, QQ, S64, U64, 8),
    INTEGERS(PD, Double, QQ, S64, U64, 8),
    INTEGERS(PH, Half, W, S16, U16, 2),
    INTEGERS(PH, Half, DQ, S32, U32, 4),
    INTEGERS(PH, Half, QQ, S64, U64, 8),
    GENERAL(SS, Single, 4),
    GENERAL(SD, Double, 8),
    GENERAL(SH, Half, 2),
    FLOAT_ROW(VCVTNEPS2BF16, bf16_of_one, 4, 0),
    FLOAT_ROW(VCVTNE2PS2BF16, bf16_of_two, 2, kReadsAll),
};

}  // namespace

Rows convert_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
