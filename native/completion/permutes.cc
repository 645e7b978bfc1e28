// Permutations, shuffles, unpacking, alignment, expansion and compression within registers.
#include "elementwise.h"

namespace revenant::completion {
namespace {

// Elements of the second source chosen by the indices in the first.
template <class T>
bool permute(Operation& op) {
  return whole<[](Vector& result, const Vector& indices, const Vector& table, Operation& o) {
    const unsigned count = o.length() / sizeof(T);
    for (unsigned i = 0; i < count; i++)
      result.set<T>(i, table.get<T>(static_cast<unsigned>(indices.get<T>(i) & (count - 1))));
  }>(op);
}

// VPERMQ and VPERMPD with an immediate: within 256 bits.
bool permute_quarters(Operation& op) {
  return whole_unary<[](Vector& result, const Vector& a, Operation& o) {
    for (unsigned i = 0; i < o.length() / 8; i++)
      result.set<std::uint64_t>(i, a.get<std::uint64_t>((i & 4) + (o.immediate() >> (i & 3) * 2 & 3)));
  }>(op);
}

bool permute_quads(Operation& op) {
  return op.operands() == 3 ? permute<std::uint64_t>(op) : permute_quarters(op);
}

// Two tables: VPERMI2x (the destination has the indices) and VPERMT2x (the destination is the first table).
template <class T, bool indices_in_destination>
bool permute_two(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const Vector old = op.old();
  const Vector& indices = indices_in_destination ? old : a;
  const Vector& table = indices_in_destination ? a : old;
  const unsigned count = op.length() / sizeof(T);
  Vector result;
  for (unsigned i = 0; i < count; i++) {
    const auto index = static_cast<unsigned>(indices.get<T>(i) & (2 * count - 1));
    result.set<T>(i, index < count ? table.get<T>(index) : b.get<T>(index - count));
  }
  return op.finish(result);
}

// VPERMILPS, VPERMILPD: within lanes, by an immediate or by a vector.
bool permute_singles(Operation& op) {
  if (op.operands() == 3) {
    return lanes<std::uint32_t,
                 [](Vector& result, const Vector& a, const Vector& b, unsigned base, Operation&) {
                   for (unsigned i = 0; i < 4; i++)
                     result.set<std::uint32_t>(
                         base + i, a.get<std::uint32_t>(base + (b.get<std::uint32_t>(base + i) & 3)));
                 }>(op);
  }
  return whole_unary<[](Vector& result, const Vector& a, Operation& o) {
    for (unsigned i = 0; i < o.length() / 4; i++)
      result.set<std::uint32_t>(i, a.get<std::uint32_t>((i & ~3u) + (o.immediate() >> (i & 3) * 2 & 3)));
  }>(op);
}

bool permute_doubles(Operation& op) {
  if (op.operands() == 3) {
    return lanes<std::uint64_t,
                 [](Vector& result, const Vector& a, const Vector& b, unsigned base, Operation&) {
                   for (unsigned i = 0; i < 2; i++)
                     result.set<std::uint64_t>(
                         base + i, a.get<std::uint64_t>(base + (b.get<std::uint64_t>(base + i) >> 1 & 1)));
                 }>(op);
  }
  return whole_unary<[](Vector& result, const Vector& a, Operation& o) {
    for (unsigned i = 0; i < o.length() / 8; i++)
      result.set<std::uint64_t>(i, a.get<std::uint64_t>((i & ~1u) + (o.immediate() >> i & 1)));
  }>(op);
}

bool shuffle_bytes(Operation& op) {
  return lanes<std::uint8_t, [](Vector& result, const Vector& a, const Vector& b, unsigned base, Operation&) {
    for (unsigned i = 0; i < 16; i++) {
      const unsigned index = b.bytes[base + i];
      result.bytes[base + i] = index & 0x80 ? 0 : a.bytes[base + (index & 15)];
    }
  }>(op);
}

// VPSHUFLW and VPSHUFHW: four words of each lane, the others as they are.
template <unsigned first>
bool shuffle_words(Operation& op) {
  return whole_unary<[](Vector& result, const Vector& a, Operation& o) {
    result = a;
    for (unsigned base = first; base < o.length() / 2; base += 8)
      for (unsigned i = 0; i < 4; i++)
        result.set<std::uint16_t>(base + i, a.get<std::uint16_t>(base + (o.immediate() >> i * 2 & 3)));
  }>(op);
}

bool shuffle_singles(Operation& op) {
  return lanes<std::uint32_t,
               [](Vector& result, const Vector& a, const Vector& b, unsigned base, Operation& o) {
                 for (unsigned i = 0; i < 4; i++)
                   result.set<std::uint32_t>(
                       base + i, (i < 2 ? a : b).get<std::uint32_t>(base + (o.immediate() >> i * 2 & 3)));
               }>(op);
}

bool shuffle_doubles(Operation& op) {
  return lanes<std::uint64_t, [](Vector& result, const Vector& a, const Vector& b, unsigned base,
                                 Operation& o) {
    for (unsigned i = 0; i < 2; i++)
      result.set<std::uint64_t>(base + i,
                                (i < 1 ? a : b).get<std::uint64_t>(base + (o.immediate() >> (base + i) & 1)));
  }>(op);
}

// VSHUFF32X4 and kin: lanes, the lower half from the first source.
bool shuffle_lanes(Operation& op) {
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    const unsigned count = o.length() / 16, bits = count / 2;
    for (unsigned i = 0; i < count; i++) {
      const unsigned from = (o.immediate() >> i * bits) & (count - 1);
      std::memcpy(result.bytes + 16 * i, (i < count / 2 ? a : b).bytes + 16 * from, 16);
    }
  }>(op);
}

// The lower (0) or upper (1) halves of lanes, elements in turn.
template <class T, unsigned half>
bool unpack(Operation& op) {
  return lanes<T, [](Vector& result, const Vector& a, const Vector& b, unsigned base, Operation&) {
    constexpr unsigned count = 16 / sizeof(T);
    for (unsigned i = 0; i < count; i++)
      result.set<T>(base + i, (i & 1 ? b : a).template get<T>(base + half * count / 2 + i / 2));
  }>(op);
}

// VALIGND, VALIGNQ: across the whole vectors.
template <class T>
bool align(Operation& op) {
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    const unsigned count = o.length() / sizeof(T), shift = o.immediate() & (count - 1);
    for (unsigned i = 0; i < count; i++)
      result.set<T>(i, i + shift < count ? b.get<T>(i + shift) : a.get<T>(i + shift - count));
  }>(op);
}

// VPALIGNR: bytes within lanes.
bool align_bytes(Operation& op) {
  return lanes<std::uint8_t, [](Vector& result, const Vector& a, const Vector& b, unsigned base,
                                Operation& o) {
    for (unsigned i = 0; i < 16; i++) {
      const unsigned from = i + o.immediate();
      result.bytes[base + i] = from < 16 ? b.bytes[base + from] : from < 32 ? a.bytes[base + from - 16] : 0;
    }
  }>(op);
}

// VPSLLDQ (up) and VPSRLDQ: whole lanes by bytes.
template <bool up>
bool shift_bytes(Operation& op) {
  return whole_unary<[](Vector& result, const Vector& a, Operation& o) {
    for (unsigned i = 0; i < o.length(); i++) {
      const unsigned at = i & 15, shift = o.immediate();
      const bool inside = up ? at >= shift : at + shift < 16;
      result.bytes[i] = inside ? a.bytes[up ? i - shift : i + shift] : 0;
    }
  }>(op);
}

#define ROW(name, function, width, flags) \
  { ZYDIS_MNEMONIC_##name, function, width, flags }
constexpr Row rows[] = {
    ROW(VPERMB, permute<std::uint8_t>, 1, kReadsAll),
    ROW(VPERMW, permute<std::uint16_t>, 2, kReadsAll),
    ROW(VPERMD, permute<std::uint32_t>, 4, kReadsAll),
    ROW(VPERMPS, permute<std::uint32_t>, 4, kReadsAll),
    ROW(VPERMQ, permute_quads, 8, kReadsAll),
    ROW(VPERMPD, permute_quads, 8, kReadsAll),
    ROW(VPERMI2B, (permute_two<std::uint8_t, true>), 1, kReadsAll),
    ROW(VPERMI2W, (permute_two<std::uint16_t, true>), 2, kReadsAll),
    ROW(VPERMI2D, (permute_two<std::uint32_t, true>), 4, kReadsAll),
    ROW(VPERMI2Q, (permute_two<std::uint64_t, true>), 8, kReadsAll),
    ROW(VPERMI2PS, (permute_two<std::uint32_t, true>), 4, kReadsAll),
    ROW(VPERMI2PD, (permute_two<std::uint64_t, true>), 8, kReadsAll),
    ROW(VPERMT2B, (permute_two<std::uint8_t, false>), 1, kReadsAll),
    ROW(VPERMT2W, (permute_two<std::uint16_t, false>), 2, kReadsAll),
    ROW(VPERMT2D, (permute_two<std::uint32_t, false>), 4, kReadsAll),
    ROW(VPERMT2Q, (permute_two<std::uint64_t, false>), 8, kReadsAll),
    ROW(VPERMT2PS, (permute_two<std::uint32_t, false>), 4, kReadsAll),
    ROW(VPERMT2PD, (permute_two<std::uint64_t, false>), 8, kReadsAll),
    ROW(VPERMILPS, permute_singles, 4, kReadsAll),
    ROW(VPERMILPD, permute_doubles, 8, kReadsAll),
    ROW(VPSHUFB, shuffle_bytes, 1, kReadsAll),
    ROW(VPSHUFD, permute_singles, 4, kReadsAll),
    ROW(VPSHUFLW, shuffle_words<0>, 2, kReadsAll),
    ROW(VPSHUFHW, shuffle_words<4>, 2, kReadsAll),
    ROW(VSHUFPS, shuffle_singles, 4, kReadsAll),
    ROW(VSHUFPD, shuffle_doubles, 8, kReadsAll),
    ROW(VSHUFF32X4, shuffle_lanes, 4, kReadsAll),
    ROW(VSHUFI32X4, shuffle_lanes, 4, kReadsAll),
    ROW(VSHUFF64X2, shuffle_lanes, 8, kReadsAll),
    ROW(VSHUFI64X2, shuffle_lanes, 8, kReadsAll),
    ROW(VPUNPCKLBW, (unpack<std::uint8_t, 0>), 1, kReadsAll),
    ROW(VPUNPCKLWD, (unpack<std::uint16_t, 0>), 2, kReadsAll),
    ROW(VPUNPCKLDQ, (unpack<std::uint32_t, 0>), 4, kReadsAll),
    ROW(VPUNPCKLQDQ, (unpack<std::uint64_t, 0>), 8, kReadsAll),
    ROW(VPUNPCKHBW, (unpack<std::uint8_t, 1>), 1, kReadsAll),
    ROW(VPUNPCKHWD, (unpack<std::uint16_t, 1>), 2, kReadsAll),
    ROW(VPUNPCKHDQ, (unpack<std::uint32_t, 1>), 4, kReadsAll),
    ROW(VPUNPCKHQDQ, (unpack<std::uint64_t, 1>), 8, kReadsAll),
    ROW(VUNPCKLPS, (unpack<std::uint32_t, 0>), 4, kReadsAll),
    ROW(VUNPCKLPD, (unpack<std::uint64_t, 0>), 8, kReadsAll),
    ROW(VUNPCKHPS, (unpack<std::uint32_t, 1>), 4, kReadsAll),
    ROW(VUNPCKHPD, (unpack<std::uint64_t, 1>), 8, kReadsAll),
    ROW(VALIGND, align<std::uint32_t>, 4, kReadsAll),
    ROW(VALIGNQ, align<std::uint64_t>, 8, kReadsAll),
    ROW(VPALIGNR, align_bytes, 1, kReadsAll),
    ROW(VPSLLDQ, shift_bytes<true>, 1, kReadsAll),
    ROW(VPSRLDQ, shift_bytes<false>, 1, kReadsAll),
};

}  // namespace

Rows permute_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
