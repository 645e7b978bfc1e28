// AES rounds, carry-less products and GF(2^8).
#include "elementwise.h"

namespace revenant::completion {
namespace {

// The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
constexpr U8 product(U8 a, U8 b) {
  unsigned result = 0, shifted = a;
  for (unsigned i = 0; i < 8; i++) {
    if (b >> i & 1) result ^= shifted;
    shifted = shifted << 1 ^ (shifted & 0x80 ? 0x11b : 0);
  }
  return static_cast<U8>(result);
}

struct Tables {
  U8 inverse[256];
  U8 box[256];
  U8 inverse_box[256];
};

constexpr Tables make_tables() {
  Tables tables = {};
  for (unsigned a = 1; a < 256; a++) {
    if (tables.inverse[a] != 0) continue;
    for (unsigned b = 1; b < 256; b++) {
      if (product(static_cast<U8>(a), static_cast<U8>(b)) != 1) continue;
      tables.inverse[a] = static_cast<U8>(b);
      tables.inverse[b] = static_cast<U8>(a);
      break;
    }
  }
  // FIPS 197, 5.1.1.
  for (unsigned a = 0; a < 256; a++) {
    const unsigned x = tables.inverse[a];
    const unsigned doubled = x | x << 8;
    const auto value = static_cast<U8>(x ^ doubled >> 4 ^ doubled >> 5 ^ doubled >> 6 ^ doubled >> 7 ^ 0x63);
    tables.box[a] = value;
    tables.inverse_box[value] = static_cast<U8>(a);
  }
  return tables;
}

constexpr Tables kTables = make_tables();

template <bool decrypts, bool last>
bool round(Operation& op) {
  return lanes<U8, [](Vector& result, const Vector& a, const Vector& b, unsigned base, Operation&) {
    U8 state[16];
    for (unsigned i = 0; i < 16; i++) {
      // ShiftRows: row i % 4 moves by as many columns.
      const unsigned from = (decrypts ? i - 4 * (i & 3) : i + 4 * (i & 3)) & 15;
      const U8 byte = a.bytes[base + from];
      state[i] = decrypts ? kTables.inverse_box[byte] : kTables.box[byte];
    }
    for (unsigned i = 0; i < 16; i++) {
      unsigned mixed = state[i];
      if (!last) {
        constexpr U8 factors[2][4] = {{2, 3, 1, 1}, {14, 11, 13, 9}};
        mixed = 0;
        for (unsigned j = 0; j < 4; j++)
          mixed ^= product(state[(i & 12) + ((i + j) & 3)], factors[decrypts][j]);
      }
      result.bytes[base + i] = static_cast<U8>(mixed ^ b.bytes[base + i]);
    }
  }>(op);
}

// InvMixColumns of the source.
bool inverse_columns(Operation& op) {
  return whole_unary<[](Vector& result, const Vector& a, Operation&) {
    constexpr U8 factors[4] = {14, 11, 13, 9};
    for (unsigned i = 0; i < 16; i++) {
      unsigned mixed = 0;
      for (unsigned j = 0; j < 4; j++) mixed ^= product(a.bytes[(i & 12) + ((i + j) & 3)], factors[j]);
      result.bytes[i] = static_cast<U8>(mixed);
    }
  }>(op);
}

// VAESKEYGENASSIST: SubWord of dwords 1 and 3, and that rotated, with the round's constant.
bool assist_key(Operation& op) {
  return whole_unary<[](Vector& result, const Vector& a, Operation& o) {
    for (unsigned i = 0; i < 2; i++) {
      std::uint32_t word = 0;
      for (unsigned j = 0; j < 4; j++) word |= std::uint32_t{kTables.box[a.bytes[8 * i + 4 + j]]} << 8 * j;
      result.set<std::uint32_t>(2 * i, word);
      result.set<std::uint32_t>(2 * i + 1, ((word >> 8) | word << 24) ^ o.immediate());
    }
  }>(op);
}

bool carryless_product(Operation& op) {
  return lanes<U64, [](Vector& result, const Vector& a, const Vector& b, unsigned base, Operation& o) {
    const U64 x = a.get<U64>(base + (o.immediate() & 1)), y = b.get<U64>(base + (o.immediate() >> 4 & 1));
    U64 low = 0, high = 0;
    for (unsigned i = 0; i < 64; i++) {
      if ((y >> i & 1) == 0) continue;
      low ^= x << i;
      if (i != 0) high ^= (x >> (64 - i));
    }
    result.set<U64>(base, low);
    result.set<U64>(base + 1, high);
  }>(op);
}

// Each byte by the 8x8 matrix of bits in the second source's qword, plus the immediate.
template <bool inverts>
bool affine(Operation& op) {
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    for (unsigned i = 0; i < o.length(); i++) {
      const U8 x = inverts ? kTables.inverse[a.bytes[i]] : a.bytes[i];
      unsigned bits = 0;
      for (unsigned j = 0; j < 8; j++)
        bits |= static_cast<unsigned>(__builtin_parity(b.bytes[(i & ~7u) + 7 - j] & x)) << j;
      result.bytes[i] = static_cast<U8>(bits ^ o.immediate());
    }
  }>(op);
}

#define ROW(name, function, width, flags) \
  { ZYDIS_MNEMONIC_##name, function, width, flags }
constexpr Row rows[] = {
    ROW(VAESENC, (round<false, false>), 1, kReadsAll),
    ROW(VAESENCLAST, (round<false, true>), 1, kReadsAll),
    ROW(VAESDEC, (round<true, false>), 1, kReadsAll),
    ROW(VAESDECLAST, (round<true, true>), 1, kReadsAll),
    ROW(VAESIMC, inverse_columns, 1, 0),
    ROW(VAESKEYGENASSIST, assist_key, 1, 0),
    ROW(VPCLMULQDQ, carryless_product, 8, kReadsAll),
    ROW(VGF2P8MULB, (binary<U8, product>), 1, 0),
    ROW(VGF2P8AFFINEQB, affine<false>, 1, kReadsAll),
    ROW(VGF2P8AFFINEINVQB, affine<true>, 1, kReadsAll),
};

}  // namespace

Rows cipher_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
