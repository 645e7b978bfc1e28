// AVX-IFMA, AVX-VNNI-INT8 and -INT16, AVX-NE-CONVERT, SHA512, SM3, SM4, CMPCCXADD, AMX-FP16, AMX-COMPLEX: of
// processors since 2023 (SDM volume 2).
#include "newer.h"

#include <bit>

#include "flags.h"
#include "float.h"

namespace revenant::completion {
namespace {

// Sums of the products of elements of A and B, and of the destination's dword, which is signed unless both
// are not.
template <class A, class B, bool saturates>
bool dot(Operation& op) {
  constexpr unsigned each = 4 / sizeof(A);
  constexpr bool is_signed = A(-1) < 0 || B(-1) < 0;
  constexpr S64 least = is_signed ? INT32_MIN : 0, most = is_signed ? INT32_MAX : S64{UINT32_MAX};
  Vector a, b, result;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const Vector& old = op.old();
  for (unsigned i = 0; i < op.length() / 4; i++) {
    S64 sum = is_signed ? S64{old.get<S32>(i)} : S64{old.get<U32>(i)};
    for (unsigned j = each * i; j < each * (i + 1); j++) sum += S64{a.get<A>(j)} * b.get<B>(j);
    if (saturates) sum = sum < least ? least : sum > most ? most : sum;
    result.set<U32>(i, static_cast<U32>(sum));
  }
  return op.finish(result);
}

// VBCSTNESH2PS, VBCSTNEBF162PS: one element of memory to all. These and the next are without exceptions,
// whatever MXCSR says.
template <auto convert>
bool broadcast(Operation& op) {
  U16 value;
  if (!op.read(1, op.address(1), &value, sizeof value)) return false;
  Environment env(op);
  Vector result;
  for (unsigned i = 0; i < op.length() / 4; i++) result.set<U32>(i, convert(env, value));
  return op.finish(result);
}

// VCVTNEEPH2PS and kin: the even or the odd elements.
template <auto convert, unsigned odd>
bool every_other(Operation& op) {
  Vector a, result;
  if (!op.load(1, a)) return false;
  Environment env(op);
  for (unsigned i = 0; i < op.length() / 4; i++) result.set<U32>(i, convert(env, a.get<U16>(2 * i + odd)));
  return op.finish(result);
}

// SHA-512 (FIPS 180-4).
U64 small0(U64 x) { return std::rotr(x, 1) ^ std::rotr(x, 8) ^ x >> 7; }
U64 small1(U64 x) { return std::rotr(x, 19) ^ std::rotr(x, 61) ^ x >> 6; }
U64 large0(U64 x) { return std::rotr(x, 28) ^ std::rotr(x, 34) ^ std::rotr(x, 39); }
U64 large1(U64 x) { return std::rotr(x, 14) ^ std::rotr(x, 18) ^ std::rotr(x, 41); }

bool sha512_message_first(Operation& op) {
  Vector b, result;
  if (!op.load(1, b)) return false;
  const Vector& a = op.old();
  for (unsigned i = 0; i < 4; i++)
    result.set<U64>(i, a.get<U64>(i) + small0(i < 3 ? a.get<U64>(i + 1) : b.get<U64>(0)));
  return op.finish(result);
}

bool sha512_message_second(Operation& op) {
  Vector b, result;
  if (!op.load(1, b)) return false;
  const Vector& a = op.old();
  for (unsigned i = 0; i < 4; i++)
    result.set<U64>(i, a.get<U64>(i) + small1(i < 2 ? b.get<U64>(i + 2) : result.get<U64>(i - 2)));
  return op.finish(result);
}

// Two rounds: the destination has C, D, G, H, the first source A, B, E, F, from the highest; the second the
// message with the constants added.
bool sha512_rounds(Operation& op) {
  Vector b, by, result;
  if (!op.load(1, b) || !op.load(2, by)) return false;
  const Vector& a = op.old();
  U64 s[8] = {b.get<U64>(3), b.get<U64>(2), a.get<U64>(3), a.get<U64>(2),
              b.get<U64>(1), b.get<U64>(0), a.get<U64>(1), a.get<U64>(0)};
  for (unsigned i = 0; i < 2; i++) {
    const U64 first = ((s[4] & s[5]) ^ (~s[4] & s[6])) + large1(s[4]) + by.get<U64>(i) + s[7];
    const U64 second = ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2])) + large0(s[0]);
    for (unsigned j = 7; j > 0; j--) s[j] = s[j - 1];
    s[4] += first;
    s[0] = first + second;
  }
  const U64 kept[4] = {s[5], s[4], s[1], s[0]};
  std::memcpy(result.bytes, kept, sizeof kept);
  return op.finish(result);
}

// SM3 (GB/T 32905).
bool sm3_message_first(Operation& op) {
  Vector a, b, result;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const Vector& old = op.old();
  for (unsigned i = 0; i < 4; i++) {
    const U32 word = old.get<U32>(i) ^ a.get<U32>(i) ^ (i < 3 ? std::rotl(b.get<U32>(i), 15) : 0);
    result.set<U32>(i, word ^ std::rotl(word, 15) ^ std::rotl(word, 23));
  }
  return op.finish(result);
}

bool sm3_message_second(Operation& op) {
  Vector a, b, result;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const Vector& old = op.old();
  for (unsigned i = 0; i < 4; i++)
    result.set<U32>(i, std::rotl(a.get<U32>(i), 7) ^ b.get<U32>(i) ^ old.get<U32>(i));
  const U32 first = result.get<U32>(0);
  result.set<U32>(3, result.get<U32>(3) ^ std::rotl(first, 6) ^ std::rotl(first, 15) ^ std::rotl(first, 30));
  return op.finish(result);
}

// Two rounds from the even number in the immediate: the destination has C, D, G, H before their rotations,
// the first source A, B, E, F, from the highest; the second W[i], W[i + 1], W[i + 4], W[i + 5].
bool sm3_rounds(Operation& op) {
  Vector b, by, result;
  if (!op.load(1, b) || !op.load(2, by)) return false;
  const Vector& old = op.old();
  const unsigned round = op.immediate() & 0x3e;
  const bool early = round < 16;
  U32 constant = std::rotl(early ? U32{0x79cc4519} : U32{0x7a879d8a}, static_cast<int>(round & 31));
  U32 s[8] = {b.get<U32>(3), b.get<U32>(2), std::rotl(old.get<U32>(3), 9),  std::rotl(old.get<U32>(2), 9),
              b.get<U32>(1), b.get<U32>(0), std::rotl(old.get<U32>(1), 19), std::rotl(old.get<U32>(0), 19)};
  for (unsigned i = 0; i < 2; i++) {
    const U32 first = std::rotl(std::rotl(s[0], 12) + s[4] + constant, 7);
    const U32 second = first ^ std::rotl(s[0], 12);
    const U32 majority = early ? s[0] ^ s[1] ^ s[2] : (s[0] & s[1]) | (s[0] & s[2]) | (s[1] & s[2]);
    const U32 choice = early ? s[4] ^ s[5] ^ s[6] : (s[4] & s[5]) | (~s[4] & s[6]);
    const U32 left = majority + s[3] + second + (by.get<U32>(i) ^ by.get<U32>(i + 2));
    const U32 right = choice + s[7] + first + by.get<U32>(i);
    const U32 next[8] = {left,
                         s[0],
                         std::rotl(s[1], 9),
                         s[2],
                         right ^ std::rotl(right, 9) ^ std::rotl(right, 17),
                         s[4],
                         std::rotl(s[5], 19),
                         s[6]};
    std::memcpy(s, next, sizeof s);
    constant = std::rotl(constant, 1);
  }
  const U32 kept[4] = {s[5], s[4], s[1], s[0]};
  std::memcpy(result.bytes, kept, sizeof kept);
  return op.finish(result);
}

// SM4 (GB/T 32907).
constexpr U8 kSubstitutes[256] = {
    0xd6, 0x90, 0xe9, 0xfe, 0xcc, 0xe1, 0x3d, 0xb7, 0x16, 0xb6, 0x14, 0xc2, 0x28, 0xfb, 0x2c, 0x05,
    0x2b, 0x67, 0x9a, 0x76, 0x2a, 0xbe, 0x04, 0xc3, 0xaa, 0x44, 0x13, 0x26, 0x49, 0x86, 0x06, 0x99,
    0x9c, 0x42, 0x50, 0xf4, 0x91, 0xef, 0x98, 0x7a, 0x33, 0x54, 0x0b, 0x43, 0xed, 0xcf, 0xac, 0x62,
    0xe4, 0xb3, 0x1c, 0xa9, 0xc9, 0x08, 0xe8, 0x95, 0x80, 0xdf, 0x94, 0xfa, 0x75, 0x8f, 0x3f, 0xa6,
    0x47, 0x07, 0xa7, 0xfc, 0xf3, 0x73, 0x17, 0xba, 0x83, 0x59, 0x3c, 0x19, 0xe6, 0x85, 0x4f, 0xa8,
    0x68, 0x6b, 0x81, 0xb2, 0x71, 0x64, 0xda, 0x8b, 0xf8, 0xeb, 0x0f, 0x4b, 0x70, 0x56, 0x9d, 0x35,
    0x1e, 0x24, 0x0e, 0x5e, 0x63, 0x58, 0xd1, 0xa2, 0x25, 0x22, 0x7c, 0x3b, 0x01, 0x21, 0x78, 0x87,
    0xd4, 0x00, 0x46, 0x57, 0x9f, 0xd3, 0x27, 0x52, 0x4c, 0x36, 0x02, 0xe7, 0xa0, 0xc4, 0xc8, 0x9e,
    0xea, 0xbf, 0x8a, 0xd2, 0x40, 0xc7, 0x38, 0xb5, 0xa3, 0xf7, 0xf2, 0xce, 0xf9, 0x61, 0x15, 0xa1,
    0xe0, 0xae, 0x5d, 0xa4, 0x9b, 0x34, 0x1a, 0x55, 0xad, 0x93, 0x32, 0x30, 0xf5, 0x8c, 0xb1, 0xe3,
    0x1d, 0xf6, 0xe2, 0x2e, 0x82, 0x66, 0xca, 0x60, 0xc0, 0x29, 0x23, 0xab, 0x0d, 0x53, 0x4e, 0x6f,
    0xd5, 0xdb, 0x37, 0x45, 0xde, 0xfd, 0x8e, 0x2f, 0x03, 0xff, 0x6a, 0x72, 0x6d, 0x6c, 0x5b, 0x51,
    0x8d, 0x1b, 0xaf, 0x92, 0xbb, 0xdd, 0xbc, 0x7f, 0x11, 0xd9, 0x5c, 0x41, 0x1f, 0x10, 0x5a, 0xd8,
    0x0a, 0xc1, 0x31, 0x88, 0xa5, 0xcd, 0x7b, 0xbd, 0x2d, 0x74, 0xd0, 0x12, 0xb8, 0xe5, 0xb4, 0xb0,
    0x89, 0x69, 0x97, 0x4a, 0x0c, 0x96, 0x77, 0x7e, 0x65, 0xb9, 0xf1, 0x09, 0xc5, 0x6e, 0xc6, 0x84,
    0x18, 0xf0, 0x7d, 0xec, 0x3a, 0xdc, 0x4d, 0x20, 0x79, 0xee, 0x5f, 0x3e, 0xd7, 0xcb, 0x39, 0x48};

U32 mixed_key(U32 x) { return x ^ std::rotl(x, 13) ^ std::rotl(x, 23); }
U32 mixed_round(U32 x) {
  return x ^ std::rotl(x, 2) ^ std::rotl(x, 10) ^ std::rotl(x, 18) ^ std::rotl(x, 24);
}

// Four rounds in each lane: of words, with a round's key or constant from the second source.
template <auto mix>
bool sm4_rounds(Operation& op) {
  Vector a, b, result;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  for (unsigned lane = 0; lane < op.length(); lane += 16) {
    U32 words[8];
    std::memcpy(words, a.bytes + lane, 16);
    for (unsigned i = 0; i < 4; i++) {
      const U32 sum = words[i + 1] ^ words[i + 2] ^ words[i + 3] ^ b.get<U32>(lane / 4 + i);
      U32 substituted = 0;
      for (unsigned bit = 0; bit < 32; bit += 8) substituted |= U32{kSubstitutes[sum >> bit & 255]} << bit;
      words[i + 4] = words[i] ^ mix(substituted);
    }
    std::memcpy(result.bytes + lane, words + 4, 16);
  }
  return op.finish(result);
}

// CMPccXADD: operand 0 is the register that is compared, 1 the memory, 2 what is added where the condition is
// true.
template <unsigned condition>
bool compare_add(Operation& op) {
  const unsigned bits = op.operand(1).size, bytes = bits / 8;
  const U64 at = op.address(1);
  if (at % bytes != 0) return op.fault(Verdict::kGeneralProtection);
  U64 value = 0;
  if (!op.writable(1, at, bytes) || !op.read(1, at, &value, bytes)) return false;
  const U64 with = op.general(0), difference = (value - with) & flags::low_bits(bits);
  const U64 found = flags::of_sum(value, with, 0, true, bits, difference);
  const U64 stored = flags::holds(condition, found) ? value + op.general(2) : value;
  if (!op.write(1, at, &stored, bytes)) return false;
  op.set_general(0, value);
  U64& all = op.state().rflags;
  all = (all & ~flags::kArithmetic) | found;
  return true;
}

constexpr U8 kNone = 0, k66 = 1, kF3 = 2, kF2 = 3;
constexpr U8 k128 = 1, k256 = 2, kBoth = 3;
constexpr ZydisMnemonic kOwn = ZYDIS_MNEMONIC_INVALID;
// What is decoded instead.
constexpr VexOpcode kVfmadd231pd = {2, k66, 1, 0xb8}, kVpdpbusd = {2, k66, 0, 0x50},
                    kVpbroadcastw = {2, k66, 0, 0x79}, kVlddqu = {1, kF2, 0, 0xf0},
                    kVcvtpd2ps = {1, k66, 0, 0x5a}, kVpabsd = {2, k66, 0, 0x1e}, kVpaddd = {1, k66, 0, 0xfe},
                    kVpalignr = {3, k66, 0, 0x0f}, kTdpbf16ps = {2, kF3, 0, 0x5c},
                    kBzhi = {2, kNone, kAnyW, 0xf5};

#define OWN(function, width) \
  kOwn, { ZYDIS_MNEMONIC_INVALID, function, width, 0 }
#define TWIN(name) \
  ZYDIS_MNEMONIC_##name, {}
#define DOT(name, pp, opcode, feature, A, B)                                                                \
  {name, {2, pp, 0, opcode}, kBoth, Place::kEither, kVpdpbusd, kAvx | feature, OWN((dot<A, B, false>), 4)}, \
  {                                                                                                         \
    name "s", {2, pp, 0, opcode + 1}, kBoth, Place::kEither, kVpdpbusd, kAvx | feature,                     \
        OWN((dot<A, B, true>), 4)                                                                           \
  }
#define NE_CONVERT(name, pp, opcode, as, function) \
  { name, {2, pp, 0, opcode}, kBoth, Place::kMemory, as, kAvx | kAvxNeConvert, OWN(function, 4) }
#define COMPARE_ADD(condition, number)                                                               \
  {                                                                                                  \
    "cmp" condition "xadd", {2, k66, kAnyW, 0xe0 + number}, k128, Place::kMemory, kBzhi, kCmpccxadd, \
        OWN(compare_add<number>, 8)                                                                  \
  }
constexpr Newer instructions[] = {
    {"vpmadd52luq",
     {2, k66, 1, 0xb4},
     kBoth,
     Place::kEither,
     kVfmadd231pd,
     kAvx | kAvxIfma,
     TWIN(VPMADD52LUQ)},
    {"vpmadd52huq",
     {2, k66, 1, 0xb5},
     kBoth,
     Place::kEither,
     kVfmadd231pd,
     kAvx | kAvxIfma,
     TWIN(VPMADD52HUQ)},
    DOT("vpdpbssd", kF2, 0x50, kAvxVnniInt8, S8, S8),
    DOT("vpdpbsud", kF3, 0x50, kAvxVnniInt8, S8, U8),
    DOT("vpdpbuud", kNone, 0x50, kAvxVnniInt8, U8, U8),
    DOT("vpdpwsud", kF3, 0xd2, kAvxVnniInt16, S16, U16),
    DOT("vpdpwusd", k66, 0xd2, kAvxVnniInt16, U16, S16),
    DOT("vpdpwuud", kNone, 0xd2, kAvxVnniInt16, U16, U16),
    NE_CONVERT("vbcstnebf162ps", kF3, 0xb1, kVpbroadcastw, broadcast<single_of_brief>),
    NE_CONVERT("vbcstnesh2ps", k66, 0xb1, kVpbroadcastw, broadcast<single_of_half>),
    NE_CONVERT("vcvtneebf162ps", kF3, 0xb0, kVlddqu, (every_other<single_of_brief, 0>)),
    NE_CONVERT("vcvtneeph2ps", k66, 0xb0, kVlddqu, (every_other<single_of_half, 0>)),
    NE_CONVERT("vcvtneobf162ps", kF2, 0xb0, kVlddqu, (every_other<single_of_brief, 1>)),
    NE_CONVERT("vcvtneoph2ps", kNone, 0xb0, kVlddqu, (every_other<single_of_half, 1>)),
    {"vcvtneps2bf16",
     {2, kF3, 0, 0x72},
     kBoth,
     Place::kEither,
     kVcvtpd2ps,
     kAvx | kAvxNeConvert,
     TWIN(VCVTNEPS2BF16)},
    {"vsha512msg1",
     {2, kF2, 0, 0xcc},
     k256,
     Place::kRegister,
     kVpabsd,
     kAvx | kSha512,
     OWN(sha512_message_first, 8)},
    {"vsha512msg2",
     {2, kF2, 0, 0xcd},
     k256,
     Place::kRegister,
     kVpabsd,
     kAvx | kSha512,
     OWN(sha512_message_second, 8)},
    {"vsha512rnds2",
     {2, kF2, 0, 0xcb},
     k256,
     Place::kRegister,
     kVpaddd,
     kAvx | kSha512,
     OWN(sha512_rounds, 8)},
    {"vsm3msg1", {2, kNone, 0, 0xda}, k128, Place::kEither, kVpaddd, kAvx | kSm3, OWN(sm3_message_first, 4)},
    {"vsm3msg2", {2, k66, 0, 0xda}, k128, Place::kEither, kVpaddd, kAvx | kSm3, OWN(sm3_message_second, 4)},
    {"vsm3rnds2", {3, k66, 0, 0xde}, k128, Place::kEither, kVpalignr, kAvx | kSm3, OWN(sm3_rounds, 4)},
    {"vsm4key4",
     {2, kF3, 0, 0xda},
     kBoth,
     Place::kEither,
     kVpaddd,
     kAvx | kSm4,
     OWN(sm4_rounds<mixed_key>, 4)},
    {"vsm4rnds4",
     {2, kF2, 0, 0xda},
     kBoth,
     Place::kEither,
     kVpaddd,
     kAvx | kSm4,
     OWN(sm4_rounds<mixed_round>, 4)},
    {"tdpfp16ps",
     {2, kF2, 0, 0x5c},
     k128,
     Place::kRegister,
     kTdpbf16ps,
     kAmxTile | kAmxFp16,
     OWN(tile_dot_fp16, 1)},
    {"tcmmimfp16ps",
     {2, k66, 0, 0x6c},
     k128,
     Place::kRegister,
     kTdpbf16ps,
     kAmxTile | kAmxComplex,
     OWN(tile_complex_imaginary, 1)},
    {"tcmmrlfp16ps",
     {2, kNone, 0, 0x6c},
     k128,
     Place::kRegister,
     kTdpbf16ps,
     kAmxTile | kAmxComplex,
     OWN(tile_complex_real, 1)},
    COMPARE_ADD("o", 0),
    COMPARE_ADD("no", 1),
    COMPARE_ADD("b", 2),
    COMPARE_ADD("nb", 3),
    COMPARE_ADD("z", 4),
    COMPARE_ADD("nz", 5),
    COMPARE_ADD("be", 6),
    COMPARE_ADD("nbe", 7),
    COMPARE_ADD("s", 8),
    COMPARE_ADD("ns", 9),
    COMPARE_ADD("p", 10),
    COMPARE_ADD("np", 11),
    COMPARE_ADD("l", 12),
    COMPARE_ADD("nl", 13),
    COMPARE_ADD("le", 14),
    COMPARE_ADD("nle", 15),
};

bool is_prefix(U8 byte) { return (byte & 0xe7) == 0x26 || byte == 0x64 || byte == 0x65 || byte == 0x67; }

}  // namespace

const Newer* newer_instruction(const std::uint8_t* bytes, unsigned count, std::uint8_t* as) {
  unsigned at = 0;
  while (at < count && is_prefix(bytes[at])) at++;
  // VEX of three bytes, the opcode, ModRM: none of them is in map 1.
  if (count > ZYDIS_MAX_INSTRUCTION_LENGTH || at + 5 > count || bytes[at] != 0xc4) return nullptr;
  const U8* const vex = bytes + at;
  const unsigned map = vex[1] & 31, pp = vex[2] & 3, w = vex[2] >> 7, length = vex[2] >> 2 & 1;
  const bool memory = vex[4] < 0xc0;
  for (const Newer& one : instructions) {
    const VexOpcode& code = one.code;
    if (code.opcode != vex[3] || code.map != map || code.pp != pp || (code.w != kAnyW && code.w != w))
      continue;
    const bool placed = one.place == Place::kEither || memory == (one.place == Place::kMemory);
    if ((one.lengths >> length & 1) == 0 || !placed) continue;
    std::memcpy(as, bytes, count);
    U8* const to = as + at;
    to[1] = static_cast<U8>((to[1] & 0xe0) | one.as.map);
    to[2] = static_cast<U8>((to[2] & 0x7c) | (one.as.w == kAnyW ? w : one.as.w) << 7 | one.as.pp);
    to[3] = one.as.opcode;
    return &one;
  }
  return nullptr;
}

}  // namespace revenant::completion
