// Widening, narrowing and packing of integers.
#include <type_traits>

#include "elementwise.h"

namespace revenant::completion {
namespace {

// VPMOVSX, VPMOVZX: T to the wider D.
template <class T, class D>
bool widen(Operation& op) {
  Vector a, result;
  if (!op.load(1, a, sizeof(T))) return false;
  for (unsigned i = 0; i < op.length() / sizeof(D); i++) result.set<D>(i, static_cast<D>(a.get<T>(i)));
  return op.finish(result);
}

template <class T>
struct Range {
  static constexpr T low = std::is_signed_v<T> ? static_cast<T>(T{1} << (8 * sizeof(T) - 1)) : T{0};
  static constexpr T high = static_cast<T>(~low);
};

// The nearest number that D has.
template <class D, class T>
D saturated(T value) {
  if constexpr (std::is_signed_v<T>)
    if (value < static_cast<T>(Range<D>::low)) return Range<D>::low;
  return value > static_cast<T>(Range<D>::high) ? Range<D>::high : static_cast<D>(value);
}

// VPMOVxx: T to the narrower D, truncated or saturated; the row's width is that of T.
template <class T, class D, bool saturates>
bool narrow(Operation& op) {
  Vector a, result;
  if (!op.load(1, a)) return false;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++)
    result.set<D>(i, saturates ? saturated<D>(a.get<T>(i)) : static_cast<D>(a.get<T>(i)));
  return op.finish(result, op.count() * unsigned{sizeof(D)}, sizeof(D));
}

// VPACKxx: lanes of T from both sources to the narrower D, saturated.
template <class T, class D>
bool pack(Operation& op) {
  return lanes<D, [](Vector& result, const Vector& a, const Vector& b, unsigned base, Operation&) {
    constexpr unsigned count = 16 / sizeof(T);
    for (unsigned i = 0; i < count; i++) {
      result.set<D>(base + i, saturated<D>(a.get<T>(base / 2 + i)));
      result.set<D>(base + count + i, saturated<D>(b.get<T>(base / 2 + i)));
    }
  }>(op);
}

#define ROW(name, function, width, flags) \
  { ZYDIS_MNEMONIC_##name, function, width, flags }
#define WIDEN(suffix, from, to)                             \
  ROW(VPMOVSX##suffix, (widen<S##from, S##to>), to / 8, 0), \
      ROW(VPMOVZX##suffix, (widen<U##from, U##to>), to / 8, 0)
#define NARROW(suffix, from, to)                                        \
  ROW(VPMOV##suffix, (narrow<U##from, U##to, false>), from / 8, 0),     \
      ROW(VPMOVS##suffix, (narrow<S##from, S##to, true>), from / 8, 0), \
      ROW(VPMOVUS##suffix, (narrow<U##from, U##to, true>), from / 8, 0)
constexpr Row rows[] = {
    WIDEN(BW, 8, 16),
    WIDEN(BD, 8, 32),
    WIDEN(BQ, 8, 64),
    WIDEN(WD, 16, 32),
    WIDEN(WQ, 16, 64),
    WIDEN(DQ, 32, 64),
    NARROW(WB, 16, 8),
    NARROW(DB, 32, 8),
    NARROW(DW, 32, 16),
    NARROW(QB, 64, 8),
    NARROW(QW, 64, 16),
    NARROW(QD, 64, 32),
    ROW(VPACKSSWB, (pack<S16, S8>), 1, kReadsAll),
    ROW(VPACKUSWB, (pack<S16, U8>), 1, kReadsAll),
    ROW(VPACKSSDW, (pack<S32, S16>), 2, kReadsAll),
    ROW(VPACKUSDW, (pack<S32, U16>), 2, kReadsAll),
};

}  // namespace

Rows narrow_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
