// Integer comparisons and tests whose result is a mask.
#include "elementwise.h"

namespace revenant::completion {
namespace {

// By the immediate's predicate.
template <class T>
bool compare(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const unsigned predicate = op.immediate() & 7;
  std::uint64_t bits = 0;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++) {
    const T x = a.get<T>(i), y = b.get<T>(i);
    const unsigned base = predicate & 3;
    const bool holds = base == 0 ? x == y : base == 1 ? x < y : base == 2 ? x <= y : false;
    if (holds != ((predicate & 4) != 0)) bits |= 1ull << i;
  }
  return op.finish_mask(bits);
}

template <class T>
constexpr bool (*equal)(Operation&) = test<T, [](T a, T b) { return a == b; }>;
template <class T>
constexpr bool (*greater)(Operation&) = test<T, [](T a, T b) { return (a > b); }>;
template <class T>
constexpr bool (*any_bit)(Operation&) = test<T, [](T a, T b) { return (a & b) != 0; }>;
template <class T>
constexpr bool (*no_bit)(Operation&) = test<T, [](T a, T b) { return (a & b) == 0; }>;

// VP2INTERSECTD/Q: which elements of each source the other one has, to an even mask register and the next.
template <class T>
bool intersect(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  std::uint64_t in_a = 0, in_b = 0;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++) {
    for (unsigned j = 0; j < op.length() / sizeof(T); j++) {
      if (a.get<T>(i) != b.get<T>(j)) continue;
      in_a |= 1ull << i;
      in_b |= 1ull << j;
    }
  }
  const unsigned first = op.number(0) & ~1u;
  op.state().k[first] = in_a;
  op.state().k[first + 1] = in_b;
  return true;
}

#define ROW(name, function, width) \
  { ZYDIS_MNEMONIC_##name, function, width, 0 }
#define FOUR(name, function, suffix)                                                         \
  ROW(name##B, function<std::suffix##8_t>, 1), ROW(name##W, function<std::suffix##16_t>, 2), \
      ROW(name##D, function<std::suffix##32_t>, 4), ROW(name##Q, function<std::suffix##64_t>, 8)
constexpr Row rows[] = {
    FOUR(VPCMP, compare, int),
    FOUR(VPCMPU, compare, uint),
    FOUR(VPCMPEQ, equal, uint),
    FOUR(VPCMPGT, greater, int),
    FOUR(VPTESTM, any_bit, uint),
    FOUR(VPTESTNM, no_bit, uint),
    ROW(VP2INTERSECTD, intersect<std::uint32_t>, 4),
    ROW(VP2INTERSECTQ, intersect<std::uint64_t>, 8),
};

}  // namespace

Rows compare_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
