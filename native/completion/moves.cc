// Moves, broadcasts, insertions, extractions and blends.
#include "elementwise.h"

namespace revenant::completion {
namespace {

bool move(Operation& op) {
  Vector a;
  return op.load(1, a) && op.finish(a);
}

// Pairs of elements made equal: the even ones, or the odd ones.
template <class T, unsigned odd>
bool duplicate(Operation& op) {
  Vector a, result;
  if (!op.load(1, a)) return false;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++) result.set<T>(i, a.get<T>((i & ~1u) | odd));
  return op.finish(result);
}

// One element of a vector to memory or from it (zeros above), or between registers (the rest from the first
// source).
bool move_scalar(Operation& op) {
  Vector a, b;
  if (op.operands() == 3) {
    if (!op.load(1, a) || !op.load(2, b)) return false;
    return op.finish_scalar(b, a);
  }
  if (!op.load(1, b)) return false;
  std::memset(a.bytes, 0, 64);
  return op.finish_scalar(b, a);
}

bool is_general(const Operation& op, unsigned index) {
  const ZydisRegister value = op.operand(index).reg.value;
  return op.operand(index).type == ZYDIS_OPERAND_TYPE_REGISTER && value < ZYDIS_REGISTER_ST0;
}

// VMOVD, VMOVQ, VMOVW: element 0 to or from a general register, memory or a vector.
bool move_word(Operation& op) {
  Vector a;
  std::memset(a.bytes, 0, 64);
  if (is_general(op, 1)) {
    a.set<std::uint64_t>(0, op.general(1));
  } else if (!op.load(1, a)) {
    return false;
  }
  std::uint64_t value = 0;
  std::memcpy(&value, a.bytes, op.width());
  if (is_general(op, 0)) {
    op.set_general(0, value);
    return true;
  }
  if (op.is_memory(0)) return op.write(0, op.address(0), &value, op.width());
  std::memset(a.bytes, 0, 64);
  a.set<std::uint64_t>(0, value);
  return op.finish(a, 16, 8);
}

// VMOVLPS and kin: 8 bytes between memory and a half of 16.
template <unsigned half>
bool move_half(Operation& op) {
  Vector a;
  if (op.is_memory(0)) {
    if (!op.load(1, a)) return false;
    return op.write(0, op.address(0), a.bytes + 8 * half, 8);
  }
  std::uint8_t loaded[8];
  if (!op.read(2, op.address(2), loaded, 8) || !op.load(1, a)) return false;
  std::memcpy(a.bytes + 8 * half, loaded, 8);
  return op.finish(a, 16, 8);
}

// VMOVLHPS (to half 1 from half 0) and VMOVHLPS (to 0 from 1).
template <unsigned half>
bool move_across(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  std::memcpy(a.bytes + 8 * half, b.bytes + 8 * (1 - half), 8);
  return op.finish(a, 16, 8);
}

bool extract_element(Operation& op) {
  Vector a;
  if (!op.load(1, a)) return false;
  const unsigned at = op.immediate() & (16 / op.width() - 1);
  std::uint64_t value = 0;
  std::memcpy(&value, a.bytes + at * op.width(), op.width());
  if (op.is_memory(0)) return op.write(0, op.address(0), &value, op.width());
  op.state().gpr[op.number(0)] = value;
  return true;
}

bool insert_element(Operation& op) {
  Vector a;
  std::uint64_t value = 0;
  if (op.is_memory(2)) {
    if (!op.read(2, op.address(2), &value, op.width())) return false;
  } else {
    value = op.general(2);
  }
  if (!op.load(1, a)) return false;
  const unsigned at = op.immediate() & (16 / op.width() - 1);
  std::memcpy(a.bytes + at * op.width(), &value, op.width());
  return op.finish(a, 16, op.width());
}

bool insert_single(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const unsigned from = op.is_memory(2) ? 0 : op.immediate() >> 6;
  a.set<std::uint32_t>(op.immediate() >> 4 & 3, b.get<std::uint32_t>(from));
  for (unsigned i = 0; i < 4; i++)
    if (op.immediate() >> i & 1) a.set<std::uint32_t>(i, 0);
  return op.finish(a, 16, 4);
}

// The source's first `bytes` bytes repeated.
template <unsigned bytes>
bool broadcast(Operation& op) {
  Vector a;
  if (is_general(op, 1)) {
    std::memset(a.bytes, 0, 64);
    a.set<std::uint64_t>(0, op.state().gpr[op.number(1)]);
  } else if (!op.load(1, a)) {
    return false;
  }
  for (unsigned at = bytes; at < 64; at += bytes) std::memcpy(a.bytes + at, a.bytes, bytes);
  return op.finish(a);
}

template <unsigned bytes>
bool extract(Operation& op) {
  Vector a;
  if (!op.load(1, a)) return false;
  const unsigned part = op.immediate() & (op.length() / bytes - 1);
  Vector result;
  std::memcpy(result.bytes, a.bytes + part * bytes, bytes);
  return op.finish(result, bytes, op.width());
}

template <unsigned bytes>
bool insert(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const unsigned part = op.immediate() & (op.length() / bytes - 1);
  std::memcpy(a.bytes + part * bytes, b.bytes, bytes);
  return op.finish(a);
}

// The mask chooses between the sources; with zeroing, between the second and zero.
bool blend(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const unsigned width = op.width();
  for (unsigned i = 0; i < op.count(); i++) {
    if (op.active(i)) {
      std::memcpy(a.bytes + i * width, b.bytes + i * width, width);
    } else if (op.zeroing()) {
      std::memset(a.bytes + i * width, 0, width);
    }
  }
  std::memset(a.bytes + op.length(), 0, 64 - op.length());
  std::memcpy(op.vector_register(0), a.bytes, 64);
  return true;
}

#define ROW(name, function, width, flags) \
  { ZYDIS_MNEMONIC_##name, function, width, flags }
constexpr Row rows[] = {
    ROW(VMOVAPS, move, 4, kAligned),
    ROW(VMOVAPD, move, 8, kAligned),
    ROW(VMOVDQA32, move, 4, kAligned),
    ROW(VMOVDQA64, move, 8, kAligned),
    ROW(VMOVNTPS, move, 4, kAligned),
    ROW(VMOVNTPD, move, 8, kAligned),
    ROW(VMOVNTDQ, move, 4, kAligned),
    ROW(VMOVNTDQA, move, 4, kAligned),
    ROW(VMOVUPS, move, 4, 0),
    ROW(VMOVUPD, move, 8, 0),
    ROW(VMOVDQU8, move, 1, 0),
    ROW(VMOVDQU16, move, 2, 0),
    ROW(VMOVDQU32, move, 4, 0),
    ROW(VMOVDQU64, move, 8, 0),
    ROW(VMOVSLDUP, (duplicate<std::uint32_t, 0>), 4, kReadsAll),
    ROW(VMOVSHDUP, (duplicate<std::uint32_t, 1>), 4, kReadsAll),
    ROW(VMOVDDUP, (duplicate<std::uint64_t, 0>), 8, kReadsAll),
    ROW(VMOVSS, move_scalar, 4, kScalar),
    ROW(VMOVSD, move_scalar, 8, kScalar),
    ROW(VMOVSH, move_scalar, 2, kScalar),
    ROW(VMOVD, move_word, 4, kScalar),
    ROW(VMOVQ, move_word, 8, kScalar),
    ROW(VMOVW, move_word, 2, kScalar),
    ROW(VMOVLPS, move_half<0>, 8, 0),
    ROW(VMOVLPD, move_half<0>, 8, 0),
    ROW(VMOVHPS, move_half<1>, 8, 0),
    ROW(VMOVHPD, move_half<1>, 8, 0),
    ROW(VMOVHLPS, move_across<0>, 8, 0),
    ROW(VMOVLHPS, move_across<1>, 8, 0),
    ROW(VPEXTRB, extract_element, 1, 0),
    ROW(VPEXTRW, extract_element, 2, 0),
    ROW(VPEXTRD, extract_element, 4, 0),
    ROW(VPEXTRQ, extract_element, 8, 0),
    ROW(VEXTRACTPS, extract_element, 4, 0),
    ROW(VPINSRB, insert_element, 1, 0),
    ROW(VPINSRW, insert_element, 2, 0),
    ROW(VPINSRD, insert_element, 4, 0),
    ROW(VPINSRQ, insert_element, 8, 0),
    ROW(VINSERTPS, insert_single, 4, kScalar),
    ROW(VPBROADCASTB, broadcast<1>, 1, 0),
    ROW(VPBROADCASTW, broadcast<2>, 2, 0),
    ROW(VPBROADCASTD, broadcast<4>, 4, 0),
    ROW(VPBROADCASTQ, broadcast<8>, 8, 0),
    ROW(VBROADCASTSS, broadcast<4>, 4, 0),
    ROW(VBROADCASTSD, broadcast<8>, 8, 0),
    ROW(VBROADCASTF32X2, broadcast<8>, 4, 0),
    ROW(VBROADCASTI32X2, broadcast<8>, 4, 0),
    ROW(VBROADCASTF32X4, broadcast<16>, 4, 0),
    ROW(VBROADCASTI32X4, broadcast<16>, 4, 0),
    ROW(VBROADCASTF64X2, broadcast<16>, 8, 0),
    ROW(VBROADCASTI64X2, broadcast<16>, 8, 0),
    ROW(VBROADCASTF32X8, broadcast<32>, 4, 0),
    ROW(VBROADCASTI32X8, broadcast<32>, 4, 0),
    ROW(VBROADCASTF64X4, broadcast<32>, 8, 0),
    ROW(VBROADCASTI64X4, broadcast<32>, 8, 0),
    ROW(VEXTRACTF32X4, extract<16>, 4, kReadsAll),
    ROW(VEXTRACTI32X4, extract<16>, 4, kReadsAll),
    ROW(VEXTRACTF64X2, extract<16>, 8, kReadsAll),
    ROW(VEXTRACTI64X2, extract<16>, 8, kReadsAll),
    ROW(VEXTRACTF32X8, extract<32>, 4, kReadsAll),
    ROW(VEXTRACTI32X8, extract<32>, 4, kReadsAll),
    ROW(VEXTRACTF64X4, extract<32>, 8, kReadsAll),
    ROW(VEXTRACTI64X4, extract<32>, 8, kReadsAll),
    ROW(VINSERTF32X4, insert<16>, 4, kReadsAll),
    ROW(VINSERTI32X4, insert<16>, 4, kReadsAll),
    ROW(VINSERTF64X2, insert<16>, 8, kReadsAll),
    ROW(VINSERTI64X2, insert<16>, 8, kReadsAll),
    ROW(VINSERTF32X8, insert<32>, 4, kReadsAll),
    ROW(VINSERTI32X8, insert<32>, 4, kReadsAll),
    ROW(VINSERTF64X4, insert<32>, 8, kReadsAll),
    ROW(VINSERTI64X4, insert<32>, 8, kReadsAll),
    ROW(VPBLENDMB, blend, 1, 0),
    ROW(VPBLENDMW, blend, 2, 0),
    ROW(VPBLENDMD, blend, 4, 0),
    ROW(VPBLENDMQ, blend, 8, 0),
    ROW(VBLENDMPS, blend, 4, 0),
    ROW(VBLENDMPD, blend, 8, 0),
};

}  // namespace

Rows move_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
