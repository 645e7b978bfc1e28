// Shifts and rotations.
#include "elementwise.h"

namespace revenant::completion {
namespace {

template <class T>
constexpr U64 kBits = 8 * sizeof(T);

template <class T>
T left(T value, U64 count) {
  return static_cast<T>(count >= kBits<T> ? 0 : U64{value} << count);
}

template <class T>
T right(T value, U64 count) {
  return static_cast<T>(count >= kBits<T> ? 0 : value >> count);
}

// T is unsigned.
template <class T>
T right_signed(T value, U64 count) {
  if (count >= kBits<T>) count = kBits<T> - 1;
  const auto wide = static_cast<std::int64_t>(U64{value} << (64 - kBits<T>));
  return static_cast<T>(wide >> (64 - kBits<T>) >> count);
}

template <class T>
T rotated_left(T value, U64 count) {
  count &= kBits<T> - 1;
  return static_cast<T>(count == 0 ? value : value << count | value >> (kBits<T> - count));
}

template <class T>
T rotated_right(T value, U64 count) {
  return rotated_left<T>(value, kBits<T> - (count & (kBits<T> - 1)));
}

// The upper half of high:low shifted left.
template <class T>
T double_left(T high, T low, U64 count) {
  count &= kBits<T> - 1;
  return static_cast<T>(count == 0 ? high : U64{high} << count | low >> (kBits<T> - count));
}

// The lower half of high:low shifted right.
template <class T>
T double_right(T high, T low, U64 count) {
  count &= kBits<T> - 1;
  return static_cast<T>(count == 0 ? low : low >> count | U64{high} << (kBits<T> - count));
}

// By the immediate, or by the lower 64 bits of a vector: 16 bytes of memory, all of which are read.
template <class T, T (*function)(T, U64)>
bool shift(Operation& op) {
  Vector a, count;
  U64 by = op.immediate();
  if (!op.load(1, a)) return false;
  if (op.operands() == 3) {
    if (op.is_memory(2)) {
      if (!op.read(2, op.address(2), count.bytes, 16)) return false;
    } else {
      op.load(2, count);
    }
    by = count.get<U64>(0);
  }
  Vector result;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++) result.set<T>(i, function(a.get<T>(i), by));
  return op.finish(result);
}

template <class T, T (*function)(T, U64)>
constexpr bool (*each)(Operation&) = binary<T, [](T a, T b) { return function(a, b); }>;

template <class T, T (*function)(T, U64)>
constexpr bool (*rotate)(Operation&) = with_immediate<T, [](T a, U8 count) { return function(a, count); }>;

template <class T>
bool concatenate_left(Operation& op) {
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    for (unsigned i = 0; i < o.length() / sizeof(T); i++)
      result.set<T>(i, double_left(a.get<T>(i), b.get<T>(i), o.immediate()));
  }>(op);
}

template <class T>
bool concatenate_right(Operation& op) {
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    for (unsigned i = 0; i < o.length() / sizeof(T); i++)
      result.set<T>(i, double_right(b.get<T>(i), a.get<T>(i), o.immediate()));
  }>(op);
}

template <class T>
constexpr bool (*concatenate_left_each)(Operation&) =
    ternary<T, [](T old, T a, T b) { return double_left(old, a, b); }>;
template <class T>
constexpr bool (*concatenate_right_each)(Operation&) =
    ternary<T, [](T old, T a, T b) { return double_right(a, old, b); }>;

// VPMULTISHIFTQB: each byte is 8 bits of the second source's qword, from the place that the first source's
// byte says.
bool multishift(Operation& op) {
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    for (unsigned i = 0; i < o.length(); i++)
      result.bytes[i] = static_cast<U8>(rotated_right<U64>(b.get<U64>(i / 8), a.bytes[i]));
  }>(op);
}

#define ROW(name, function, width, flags) \
  { ZYDIS_MNEMONIC_##name, function, width, flags }
constexpr Row rows[] = {
    ROW(VPSLLW, (shift<U16, left>), 2, 0),
    ROW(VPSLLD, (shift<U32, left>), 4, 0),
    ROW(VPSLLQ, (shift<U64, left>), 8, 0),
    ROW(VPSRLW, (shift<U16, right>), 2, 0),
    ROW(VPSRLD, (shift<U32, right>), 4, 0),
    ROW(VPSRLQ, (shift<U64, right>), 8, 0),
    ROW(VPSRAW, (shift<U16, right_signed>), 2, 0),
    ROW(VPSRAD, (shift<U32, right_signed>), 4, 0),
    ROW(VPSRAQ, (shift<U64, right_signed>), 8, 0),
    ROW(VPSLLVW, (each<U16, left>), 2, 0),
    ROW(VPSLLVD, (each<U32, left>), 4, 0),
    ROW(VPSLLVQ, (each<U64, left>), 8, 0),
    ROW(VPSRLVW, (each<U16, right>), 2, 0),
    ROW(VPSRLVD, (each<U32, right>), 4, 0),
    ROW(VPSRLVQ, (each<U64, right>), 8, 0),
    ROW(VPSRAVW, (each<U16, right_signed>), 2, 0),
    ROW(VPSRAVD, (each<U32, right_signed>), 4, 0),
    ROW(VPSRAVQ, (each<U64, right_signed>), 8, 0),
    ROW(VPROLD, (rotate<U32, rotated_left>), 4, 0),
    ROW(VPROLQ, (rotate<U64, rotated_left>), 8, 0),
    ROW(VPRORD, (rotate<U32, rotated_right>), 4, 0),
    ROW(VPRORQ, (rotate<U64, rotated_right>), 8, 0),
    ROW(VPROLVD, (each<U32, rotated_left>), 4, 0),
    ROW(VPROLVQ, (each<U64, rotated_left>), 8, 0),
    ROW(VPRORVD, (each<U32, rotated_right>), 4, 0),
    ROW(VPRORVQ, (each<U64, rotated_right>), 8, 0),
    ROW(VPSHLDW, concatenate_left<U16>, 2, 0),
    ROW(VPSHLDD, concatenate_left<U32>, 4, 0),
    ROW(VPSHLDQ, concatenate_left<U64>, 8, 0),
    ROW(VPSHRDW, concatenate_right<U16>, 2, 0),
    ROW(VPSHRDD, concatenate_right<U32>, 4, 0),
    ROW(VPSHRDQ, concatenate_right<U64>, 8, 0),
    ROW(VPSHLDVW, concatenate_left_each<U16>, 2, 0),
    ROW(VPSHLDVD, concatenate_left_each<U32>, 4, 0),
    ROW(VPSHLDVQ, concatenate_left_each<U64>, 8, 0),
    ROW(VPSHRDVW, concatenate_right_each<U16>, 2, 0),
    ROW(VPSHRDVD, concatenate_right_each<U32>, 4, 0),
    ROW(VPSHRDVQ, concatenate_right_each<U64>, 8, 0),
    ROW(VPMULTISHIFTQB, multishift, 1, kReadsAll),
};

}  // namespace

Rows shift_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
