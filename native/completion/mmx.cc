// SSSE3 on MMX registers, which are x87's.
#include <type_traits>

#include "row.h"

namespace revenant::completion {
namespace {

constexpr unsigned kBytes = 8;

template <class T>
T element(U64 from, unsigned index) {
  return static_cast<T>(from >> 8 * sizeof(T) * index);
}

template <class T>
U64 placed(int value, unsigned index) {
  return static_cast<U64>(static_cast<std::make_unsigned_t<T>>(value)) << 8 * sizeof(T) * index;
}

int saturated(int value) { return value < -32768 ? -32768 : value > 32767 ? 32767 : value; }

// function(destination, source, immediate) -> destination.
template <auto function>
bool mmx(Operation& op) {
  State& state = op.state();
  if (state.x87_pending) return op.fault(Verdict::kX87Exception);
  const unsigned to = op.operand(0).reg.value - ZYDIS_REGISTER_MM0;
  U64 source;
  if (op.is_memory(1)) {
    if (!op.read(1, op.address(1), &source, kBytes)) return false;
  } else {
    source = state.mm[op.operand(1).reg.value - ZYDIS_REGISTER_MM0];
  }
  state.mm[to] = function(state.mm[to], source, op.immediate());
  state.mmx_used = true;
  state.mmx_written |= static_cast<U8>(1u << to);
  return true;
}

// Each element by function(destination's, source's).
template <class T, auto function>
U64 each(U64 a, U64 b, U8) {
  U64 result = 0;
  for (unsigned i = 0; i < kBytes / sizeof(T); i++)
    result |= placed<T>(function(element<T>(a, i), element<T>(b, i)), i);
  return result;
}

template <class T>
U64 magnitude(U64 a, U64 b, U8 immediate) {
  return each<T, [](T, T value) {
    return static_cast<int>(value < 0 ? 0 - static_cast<U32>(value) : value);
  }>(a, b, immediate);
}

template <class T>
U64 signed_by(U64 a, U64 b, U8 immediate) {
  return each<T, [](T value, T by) {
    return static_cast<int>(by < 0 ? 0 - static_cast<U32>(value) : by == 0 ? 0 : static_cast<U32>(value));
  }>(a, b, immediate);
}

// Neighbours of the destination, then of the source.
template <class T, bool subtracts, bool saturates>
U64 horizontal(U64 a, U64 b, U8) {
  constexpr unsigned half = kBytes / sizeof(T) / 2;
  U64 result = 0;
  for (unsigned i = 0; i < 2 * half; i++) {
    const U64 from = i < half ? a : b;
    const unsigned pair = 2 * (i % half);
    const auto x = static_cast<U32>(element<T>(from, pair)), y = static_cast<U32>(element<T>(from, pair + 1));
    const int sum = static_cast<int>(subtracts ? x - y : x + y);
    result |= placed<T>(saturates ? saturated(sum) : sum, i);
  }
  return result;
}

U64 shuffle(U64 a, U64 b, U8) {
  U64 result = 0;
  for (unsigned i = 0; i < kBytes; i++) {
    const U8 control = element<U8>(b, i);
    if ((control & 0x80) == 0) result |= placed<U8>(element<U8>(a, control & 7), i);
  }
  return result;
}

// The destination above the source, shifted right by bytes.
U64 align(U64 a, U64 b, U8 count) {
  if (count == 0) return b;
  if (count < kBytes) return b >> 8 * count | a << (64 - 8 * count);
  return count < 2 * kBytes ? a >> 8 * (count - kBytes) : 0;
}

U64 multiply_add(U64 a, U64 b, U8) {
  U64 result = 0;
  for (unsigned i = 0; i < 4; i++) {
    const int low = element<U8>(a, 2 * i) * element<S8>(b, 2 * i);
    const int high = element<U8>(a, 2 * i + 1) * element<S8>(b, 2 * i + 1);
    result |= placed<U16>(saturated(low + high), i);
  }
  return result;
}

#define ROW(name, function) \
  { ZYDIS_MNEMONIC_##name, mmx<function>, kBytes, 0 }
constexpr Row rows[] = {
    ROW(PABSB, magnitude<S8>),
    ROW(PABSW, magnitude<S16>),
    ROW(PABSD, magnitude<S32>),
    ROW(PSIGNB, signed_by<S8>),
    ROW(PSIGNW, signed_by<S16>),
    ROW(PSIGND, signed_by<S32>),
    ROW(PHADDW, (horizontal<S16, false, false>)),
    ROW(PHADDD, (horizontal<S32, false, false>)),
    ROW(PHADDSW, (horizontal<S16, false, true>)),
    ROW(PHSUBW, (horizontal<S16, true, false>)),
    ROW(PHSUBD, (horizontal<S32, true, false>)),
    ROW(PHSUBSW, (horizontal<S16, true, true>)),
    ROW(PSHUFB, shuffle),
    ROW(PALIGNR, align),
    ROW(PMADDUBSW, multiply_add),
    ROW(PMULHRSW, (each<S16, [](S16 a, S16 b) { return (((a * b >> 14) + 1) >> 1); }>)),
};

}  // namespace

Rows mmx_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
