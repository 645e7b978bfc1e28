// Integer arithmetic element by element, minima and maxima, logic.
#include "elementwise.h"

namespace revenant::completion {
namespace {

template <class T>
constexpr int clamp(int value) {
  constexpr int low = static_cast<T>(-1) < 0 ? -(1 << (8 * sizeof(T) - 1)) : 0;
  constexpr int high = low + (1 << 8 * sizeof(T)) - 1;
  return value < low ? low : value > high ? high : value;
}

template <class T>
constexpr bool (*add)(Operation&) = binary<T, [](T a, T b) { return a + b; }>;
template <class T>
constexpr bool (*subtract)(Operation&) = binary<T, [](T a, T b) { return a - b; }>;
template <class T>
constexpr bool (*add_saturated)(Operation&) = binary<T, [](T a, T b) { return clamp<T>(a + b); }>;
template <class T>
constexpr bool (*subtract_saturated)(Operation&) = binary<T, [](T a, T b) { return clamp<T>(a - b); }>;
template <class T>
constexpr bool (*average)(Operation&) = binary<T, [](T a, T b) { return ((a + b + 1) >> 1); }>;
template <class T>
constexpr bool (*least)(Operation&) = binary<T, [](T a, T b) { return a < b ? a : b; }>;
template <class T>
constexpr bool (*greatest)(Operation&) = binary<T, [](T a, T b) { return (a > b ? a : b); }>;
// Of the unsigned type, so that the least number stays as it is.
template <class T>
constexpr bool (*absolute)(Operation&) =
    unary<T, [](T a) { return (a >> (8 * sizeof(T) - 1) ? T(0) - a : a); }>;
template <class T>
constexpr bool (*both)(Operation&) = binary<T, [](T a, T b) { return a & b; }>;
template <class T>
constexpr bool (*but_not)(Operation&) = binary<T, [](T a, T b) { return ~a & b; }>;
template <class T>
constexpr bool (*either)(Operation&) = binary<T, [](T a, T b) { return a | b; }>;
template <class T>
constexpr bool (*differing)(Operation&) = binary<T, [](T a, T b) { return a ^ b; }>;

// Any function of three bits, by its table in the immediate.
template <class T>
bool ternary_logic(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const Vector& old = op.old();
  const unsigned table = op.immediate();
  Vector result;
  for (unsigned i = 0; i < op.length() / 8; i++) {
    const U64 x = old.get<U64>(i), y = a.get<U64>(i), z = b.get<U64>(i);
    U64 bits = 0;
    for (unsigned row = 0; row < 8; row++)
      if (table >> row & 1) bits |= (row & 4 ? x : ~x) & (row & 2 ? y : ~y) & (row & 1 ? z : ~z);
    result.set<U64>(i, bits);
  }
  return op.finish(result);
}

#define ROW(name, function, width) \
  { ZYDIS_MNEMONIC_##name, function, width, 0 }
constexpr Row rows[] = {
    ROW(VPADDB, add<U8>, 1),
    ROW(VPADDW, add<U16>, 2),
    ROW(VPADDD, add<U32>, 4),
    ROW(VPADDQ, add<U64>, 8),
    ROW(VPSUBB, subtract<U8>, 1),
    ROW(VPSUBW, subtract<U16>, 2),
    ROW(VPSUBD, subtract<U32>, 4),
    ROW(VPSUBQ, subtract<U64>, 8),
    ROW(VPADDSB, add_saturated<S8>, 1),
    ROW(VPADDSW, add_saturated<S16>, 2),
    ROW(VPADDUSB, add_saturated<U8>, 1),
    ROW(VPADDUSW, add_saturated<U16>, 2),
    ROW(VPSUBSB, subtract_saturated<S8>, 1),
    ROW(VPSUBSW, subtract_saturated<S16>, 2),
    ROW(VPSUBUSB, subtract_saturated<U8>, 1),
    ROW(VPSUBUSW, subtract_saturated<U16>, 2),
    ROW(VPAVGB, average<U8>, 1),
    ROW(VPAVGW, average<U16>, 2),
    ROW(VPMINSB, least<S8>, 1),
    ROW(VPMINSW, least<S16>, 2),
    ROW(VPMINSD, least<S32>, 4),
    ROW(VPMINSQ, least<S64>, 8),
    ROW(VPMINUB, least<U8>, 1),
    ROW(VPMINUW, least<U16>, 2),
    ROW(VPMINUD, least<U32>, 4),
    ROW(VPMINUQ, least<U64>, 8),
    ROW(VPMAXSB, greatest<S8>, 1),
    ROW(VPMAXSW, greatest<S16>, 2),
    ROW(VPMAXSD, greatest<S32>, 4),
    ROW(VPMAXSQ, greatest<S64>, 8),
    ROW(VPMAXUB, greatest<U8>, 1),
    ROW(VPMAXUW, greatest<U16>, 2),
    ROW(VPMAXUD, greatest<U32>, 4),
    ROW(VPMAXUQ, greatest<U64>, 8),
    ROW(VPABSB, absolute<U8>, 1),
    ROW(VPABSW, absolute<U16>, 2),
    ROW(VPABSD, absolute<U32>, 4),
    ROW(VPABSQ, absolute<U64>, 8),
    ROW(VPANDD, both<U32>, 4),
    ROW(VPANDQ, both<U64>, 8),
    ROW(VANDPS, both<U32>, 4),
    ROW(VANDPD, both<U64>, 8),
    ROW(VPANDND, but_not<U32>, 4),
    ROW(VPANDNQ, but_not<U64>, 8),
    ROW(VANDNPS, but_not<U32>, 4),
    ROW(VANDNPD, but_not<U64>, 8),
    ROW(VPORD, either<U32>, 4),
    ROW(VPORQ, either<U64>, 8),
    ROW(VORPS, either<U32>, 4),
    ROW(VORPD, either<U64>, 8),
    ROW(VPXORD, differing<U32>, 4),
    ROW(VPXORQ, differing<U64>, 8),
    ROW(VXORPS, differing<U32>, 4),
    ROW(VXORPD, differing<U64>, 8),
    ROW(VPTERNLOGD, ternary_logic<U32>, 4),
    ROW(VPTERNLOGQ, ternary_logic<U64>, 8),
};

}  // namespace

Rows integer_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
