// Gathers and scatters, compression and expansion.
#include "elementwise.h"

namespace revenant::completion {
namespace {

U64& control(Operation& op) { return op.state().k[op.instruction().avx.mask.reg - ZYDIS_REGISTER_K0]; }

// How many elements a gather or scatter has: as many as both the indices and the data do.
unsigned elements(const Operation& op) {
  const unsigned index_width = op.instruction().opcode & 1 ? 8 : 4;
  const unsigned wide = index_width > op.width() ? index_width : op.width();
  return op.length() / wide;
}

// A gather of AVX2: the mask is the signs of a third operand's elements, and is cleared with them.
bool gather_by_vector(Operation& op) {
  const unsigned count = elements(op), width = op.width();
  std::uint8_t* const to = op.vector_register(0);
  std::uint8_t* const by = op.vector_register(2);
  for (unsigned i = 0; i < count; i++) {
    if ((by[(i + 1) * width - 1] & 0x80) != 0) {
      std::uint8_t element[8];
      if (!op.read(1, op.address(1, i), element, width)) return false;
      std::memcpy(to + i * width, element, width);
    }
    std::memset(by + i * width, 0, width);
  }
  std::memset(by, 0, 64);
  std::memset(to + count * width, 0, 64 - count * width);
  return true;
}

// Elements from the lowest; each is done, and its mask bit cleared, before the next one can fault.
bool gather(Operation& op) {
  if (op.instruction().encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) return gather_by_vector(op);
  const unsigned count = elements(op), width = op.width();
  U64& mask = control(op);
  std::uint8_t* const to = op.vector_register(0);
  for (unsigned i = 0; i < count; i++) {
    if ((mask >> i & 1) == 0) continue;
    std::uint8_t element[8];
    if (!op.read(1, op.address(1, i), element, width)) return false;
    std::memcpy(to + i * width, element, width);
    std::memset(to + op.length(), 0, 64 - op.length());
    mask &= ~(1ull << i);
  }
  mask = 0;
  std::memset(to + count * width, 0, 64 - count * width);
  return true;
}

bool scatter(Operation& op) {
  const unsigned count = elements(op), width = op.width();
  U64& mask = control(op);
  const std::uint8_t* const from = op.vector_register(1);
  for (unsigned i = 0; i < count; i++) {
    if ((mask >> i & 1) == 0) continue;
    if (!op.write(0, op.address(0, i), from + i * width, width)) return false;
    mask &= ~(1ull << i);
  }
  mask = 0;
  return true;
}

// Active elements of the source, side by side; memory has no more than those.
bool compress(Operation& op) {
  Vector a;
  if (!op.load(1, a)) return false;
  const unsigned width = op.width();
  Vector result;
  unsigned filled = 0;
  for (unsigned i = 0; i < op.count(); i++) {
    if (!op.active(i)) continue;
    std::memcpy(result.bytes + filled, a.bytes + i * width, width);
    filled += width;
  }
  if (op.is_memory(0)) return filled == 0 || op.write_elements(0, result.bytes, filled);
  std::uint8_t* const to = op.vector_register(0);
  std::memcpy(to, result.bytes, filled);
  if (op.zeroing()) std::memset(to + filled, 0, op.length() - filled);
  std::memset(to + op.length(), 0, 64 - op.length());
  return true;
}

// The reverse: elements that lie side by side, to the active ones.
bool expand(Operation& op) {
  const unsigned width = op.width();
  unsigned size = 0;
  for (unsigned i = 0; i < op.count(); i++) size += op.active(i) ? width : 0;
  Vector a, result;
  if (op.is_memory(1)) {
    if (size != 0 && !op.read_elements(1, a.bytes, size)) return false;
  } else if (!op.load(1, a)) {
    return false;
  }
  unsigned used = 0;
  for (unsigned i = 0; i < op.count(); i++) {
    if (!op.active(i)) continue;
    std::memcpy(result.bytes + i * width, a.bytes + used, width);
    used += width;
  }
  return op.finish(result);
}

#define ROW(name, function, width) \
  { ZYDIS_MNEMONIC_##name, function, width, 0 }
constexpr Row rows[] = {
    ROW(VPGATHERDD, gather, 4),    ROW(VPGATHERDQ, gather, 8),    ROW(VPGATHERQD, gather, 4),
    ROW(VPGATHERQQ, gather, 8),    ROW(VGATHERDPS, gather, 4),    ROW(VGATHERDPD, gather, 8),
    ROW(VGATHERQPS, gather, 4),    ROW(VGATHERQPD, gather, 8),    ROW(VPSCATTERDD, scatter, 4),
    ROW(VPSCATTERDQ, scatter, 8),  ROW(VPSCATTERQD, scatter, 4),  ROW(VPSCATTERQQ, scatter, 8),
    ROW(VSCATTERDPS, scatter, 4),  ROW(VSCATTERDPD, scatter, 8),  ROW(VSCATTERQPS, scatter, 4),
    ROW(VSCATTERQPD, scatter, 8),  ROW(VPCOMPRESSB, compress, 1), ROW(VPCOMPRESSW, compress, 2),
    ROW(VPCOMPRESSD, compress, 4), ROW(VPCOMPRESSQ, compress, 8), ROW(VCOMPRESSPS, compress, 4),
    ROW(VCOMPRESSPD, compress, 8), ROW(VPEXPANDB, expand, 1),     ROW(VPEXPANDW, expand, 2),
    ROW(VPEXPANDD, expand, 4),     ROW(VPEXPANDQ, expand, 8),     ROW(VEXPANDPS, expand, 4),
    ROW(VEXPANDPD, expand, 8),
};

}  // namespace

Rows memory_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
