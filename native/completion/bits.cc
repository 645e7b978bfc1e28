// Counting bits, conflicts, and moving between vectors and masks.
#include <bit>

#include "elementwise.h"

namespace revenant::completion {
namespace {

template <class T>
constexpr bool (*population)(Operation&) = unary<T, [](T a) { return std::popcount(a); }>;
template <class T>
constexpr bool (*leading_zeros)(Operation&) = unary<T, [](T a) { return std::countl_zero(a); }>;

// Which elements before it are equal to each.
template <class T>
bool conflict(Operation& op) {
  return whole_unary<[](Vector& result, const Vector& a, Operation& o) {
    for (unsigned i = 0; i < o.length() / sizeof(T); i++) {
      T equal = 0;
      for (unsigned j = 0; j < i; j++)
        if (a.get<T>(j) == a.get<T>(i)) equal |= T{1} << j;
      result.set<T>(i, equal);
    }
  }>(op);
}

// VPSHUFBITQMB: bits of the first source's qwords, chosen by bytes of the second.
bool gather_bits(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  U64 bits = 0;
  for (unsigned i = 0; i < op.length(); i++) bits |= (a.get<U64>(i / 8) >> (b.bytes[i] & 63) & 1) << i;
  return op.finish_mask(bits);
}

template <class T>
bool signs_to_mask(Operation& op) {
  Vector a;
  if (!op.load(1, a)) return false;
  U64 bits = 0;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++) bits |= U64{a.get<T>(i)} >> (8 * sizeof(T) - 1) << i;
  return op.finish_mask(bits);
}

template <class T>
bool mask_to_elements(Operation& op) {
  const U64 bits = op.mask_register(1);
  Vector result;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++)
    result.set<T>(i, static_cast<T>(0 - (bits >> i & 1)));
  return op.finish(result);
}

// VPBROADCASTMB2Q, VPBROADCASTMW2D: the mask itself, zero-extended.
template <class T, U64 kept>
bool broadcast_mask(Operation& op) {
  const U64 bits = op.mask_register(1) & kept;
  Vector result;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++) result.set<T>(i, static_cast<T>(bits));
  return op.finish(result);
}

#define ROW(name, function, width, flags) \
  { ZYDIS_MNEMONIC_##name, function, width, flags }
constexpr Row rows[] = {
    ROW(VPOPCNTB, population<U8>, 1, 0),
    ROW(VPOPCNTW, population<U16>, 2, 0),
    ROW(VPOPCNTD, population<U32>, 4, 0),
    ROW(VPOPCNTQ, population<U64>, 8, 0),
    ROW(VPLZCNTD, leading_zeros<U32>, 4, 0),
    ROW(VPLZCNTQ, leading_zeros<U64>, 8, 0),
    ROW(VPCONFLICTD, conflict<U32>, 4, kReadsAll),
    ROW(VPCONFLICTQ, conflict<U64>, 8, kReadsAll),
    ROW(VPSHUFBITQMB, gather_bits, 1, 0),
    ROW(VPMOVB2M, signs_to_mask<U8>, 1, 0),
    ROW(VPMOVW2M, signs_to_mask<U16>, 2, 0),
    ROW(VPMOVD2M, signs_to_mask<U32>, 4, 0),
    ROW(VPMOVQ2M, signs_to_mask<U64>, 8, 0),
    ROW(VPMOVM2B, mask_to_elements<U8>, 1, 0),
    ROW(VPMOVM2W, mask_to_elements<U16>, 2, 0),
    ROW(VPMOVM2D, mask_to_elements<U32>, 4, 0),
    ROW(VPMOVM2Q, mask_to_elements<U64>, 8, 0),
    ROW(VPBROADCASTMB2Q, (broadcast_mask<U64, 0xff>), 8, 0),
    ROW(VPBROADCASTMW2D, (broadcast_mask<U32, 0xffff>), 4, 0),
};

}  // namespace

Rows bit_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
