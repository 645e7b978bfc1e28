// What only VEX has: the instructions of AVX, AVX2 and FMA that AVX-512 did not take over.
#include <bit>

#include "elementwise.h"
#include "float_rows.h"

namespace revenant::completion {
namespace {

// Sums and differences of neighbours within lanes: the first half from the first source.
template <class F, bool subtracts>
bool horizontal(Operation& op) {
  using Bits = typename F::Bits;
  constexpr unsigned count = 16 / sizeof(Bits);
  Vector a, b, result;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  Environment env(op);
  for (unsigned i = 0; i < op.count(); i++) {
    const unsigned base = i & ~(count - 1), at = i & (count - 1);
    const Vector& from = at < count / 2 ? a : b;
    const unsigned pair = base + 2 * (at & (count / 2 - 1));
    const Bits x = from.get<Bits>(pair), y = from.get<Bits>(pair + 1);
    result.set<Bits>(i, subtracts ? float_subtract<F>(env, x, y) : float_add<F>(env, x, y));
  }
  return finish_float(op, env, result, a, false);
}

// Differences in even elements, sums in odd ones.
template <class F>
bool add_subtract(Operation& op) {
  using Bits = typename F::Bits;
  Vector a, b, result;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  Environment env(op);
  for (unsigned i = 0; i < op.count(); i++) {
    const Bits x = a.get<Bits>(i), y = b.get<Bits>(i);
    result.set<Bits>(i, i & 1 ? float_add<F>(env, x, y) : float_subtract<F>(env, x, y));
  }
  return finish_float(op, env, result, a, false);
}

template <class F>
constexpr auto round_whole = [](Environment& env, typename F::Bits a, U8 immediate) -> typename F::Bits {
  const unsigned rounding = immediate & 4 ? env.rounding : immediate & 3;
  return float_integral<F>(env, a, rounding, 0, (immediate & 8) != 0);
};

// By bits of the immediate.
template <class T>
bool blend_immediate(Operation& op) {
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    for (unsigned i = 0; i < o.length() / sizeof(T); i++)
      result.set<T>(i, (o.immediate() >> (i & 7) & 1 ? b : a).template get<T>(i));
  }>(op);
}

// By the signs of a third source.
template <class T>
bool blend_variable(Operation& op) {
  Vector a, b, by, result;
  if (!op.load(1, a) || !op.load(2, b) || !op.load(3, by)) return false;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++)
    result.set<T>(i, (by.get<T>(i) >> (8 * sizeof(T) - 1) ? b : a).template get<T>(i));
  return op.finish(result);
}

template <class T, bool subtracts, bool saturates>
bool horizontal_integers(Operation& op) {
  constexpr unsigned count = 16 / sizeof(T);
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    for (unsigned i = 0; i < o.length() / sizeof(T); i++) {
      const unsigned base = i & ~(count - 1), at = i & (count - 1);
      const Vector& from = at < count / 2 ? a : b;
      const unsigned pair = base + 2 * (at & (count / 2 - 1));
      const S64 x = from.get<T>(pair), y = from.get<T>(pair + 1);
      S64 sum = subtracts ? x - y : x + y;
      if (saturates) sum = (sum < -32768 ? -32768 : sum > 32767 ? 32767 : sum);
      result.set<T>(i, static_cast<T>(sum));
    }
  }>(op);
}

template <class T>
constexpr bool (*signed_by)(Operation&) =
    binary<T, [](T a, T b) { return static_cast<T>(b < 0    ? 0 - S64{a}
                                                   : b == 0 ? 0
                                                            : S64{a}); }>;

bool set_flags(Operation& op, bool zero, bool carry) {
  U64& flags = op.state().rflags;
  flags = (flags & ~0x8d5ull) | (zero ? 0x40 : 0) | (carry ? 1 : 0);
  return true;
}

// Whether bits are left of the conjunction, and of that with the first operand's complement; `kept`: bits
// that count.
template <U64 kept>
bool test_bits(Operation& op) {
  Vector b;
  if (!op.load(1, b)) return false;
  const Vector& a = op.old();
  U64 both = 0, second = 0;
  for (unsigned i = 0; i < op.length() / 8; i++) {
    both |= a.get<U64>(i) & b.get<U64>(i) & kept;
    second |= ~a.get<U64>(i) & b.get<U64>(i) & kept;
  }
  return set_flags(op, both == 0, second == 0);
}

template <class T>
bool signs(Operation& op) {
  Vector a;
  if (!op.load(1, a)) return false;
  U64 bits = 0;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++) bits |= U64{a.get<T>(i)} >> (8 * sizeof(T) - 1) << i;
  op.state().gpr[op.number(0)] = bits;
  return true;
}

bool insert_half(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  std::memcpy(a.bytes + 16 * (op.immediate() & 1), b.bytes, 16);
  return op.finish(a);
}

bool extract_half(Operation& op) {
  Vector a, result;
  if (!op.load(1, a)) return false;
  std::memcpy(result.bytes, a.bytes + 16 * (op.immediate() & 1), 16);
  return op.finish(result, 16, 16);
}

bool broadcast_half(Operation& op) {
  Vector a;
  if (!op.load(1, a)) return false;
  std::memcpy(a.bytes + 16, a.bytes, 16);
  return op.finish(a);
}

bool permute_halves(Operation& op) {
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    for (unsigned i = 0; i < 2; i++) {
      const unsigned control = (o.immediate() >> 4 * i) & 15;
      std::memcpy(result.bytes + 16 * i, (control & 2 ? b : a).bytes + 16 * (control & 1), 16);
      if (control & 8) std::memset(result.bytes + 16 * i, 0, 16);
    }
  }>(op);
}

// VMASKMOVPS and kin: elements whose sign in the first source (of a load) or second operand (of a store) is
// set.
template <class T>
bool masked_move(Operation& op) {
  Vector by;
  if (!op.load(1, by)) return false;
  const auto chosen = [&](unsigned i) { return by.get<T>(i) >> (8 * sizeof(T) - 1) != 0; };
  if (!op.is_memory(0)) {
    Vector result;
    std::memset(result.bytes, 0, 64);
    const U64 start = op.address(2);
    for (unsigned i = 0; i < op.length() / sizeof(T); i++)
      if (chosen(i) && !op.read(2, start + i * sizeof(T), result.bytes + i * sizeof(T), sizeof(T)))
        return false;
    return op.finish(result);
  }
  Vector a;
  op.load(2, a);
  const U64 start = op.address(0);
  for (unsigned i = 0; i < op.length() / sizeof(T); i++)
    if (chosen(i) && !op.writable(0, start + i * sizeof(T), sizeof(T))) return false;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++)
    if (chosen(i)) op.write(0, start + i * sizeof(T), a.bytes + i * sizeof(T), sizeof(T));
  return true;
}

// Sums of absolute differences of four bytes of the second source with eight places of the first.
bool multiple_differences(Operation& op) {
  return lanes<U16, [](Vector& result, const Vector& a, const Vector& b, unsigned base, Operation& o) {
    const unsigned control = base == 0 ? o.immediate() : (o.immediate() >> 3);
    const unsigned from = 2 * base + (control & 4), with = 2 * base + 4 * (control & 3);
    for (unsigned i = 0; i < 8; i++) {
      unsigned sum = 0;
      for (unsigned j = 0; j < 4; j++) {
        const int distance = a.bytes[from + i + j] - b.bytes[with + j];
        sum += static_cast<unsigned>(distance < 0 ? -distance : distance);
      }
      result.set<U16>(base + i, static_cast<U16>(sum));
    }
  }>(op);
}

bool least_position(Operation& op) {
  Vector a, result;
  if (!op.load(1, a)) return false;
  unsigned best = 0;
  for (unsigned i = 1; i < 8; i++)
    if (a.get<U16>(i) < a.get<U16>(best)) best = i;
  std::memset(result.bytes, 0, 64);
  result.set<U16>(0, a.get<U16>(best));
  result.set<U16>(1, static_cast<U16>(best));
  return op.finish(result);
}

// VDPPS, VDPPD: products of the elements in bits 4 to 7 of the immediate, their sum to those in bits 0 to 3.
template <class F>
bool dot_product(Operation& op) {
  using Bits = typename F::Bits;
  constexpr unsigned count = 16 / sizeof(Bits);
  Vector a, b, result;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  Environment env(op);
  Vector sums;
  for (unsigned i = 0; i < op.count(); i++) {
    const bool used = (op.immediate() >> (4 + (i & (count - 1))) & 1) != 0;
    sums.set<Bits>(i, used ? float_multiply<F>(env, a.get<Bits>(i), b.get<Bits>(i)) : Bits{0});
  }
  for (unsigned step = 1; step < count; step *= 2) {
    // A step's exceptions come before the next one.
    if (!env.commit(op)) return false;
    env.flags = 0;
    for (unsigned i = 0; i < op.count(); i += 2 * step)
      sums.set<Bits>(i, float_add<F>(env, sums.get<Bits>(i), sums.get<Bits>(i + step)));
  }
  for (unsigned i = 0; i < op.count(); i++)
    result.set<Bits>(i, op.immediate() >> (i & (count - 1)) & 1 ? sums.get<Bits>(i & ~(count - 1)) : Bits{0});
  return finish_float(op, env, result, a, false);
}

// VMASKMOVDQU: bytes whose sign in the second operand is set, to memory at DS:RDI.
bool masked_store(Operation& op) {
  Vector by;
  if (!op.load(1, by)) return false;
  const Vector a = op.old();
  const U64 start = op.implicit_address();
  // Zen 4 wants all 16 bytes to be writable, even where it stores nothing.
  if (!op.writable(0, start, 16)) return false;
  for (unsigned i = 0; i < 16; i++)
    if ((by.bytes[i] & 0x80) != 0) op.write(0, start + i, a.bytes + i, 1);
  return true;
}

// VPCMPxSTRx: strings of T compared as the immediate says (SDM volume 2, 4.1). Returns the bits of IntRes2.
template <class T>
unsigned compared_strings(Operation& op, const Vector& a, const Vector& b, unsigned length_a,
                          unsigned length_b) {
  constexpr unsigned count = 16 / sizeof(T);
  const unsigned mode = op.immediate() >> 2 & 3;
  unsigned bits = 0;
  for (unsigned j = 0; j < count; j++) {
    bool found = false;
    if (mode == 0) {
      for (unsigned i = 0; i < length_a; i++) found |= j < length_b && a.get<T>(i) == b.get<T>(j);
    } else if (mode == 1) {
      for (unsigned i = 0; i + 1 < length_a; i += 2)
        found |= j < length_b && b.get<T>(j) >= a.get<T>(i) && b.get<T>(j) <= a.get<T>(i + 1);
    } else if (mode == 2) {
      const bool in_a = j < length_a, in_b = j < length_b;
      found = in_a && in_b ? a.get<T>(j) == b.get<T>(j) : in_a == in_b;
    } else {
      // The whole of the first string from here, as far as the register goes.
      found = true;
      for (unsigned i = 0; i < length_a && i + j < count; i++)
        found = found && i + j < length_b && a.get<T>(i) == b.get<T>(i + j);
    }
    if (found) bits |= 1u << j;
  }
  const unsigned all = (1u << count) - 1;
  const unsigned polarity = op.immediate() >> 4 & 3;
  if (polarity == 1) bits ^= all;
  if (polarity == 3) bits ^= length_b >= count ? all : (1u << length_b) - 1;
  return bits;
}

template <class T>
unsigned implicit_length(const Vector& a) {
  unsigned length = 0;
  while (length < 16 / sizeof(T) && a.get<T>(length) != 0) length++;
  return length;
}

// The magnitude of EAX or EDX (RAX, RDX with W), at most the register's elements.
unsigned explicit_length(Operation& op, unsigned number, unsigned count) {
  const U64 value = op.state().gpr[number];
  const bool wide = op.instruction().encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY
                        ? op.instruction().raw.rex.W != 0
                        : op.instruction().raw.vex.W != 0;
  const S64 length = wide ? static_cast<S64>(value) : static_cast<S32>(value);
  const U64 magnitude = length < 0 ? 0 - static_cast<U64>(length) : static_cast<U64>(length);
  return magnitude < count ? static_cast<unsigned>(magnitude) : count;
}

template <bool is_explicit, bool to_mask>
bool compare_strings(Operation& op) {
  Vector b;
  if (!op.load(1, b)) return false;
  const Vector& a = op.old();
  const bool words = (op.immediate() & 1) != 0;
  const unsigned count = words ? 8 : 16;
  unsigned length_a, length_b;
  if (is_explicit) {
    length_a = explicit_length(op, 0, count);
    length_b = explicit_length(op, 2, count);
  } else {
    length_a = words ? implicit_length<U16>(a) : implicit_length<U8>(a);
    length_b = words ? implicit_length<U16>(b) : implicit_length<U8>(b);
  }
  const bool is_signed = (op.immediate() & 2) != 0;
  const unsigned bits = words ? (is_signed ? compared_strings<S16>(op, a, b, length_a, length_b)
                                           : compared_strings<U16>(op, a, b, length_a, length_b))
                              : (is_signed ? compared_strings<std::int8_t>(op, a, b, length_a, length_b)
                                           : compared_strings<U8>(op, a, b, length_a, length_b));
  const bool last = (op.immediate() & 0x40) != 0;
  if (!to_mask) {
    const auto first_bit = static_cast<unsigned>(std::countr_zero(bits));
    const auto last_bit = static_cast<unsigned>(31 - std::countl_zero(bits));
    op.state().gpr[1] = bits == 0 ? count : last ? last_bit : first_bit;
  } else {
    std::uint8_t* const to = op.state().zmm[0];
    std::memset(to, 0, 64);
    if (!last) {
      std::memcpy(to, &bits, 2);
    } else {
      for (unsigned i = 0; i < count; i++)
        if (bits >> i & 1) std::memset(to + i * (16 / count), 0xff, 16 / count);
    }
  }
  U64& flags = op.state().rflags;
  flags &= ~0x8d5ull;
  flags |= (bits != 0 ? 1 : 0) | (length_b < count ? 0x40 : 0) | (length_a < count ? 0x80 : 0) |
           (bits & 1 ? 0x800 : 0);
  return true;
}

template <bool all>
bool zero(Operation& op) {
  for (unsigned i = 0; i < 16; i++) {
    const unsigned kept = all ? 0 : 16;
    std::memset(op.state().zmm[i] + kept, 0, 64 - kept);
  }
  return true;
}

bool load_control(Operation& op) {
  U32 value;
  if (!op.read(0, op.address(0), &value, 4)) return false;
  if ((value & ~0xffffu) != 0) return op.fault(Verdict::kGeneralProtection);
  op.state().mxcsr = value;
  return true;
}

bool store_control(Operation& op) { return op.write(0, op.address(0), &op.state().mxcsr, 4); }

#define ROW(name, function, width, flags) \
  { ZYDIS_MNEMONIC_##name, function, width, flags }
constexpr Row rows[] = {
    ROW(VHADDPS, (horizontal<Single, false>), 4, 0),
    ROW(VHADDPD, (horizontal<Double, false>), 8, 0),
    ROW(VHSUBPS, (horizontal<Single, true>), 4, 0),
    ROW(VHSUBPD, (horizontal<Double, true>), 8, 0),
    ROW(VADDSUBPS, add_subtract<Single>, 4, 0),
    ROW(VADDSUBPD, add_subtract<Double>, 8, 0),
    FLOAT_FOUR(VROUND, float_unary, round_whole),
    ROW(VBLENDPS, blend_immediate<U32>, 4, 0),
    ROW(VBLENDPD, blend_immediate<U64>, 8, 0),
    ROW(VPBLENDD, blend_immediate<U32>, 4, 0),
    ROW(VPBLENDW, blend_immediate<U16>, 2, 0),
    ROW(VBLENDVPS, blend_variable<U32>, 4, 0),
    ROW(VBLENDVPD, blend_variable<U64>, 8, 0),
    ROW(VPBLENDVB, blend_variable<U8>, 1, 0),
    ROW(VPAND, (binary<U64, [](U64 a, U64 b) { return a & b; }>), 8, 0),
    ROW(VPANDN, (binary<U64, [](U64 a, U64 b) { return ~a & b; }>), 8, 0),
    ROW(VPOR, (binary<U64, [](U64 a, U64 b) { return a | b; }>), 8, 0),
    ROW(VPXOR, (binary<U64, [](U64 a, U64 b) { return a ^ b; }>), 8, 0),
    ROW(VMOVDQA, (unary<U64, [](U64 a) { return a; }>), 8, kAligned),
    ROW(VMOVDQU, (unary<U64, [](U64 a) { return a; }>), 8, 0),
    ROW(VLDDQU, (unary<U64, [](U64 a) { return a; }>), 8, 0),
    ROW(VPHADDW, (horizontal_integers<S16, false, false>), 2, 0),
    ROW(VPHADDD, (horizontal_integers<S32, false, false>), 4, 0),
    ROW(VPHADDSW, (horizontal_integers<S16, false, true>), 2, 0),
    ROW(VPHSUBW, (horizontal_integers<S16, true, false>), 2, 0),
    ROW(VPHSUBD, (horizontal_integers<S32, true, false>), 4, 0),
    ROW(VPHSUBSW, (horizontal_integers<S16, true, true>), 2, 0),
    ROW(VPSIGNB, signed_by<std::int8_t>, 1, 0),
    ROW(VPSIGNW, signed_by<S16>, 2, 0),
    ROW(VPSIGND, signed_by<S32>, 4, 0),
    ROW(VPTEST, test_bits<~0ull>, 8, 0),
    ROW(VTESTPS, test_bits<0x8000000080000000>, 8, 0),
    ROW(VTESTPD, test_bits<0x8000000000000000>, 8, 0),
    ROW(VMOVMSKPS, signs<U32>, 4, 0),
    ROW(VMOVMSKPD, signs<U64>, 8, 0),
    ROW(VPMOVMSKB, signs<U8>, 1, 0),
    ROW(VINSERTF128, insert_half, 16, 0),
    ROW(VINSERTI128, insert_half, 16, 0),
    ROW(VEXTRACTF128, extract_half, 16, 0),
    ROW(VEXTRACTI128, extract_half, 16, 0),
    ROW(VBROADCASTF128, broadcast_half, 16, 0),
    ROW(VBROADCASTI128, broadcast_half, 16, 0),
    ROW(VPERM2F128, permute_halves, 16, 0),
    ROW(VPERM2I128, permute_halves, 16, 0),
    ROW(VMASKMOVPS, masked_move<U32>, 4, 0),
    ROW(VMASKMOVPD, masked_move<U64>, 8, 0),
    ROW(VPMASKMOVD, masked_move<U32>, 4, 0),
    ROW(VPMASKMOVQ, masked_move<U64>, 8, 0),
    ROW(VMPSADBW, multiple_differences, 2, 0),
    ROW(VPHMINPOSUW, least_position, 2, 0),
    ROW(VDPPS, dot_product<Single>, 4, 0),
    ROW(VDPPD, dot_product<Double>, 8, 0),
    ROW(VMASKMOVDQU, masked_store, 1, 0),
    ROW(VPCMPESTRM, (compare_strings<true, true>), 1, 0),
    ROW(VPCMPESTRI, (compare_strings<true, false>), 1, 0),
    ROW(VPCMPISTRM, (compare_strings<false, true>), 1, 0),
    ROW(VPCMPISTRI, (compare_strings<false, false>), 1, 0),
    ROW(VZEROUPPER, zero<false>, 4, kScalar),
    ROW(VZEROALL, zero<true>, 4, kScalar),
    ROW(VLDMXCSR, load_control, 4, kScalar),
    ROW(VSTMXCSR, store_control, 4, kScalar),
};

}  // namespace

Rows avx_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
