// SHA-1 and SHA-256: parts of rounds and of message schedules (FIPS 180-4).
#include <bit>

#include "row.h"

namespace revenant::completion {
namespace {

U32 choice(U32 x, U32 y, U32 z) { return (x & y) ^ (~x & z); }
U32 parity(U32 x, U32 y, U32 z) { return x ^ y ^ z; }
U32 majority(U32 x, U32 y, U32 z) { return (x & y) ^ (x & z) ^ (y & z); }

// function(result, destination's words, source's words, operation), words from the lowest.
template <auto function>
bool words(Operation& op) {
  Vector a, b, result;
  if (!op.load(0, a) || !op.load(1, b)) return false;
  function(result, a, b, op);
  return op.finish(result);
}

// SHA1RNDS4: four rounds; A is the highest word, E is in the source with the message.
void rounds1(Vector& result, const Vector& a, const Vector& b, Operation& op) {
  constexpr U32 constants[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
  constexpr U32 (*functions[4])(U32, U32, U32) = {choice, parity, majority, parity};
  const unsigned kind = op.immediate() & 3;
  U32 s[5] = {a.get<U32>(3), a.get<U32>(2), a.get<U32>(1), a.get<U32>(0), 0};
  for (unsigned i = 0; i < 4; i++) {
    const U32 next =
        functions[kind](s[1], s[2], s[3]) + std::rotl(s[0], 5) + b.get<U32>(3 - i) + s[4] + constants[kind];
    s[4] = s[3];
    s[3] = s[2];
    s[2] = std::rotl(s[1], 30);
    s[1] = s[0];
    s[0] = next;
  }
  for (unsigned i = 0; i < 4; i++) result.set<U32>(3 - i, s[i]);
}

void next_e(Vector& result, const Vector& a, const Vector& b, Operation&) {
  result = b;
  result.set<U32>(3, b.get<U32>(3) + std::rotl(a.get<U32>(3), 30));
}

void message1_first(Vector& result, const Vector& a, const Vector& b, Operation&) {
  const U32 w[6] = {a.get<U32>(3), a.get<U32>(2), a.get<U32>(1), a.get<U32>(0), b.get<U32>(3), b.get<U32>(2)};
  for (unsigned i = 0; i < 4; i++) result.set<U32>(3 - i, w[i + 2] ^ w[i]);
}

void message1_second(Vector& result, const Vector& a, const Vector& b, Operation&) {
  const U32 w16 = std::rotl(a.get<U32>(3) ^ b.get<U32>(2), 1);
  result.set<U32>(3, w16);
  result.set<U32>(2, std::rotl(a.get<U32>(2) ^ b.get<U32>(1), 1));
  result.set<U32>(1, std::rotl(a.get<U32>(1) ^ b.get<U32>(0), 1));
  result.set<U32>(0, std::rotl(a.get<U32>(0) ^ w16, 1));
}

// SHA256RNDS2: two rounds; the destination has C, D, G, H, the source A, B, E, F, from the highest; XMM0 the
// message with the constants added.
bool rounds256(Operation& op) {
  Vector a, b, by, result;
  if (!op.load(0, a) || !op.load(1, b) || !op.load(2, by)) return false;
  U32 s[8] = {b.get<U32>(3), b.get<U32>(2), a.get<U32>(3), a.get<U32>(2),
              b.get<U32>(1), b.get<U32>(0), a.get<U32>(1), a.get<U32>(0)};
  for (unsigned i = 0; i < 2; i++) {
    const U32 sum1 = std::rotr(s[4], 6) ^ std::rotr(s[4], 11) ^ std::rotr(s[4], 25);
    const U32 sum0 = std::rotr(s[0], 2) ^ std::rotr(s[0], 13) ^ std::rotr(s[0], 22);
    const U32 first = choice(s[4], s[5], s[6]) + sum1 + by.get<U32>(i) + s[7];
    const U32 second = majority(s[0], s[1], s[2]) + sum0;
    for (unsigned j = 7; j > 0; j--) s[j] = s[j - 1];
    s[4] += first;
    s[0] = first + second;
  }
  result.set<U32>(3, s[0]);
  result.set<U32>(2, s[1]);
  result.set<U32>(1, s[4]);
  result.set<U32>(0, s[5]);
  return op.finish(result);
}

void message256_first(Vector& result, const Vector& a, const Vector& b, Operation&) {
  for (unsigned i = 0; i < 4; i++) {
    const U32 next = i < 3 ? a.get<U32>(i + 1) : b.get<U32>(0);
    result.set<U32>(i, a.get<U32>(i) + (std::rotr(next, 7) ^ std::rotr(next, 18) ^ next >> 3));
  }
}

void message256_second(Vector& result, const Vector& a, const Vector& b, Operation&) {
  for (unsigned i = 0; i < 4; i++) {
    const U32 before = i < 2 ? b.get<U32>(i + 2) : result.get<U32>(i - 2);
    result.set<U32>(i, a.get<U32>(i) + (std::rotr(before, 17) ^ std::rotr(before, 19) ^ before >> 10));
  }
}

#define ROW(name, function, flags) \
  { ZYDIS_MNEMONIC_##name, function, 4, flags }
constexpr Row rows[] = {
    ROW(SHA1RNDS4, words<rounds1>, 0),
    ROW(SHA1NEXTE, words<next_e>, 0),
    ROW(SHA1MSG1, words<message1_first>, 0),
    ROW(SHA1MSG2, words<message1_second>, 0),
    ROW(SHA256RNDS2, rounds256, kTakesXmm0),
    ROW(SHA256MSG1, words<message256_first>, 0),
    ROW(SHA256MSG2, words<message256_second>, 0),
};

}  // namespace

Rows hash_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
