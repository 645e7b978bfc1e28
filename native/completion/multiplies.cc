// Integer products, sums of products and sums of absolute differences.
#include "elementwise.h"

namespace revenant::completion {
namespace {

S32 saturated(S64 value) {
  return static_cast<S32>(value < INT32_MIN ? INT32_MIN : value > INT32_MAX ? INT32_MAX : value);
}

bool multiply_add_words(Operation& op) {
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    for (unsigned i = 0; i < o.length() / 4; i++) {
      const S64 low = S64{a.get<S16>(2 * i)} * b.get<S16>(2 * i);
      const S64 high = S64{a.get<S16>(2 * i + 1)} * b.get<S16>(2 * i + 1);
      result.set<S32>(i, static_cast<S32>(low + high));
    }
  }>(op);
}

// Unsigned bytes of the first source by signed ones of the second.
bool multiply_add_bytes(Operation& op) {
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    for (unsigned i = 0; i < o.length() / 2; i++) {
      const int sum = a.get<U8>(2 * i) * b.get<S8>(2 * i) + a.get<U8>(2 * i + 1) * b.get<S8>(2 * i + 1);
      result.set<S16>(i, static_cast<S16>(sum < -32768 ? -32768 : sum > 32767 ? 32767 : sum));
    }
  }>(op);
}

template <bool saturates>
bool dot_bytes(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const Vector& old = op.old();
  Vector result;
  for (unsigned i = 0; i < op.length() / 4; i++) {
    S64 sum = old.get<S32>(i);
    for (unsigned j = 4 * i; j < 4 * i + 4; j++) sum += a.get<U8>(j) * b.get<S8>(j);
    result.set<S32>(i, saturates ? saturated(sum) : static_cast<S32>(sum));
  }
  return op.finish(result);
}

template <bool saturates>
bool dot_words(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const Vector& old = op.old();
  Vector result;
  for (unsigned i = 0; i < op.length() / 4; i++) {
    S64 sum = old.get<S32>(i);
    for (unsigned j = 2 * i; j < 2 * i + 2; j++) sum += S64{a.get<S16>(j)} * b.get<S16>(j);
    result.set<S32>(i, saturates ? saturated(sum) : static_cast<S32>(sum));
  }
  return op.finish(result);
}

unsigned distance(U8 a, U8 b) { return a > b ? a - b : b - a; }

bool sum_differences(Operation& op) {
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    for (unsigned i = 0; i < o.length() / 8; i++) {
      U64 sum = 0;
      for (unsigned j = 8 * i; j < 8 * i + 8; j++) sum += distance(a.bytes[j], b.bytes[j]);
      result.set<U64>(i, sum);
    }
  }>(op);
}

// VDBPSADBW: the second source's dwords are chosen within lanes by the immediate; each word of the result
// compares four bytes of the first source with four at a moving place.
bool sum_shifted_differences(Operation& op) {
  return lanes<U16, [](Vector& result, const Vector& a, const Vector& b, unsigned base, Operation& o) {
    U8 chosen[16];
    for (unsigned i = 0; i < 4; i++)
      std::memcpy(chosen + 4 * i, b.bytes + 2 * base + 4 * (o.immediate() >> 2 * i & 3), 4);
    for (unsigned i = 0; i < 8; i++) {
      const unsigned from = 2 * base + (i & 4 ? 8 : 0) + (i & 2 ? 4 : 0);
      const unsigned with = (i & 4 ? 8 : 0) + (i & 3);
      unsigned sum = 0;
      for (unsigned j = 0; j < 4; j++) sum += distance(a.bytes[from + j], chosen[with + j]);
      result.set<U16>(base + i, static_cast<U16>(sum));
    }
  }>(op);
}

constexpr U64 kLow52 = (1ull << 52) - 1;
U128 product52(U64 a, U64 b) { return U128{a & kLow52} * (b & kLow52); }

#define ROW(name, function, width, flags) \
  { ZYDIS_MNEMONIC_##name, function, width, flags }
constexpr Row rows[] = {
    ROW(VPMULLW, (binary<U16, [](U16 a, U16 b) { return U32{a} * b; }>), 2, 0),
    ROW(VPMULLD, (binary<U32, [](U32 a, U32 b) { return a * b; }>), 4, 0),
    ROW(VPMULLQ, (binary<U64, [](U64 a, U64 b) { return a * b; }>), 8, 0),
    ROW(VPMULHW, (binary<S16, [](S16 a, S16 b) { return (S32{a} * b >> 16); }>), 2, 0),
    ROW(VPMULHUW, (binary<U16, [](U16 a, U16 b) { return (U32{a} * b >> 16); }>), 2, 0),
    ROW(VPMULHRSW, (binary<S16, [](S16 a, S16 b) { return (((S32{a} * b >> 14) + 1) >> 1); }>), 2, 0),
    ROW(VPMULUDQ, (binary<U64, [](U64 a, U64 b) { return (a & 0xffffffff) * (b & 0xffffffff); }>), 8, 0),
    ROW(VPMULDQ, (binary<S64, [](S64 a, S64 b) { return S64{static_cast<S32>(a)} * static_cast<S32>(b); }>),
        8, 0),
    ROW(VPMADDWD, multiply_add_words, 4, kReadsAll),
    ROW(VPMADDUBSW, multiply_add_bytes, 2, kReadsAll),
    ROW(VPDPBUSD, dot_bytes<false>, 4, 0),
    ROW(VPDPBUSDS, dot_bytes<true>, 4, 0),
    ROW(VPDPWSSD, dot_words<false>, 4, 0),
    ROW(VPDPWSSDS, dot_words<true>, 4, 0),
    ROW(VPSADBW, sum_differences, 8, 0),
    ROW(VDBPSADBW, sum_shifted_differences, 2, kReadsAll),
    ROW(VPMADD52LUQ,
        (ternary<U64, [](U64 c, U64 a, U64 b) { return c + static_cast<U64>(product52(a, b) & kLow52); }>), 8,
        0),
    ROW(VPMADD52HUQ,
        (ternary<U64, [](U64 c, U64 a, U64 b) { return c + static_cast<U64>((product52(a, b) >> 52)); }>), 8,
        0),
};

}  // namespace

Rows multiply_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
