#include "sample.h"

namespace revenant::completion_test {
namespace {

using completion::State;

constexpr std::uint32_t kSingles[] = {
    0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001,
    0x7f800001, 0xffa00000, 0x00000001, 0x80000001, 0x007fffff, 0x807fffff, 0x00800000, 0x80800000,
    0x00800001, 0x7f7fffff, 0xff7fffff, 0x3f000000, 0xbf000000, 0x3fc00000, 0x40200000, 0xc0200000,
    0x4f000000, 0xcf000000, 0x4effffff, 0x4f800000, 0x5f000000, 0xdf000000, 0x5f800000, 0x33800000,
    0x38800000, 0x387fe000, 0x477fe000, 0x477ff000, 0x47800000, 0x33000000, 0x3f7fffff, 0x3f800001,
    0x1f800000, 0x20000000, 0x42fe0000, 0xc2fc0000, 0xc3150000, 0x4b000000, 0x4b7fffff, 0x7f000000,
    0x01000000, 0x3f810000, 0x3f808000, 0x3f818000};
constexpr std::uint64_t kDoubles[] = {
    0x0000000000000000, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000,
    0xfff0000000000000, 0x7ff8000000000000, 0xfff8000000000001, 0x7ff0000000000001, 0xfff4000000000000,
    0x0000000000000001, 0x8000000000000001, 0x000fffffffffffff, 0x800fffffffffffff, 0x0010000000000000,
    0x8010000000000000, 0x0010000000000001, 0x7fefffffffffffff, 0xffefffffffffffff, 0x3fe0000000000000,
    0xbfe0000000000000, 0x3ff8000000000000, 0x4004000000000000, 0xc004000000000000, 0x41e0000000000000,
    0xc1e0000000000000, 0x41dfffffffc00000, 0x41efffffffe00000, 0x41f0000000000000, 0x43e0000000000000,
    0xc3e0000000000000, 0x43dfffffffffffff, 0x43f0000000000000, 0x43efffffffffffff, 0x36a0000000000000,
    0x3810000000000000, 0x380fffffffffffff, 0x47efffffe0000000, 0x47effffff0000000, 0x47f0000000000000,
    0x3690000000000000, 0x3fefffffffffffff, 0x3ff0000000000001, 0x408ff00000000000, 0xc08ff80000000000,
    0x4330000000000000, 0x433fffffffffffff, 0x7fe0000000000000, 0x0020000000000000, 0xc1e0000000100000};
constexpr std::uint16_t kHalves[] = {0x0000, 0x8000, 0x3c00, 0xbc00, 0x7c00, 0xfc00, 0x7e00, 0xfe01, 0x7c01,
                                     0xfd00, 0x0001, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x8400, 0x0401, 0x7bff,
                                     0xfbff, 0x3800, 0xb800, 0x3e00, 0x4100, 0xc100, 0x3bff, 0x3c01, 0x7800,
                                     0x6400, 0x67ff, 0x7f80, 0x3f80, 0xff80, 0x0080, 0x7f81, 0x7fff, 0xffff};

template <class T, std::size_t n>
T one_of(const T (&values)[n], Random& random) {
  return values[random.below(n)];
}

// A number in the middle of the exponents' range, so that sums of two of them overlap.
std::uint32_t near_single(Random& random) {
  const std::uint64_t r = random.next();
  return static_cast<std::uint32_t>((r & 0x807fffff) | (127 - 16 + (r >> 32) % 33) << 23);
}

std::uint64_t near_double(Random& random) {
  const std::uint64_t r = random.next();
  return (r & 0x800fffffffffffff) | (1023 - 32 + random.below(65) + 0ull) << 52;
}

std::uint16_t near_half(Random& random) {
  const std::uint64_t r = random.next();
  return static_cast<std::uint16_t>((r & 0x83ff) | (15 - 6 + (r >> 32) % 13) << 10);
}

template <class T>
void put(std::uint8_t* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

// 64 bytes of one kind.
void fill_line(std::uint8_t* line, Random& random) {
  const unsigned kind = random.below(16);
  const bool special = kind == 1 || kind == 4 || kind == 7;
  if (kind <= 3) {
    for (unsigned i = 0; i < 64; i += 4) {
      const bool special_one = special || random.one_in(8);
      put(line + i, special_one ? one_of(kSingles, random) : near_single(random));
    }
  } else if (kind <= 6) {
    for (unsigned i = 0; i < 64; i += 8) {
      const bool special_one = special || random.one_in(8);
      put(line + i, special_one ? one_of(kDoubles, random) : near_double(random));
    }
  } else if (kind <= 8) {
    for (unsigned i = 0; i < 64; i += 2)
      put(line + i, special || random.one_in(8) ? one_of(kHalves, random) : near_half(random));
  } else if (kind == 9) {
    const std::uint64_t values = random.next();
    for (unsigned i = 0; i < 64; i++) line[i] = static_cast<std::uint8_t>(values >> random.below(4) * 16);
  } else if (kind == 10) {
    for (unsigned i = 0; i < 64; i++)
      line[i] = static_cast<std::uint8_t>(random.below(2) * 0xff ^ random.one_in(4) * 0x80);
  } else if (kind == 11) {
    // Small numbers of each width: counts of shifts.
    const unsigned width = 1u << random.below(4);
    std::memset(line, 0, 64);
    for (unsigned i = 0; i < 64; i += width) line[i] = static_cast<std::uint8_t>(random.below(70));
  } else if (kind == 12) {
    // Few values, so that elements are equal.
    const std::uint64_t values[2] = {random.next(), random.next()};
    const unsigned width = 2u << random.below(3);
    for (unsigned i = 0; i < 64; i += width) std::memcpy(line + i, &values[random.below(2)], width);
  } else {
    for (unsigned i = 0; i < 64; i += 8) put(line + i, random.next());
  }
}

std::uint64_t mask_of(Random& random) {
  const std::uint64_t r = random.next();
  switch (random.below(4)) {
    case 0:
      return ~0ull;
    case 1:
      return r & random.next() & random.next();
    default:
      return r;
  }
}

// ModRM and what follows it, naming memory. Returns the number of bytes.
unsigned put_memory(std::uint8_t* to, std::uint8_t reg, const Form& form, Sample& sample, Random& random,
                    bool& x_bit, bool& b_bit) {
  State& state = sample.state;
  const bool indexed = is_indexed(form);
  const unsigned displaced = random.below(4);  // 0, 1: none; 2: one byte; 3: four
  unsigned base;
  do base = random.below(16);
  while (base == 4 || ((base & 7) == 5 && displaced < 2));
  // Addresses: mostly inside; sometimes across the end of mapped or writable memory, or before the start.
  std::uint64_t where = kArenaAddress + 2 * kPage + 64 * random.below(32);
  if (random.one_in(2)) where += random.below(64);
  if (!indexed && displaced != 2 && random.one_in(4)) {
    const std::uint64_t edges[] = {kArenaAddress, kReadOnlyAddress, kArenaAddress + kArenaBytes,
                                   0x0000800000000000, 0xffff800000000000};
    where = edges[random.one_in(8) ? 3 + random.below(2) : random.below(3)] - random.below(80);
  }
  const std::int32_t displacement = displaced < 2 ? 0
                                    : displaced == 2
                                        ? static_cast<std::int8_t>(random.next())
                                        : static_cast<std::int32_t>(random.next() & 0xffff) - 0x8000;
  if (displaced == 3) where -= static_cast<std::int64_t>(displacement);
  if (!indexed && displaced == 0 && random.one_in(8)) {
    // Relative to RIP. Whether an immediate follows is not known here: a byte more or less.
    to[0] = static_cast<std::uint8_t>(5 | reg << 3);
    put(to + 1, static_cast<std::int32_t>(where - kInstructionAddress - 10));
    return 5;
  }
  const bool sib = indexed || (base & 7) == 4 || random.one_in(4);
  unsigned at = 0;
  const auto mod = static_cast<std::uint8_t>(displaced < 2 ? 0x00 : displaced == 2 ? 0x40 : 0x80);
  to[at++] = static_cast<std::uint8_t>(mod | reg << 3 | (sib ? 4 : (base & 7)));
  if (sib) {
    unsigned index = indexed ? random.below(8) : random.below(16);
    if (!indexed && index == base) index = 4;
    const unsigned scale = random.below(4);
    to[at++] = static_cast<std::uint8_t>(scale << 6 | (index & 7) << 3 | (base & 7));
    if (indexed) {
      x_bit = random.one_in(2);
    } else {
      x_bit = index >= 8;
      if (index != 4) {
        state.gpr[index] = random.below(256);
        where -= state.gpr[index] << scale;
      }
    }
  }
  b_bit = base >= 8;
  state.gpr[base] = where;
  if (displaced == 2) to[at++] = static_cast<std::uint8_t>(displacement);
  if (displaced == 3) {
    put(to + at, displacement);
    at += 4;
  }
  return at;
}

}  // namespace

bool is_group(Prefix prefix, std::uint8_t map, std::uint8_t opcode) {
  if (prefix == Prefix::kLegacy) return map == 1 && (opcode == 0xae || opcode == 0xc7 || opcode == 0x78);
  if (map == 1) return (opcode >= 0x71 && opcode <= 0x73) || (prefix == Prefix::kVex && opcode == 0xae);
  if (map == 2) return prefix == Prefix::kEvex ? opcode == 0xc6 || opcode == 0xc7 : opcode == 0xf3;
  return false;
}

bool is_indexed(const Form& form) {
  if (!form.memory || form.map != 2 || form.prefix == Prefix::kLegacy) return false;
  const unsigned row = form.opcode & 0xfc;
  return row == 0x90 || (form.prefix == Prefix::kEvex && (row == 0xa0 || (form.opcode & 0xfe) == 0xc6));
}

bool is_mmx(const Form& form) {
  if (form.prefix != Prefix::kLegacy || form.pp != 0) return false;
  return form.map == 2 ? form.opcode <= 0x1e : form.map == 3 && form.opcode == 0x0f;
}

void fill_arena(std::uint8_t* bytes, Random& random) {
  for (unsigned i = 0; i < kArenaBytes; i += 64) fill_line(bytes + i, random);
}

void fill_state(State& state, Random& random, bool indices) {
  std::memset(&state, 0, sizeof state);
  for (auto& line : state.zmm) fill_line(line, random);
  if (indices) {
    for (auto& line : state.zmm) {
      const unsigned width = random.one_in(2) ? 4 : 8;
      for (unsigned i = 0; i < 64; i += width) {
        const std::int64_t value = random.one_in(24) ? static_cast<std::int64_t>(random.next())
                                                     : static_cast<std::int64_t>(random.below(2048)) - 1024;
        std::memcpy(line + i, &value, width);
      }
    }
  }
  for (auto& mask : state.k) mask = mask_of(random);
  for (auto& general : state.gpr) general = random.one_in(4) ? random.below(256) : random.next();
  state.gpr[4] = kStackPointer;
  state.rflags = 0x202 | (random.next() & 0x8d5);
  state.mxcsr = static_cast<std::uint32_t>(0x1f80 | (random.next() & 0x603f));
  if (random.one_in(4)) state.mxcsr |= 0x8000;
  if (random.one_in(4)) state.mxcsr |= 0x0040;
  if (random.one_in(4)) state.mxcsr &= ~(static_cast<std::uint32_t>(random.next()) & 0x1f80);
}

void narrow(State& state) {
  for (unsigned i = 0; i < 16; i++) std::memset(state.zmm[i] + 32, 0, 32);
  std::memset(state.zmm[16], 0, 16 * 64);
  std::memset(state.k, 0, sizeof state.k);
}

namespace {

// Prefixes, REX (always there), the escape, the opcode and what it needs.
void make_legacy(Sample& sample, const Form& form, Random& random) {
  narrow(sample.state);
  const std::uint64_t r = random.next();
  if (is_mmx(form)) {
    // Not from `random`: samples of other forms stay what they are.
    Random others(r);
    std::uint8_t line[64];
    fill_line(line, others);
    std::memcpy(sample.state.mm, line, sizeof line);
  }
  bool extended = (r & 1) != 0, x_bit = (r & 2) != 0, b_bit = (r & 4) != 0;
  const auto reg = static_cast<std::uint8_t>(form.group != kNoGroup ? form.group : r >> 13 & 7);
  if (form.group != kNoGroup) extended = false;
  std::uint8_t* at = sample.bytes;
  std::memset(at, 0x90, sizeof sample.bytes);
  if (form.pp == 1 || form.pp >= 4) *at++ = 0x66;
  if (form.pp == 2 || form.pp == 4) *at++ = 0xf3;
  if (form.pp == 3 || form.pp == 5) *at++ = 0xf2;
  std::uint8_t* const rex = at++;
  if (form.map != 0) *at++ = 0x0f;
  if (form.map > 1) *at++ = form.map == 2 ? 0x38 : 0x3a;
  *at++ = form.opcode;
  if (form.map == 0) {
    *at = 0x90;
  } else if (form.memory) {
    at += put_memory(at, reg, form, sample, random, x_bit, b_bit);
  } else {
    *at++ = static_cast<std::uint8_t>(0xc0 | reg << 3 | (r >> 16 & 7));
  }
  *rex = static_cast<std::uint8_t>(0x40 | form.w << 3 | extended << 2 | x_bit << 1 | b_bit);
  at[0] = static_cast<std::uint8_t>(r >> 24);
  at[1] = static_cast<std::uint8_t>(r >> 32);
}

}  // namespace

void make_sample(Sample& sample, const Form& form, Random& random) {
  fill_state(sample.state, random, is_indexed(form));
  const auto allowed = [&](Trait trait) { return (form.traits & trait) != 0 || random.one_in(32); };
  if (form.prefix == Prefix::kLegacy) {
    make_legacy(sample, form, random);
    return;
  }
  const bool evex = form.prefix == Prefix::kEvex;
  const std::uint64_t r = random.next();
  const unsigned source = allowed(kTraitSource) ? r & 31 : 0;
  bool extended = (r >> 5 & 1) != 0 && allowed(kTraitExtended);
  const bool high = (r >> 6 & 1) != 0 && allowed(kTraitHigh);
  bool x_bit = (r >> 7 & 1) != 0;
  bool b_bit = (r >> 8 & 1) != 0;
  unsigned mask = r >> 9 & 7;
  if ((form.traits & kTraitNoMask) != 0 && (!allowed(kTraitMask) || random.one_in(3))) mask = 0;
  const bool zeroing = mask != 0 && (r >> 12 & 1) != 0 && allowed(kTraitZeroing);
  const auto reg = static_cast<std::uint8_t>(form.group != kNoGroup ? form.group : r >> 13 & 7);
  if (form.group != kNoGroup) extended = false;
  const bool indexed = is_indexed(form);
  unsigned at = evex ? 6 : 5;
  std::uint8_t* const bytes = sample.bytes;
  std::memset(bytes, 0x90, sizeof sample.bytes);
  if (form.memory) {
    at += put_memory(bytes + at - 1, reg, form, sample, random, x_bit, b_bit) - 1;
  } else {
    bytes[at - 1] = static_cast<std::uint8_t>(0xc0 | reg << 3 | (r >> 16 & 7));
  }
  bytes[at] = static_cast<std::uint8_t>(r >> 24);
  const unsigned vvvv = ~source & 15;
  if (evex) {
    // V' extends a vector index.
    const bool v_high = indexed ? (r >> 19 & 1) != 0 : (source & 16) != 0;
    bytes[0] = 0x62;
    bytes[1] = static_cast<std::uint8_t>(!extended << 7 | !x_bit << 6 | !b_bit << 5 | !high << 4 | form.map);
    bytes[2] = static_cast<std::uint8_t>(form.w << 7 | vvvv << 3 | 4 | form.pp);
    bytes[3] = static_cast<std::uint8_t>(zeroing << 7 | form.length << 5 | form.b << 4 | !v_high << 3 | mask);
    bytes[4] = form.opcode;
  } else {
    bytes[0] = 0xc4;
    bytes[1] = static_cast<std::uint8_t>(!extended << 7 | !x_bit << 6 | !b_bit << 5 | form.map);
    bytes[2] = static_cast<std::uint8_t>(form.w << 7 | vvvv << 3 | form.length << 2 | form.pp);
    bytes[3] = form.opcode;
  }
}

}  // namespace revenant::completion_test
