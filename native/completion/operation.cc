#include "operation.h"

#include "row.h"

namespace revenant::completion {
namespace {

std::uint64_t low_bits(unsigned count) { return count >= 64 ? ~0ull : (1ull << count) - 1; }

bool is_canonical(std::uint64_t address) {
  const std::int64_t sign = static_cast<std::int64_t>(address) >> 47;
  return sign == 0 || sign == -1;
}

unsigned general_number(ZydisRegister value) {
  // Zydis numbers AH to BH among the 8-bit ones; EVEX and VEX never name those.
  return static_cast<unsigned>(ZydisRegisterGetId(value)) & 15;
}

}  // namespace

Operation::Operation(State& state, Memory& memory, Outcome& outcome,
                     const ZydisDecodedInstruction& instruction, const ZydisDecodedOperand* operands,
                     const Row& row)
    : state_(state),
      memory_(memory),
      outcome_(outcome),
      instruction_(instruction),
      operands_{},
      operand_count_(0) {
  immediate_ = 0;
  for (unsigned i = 0; i < instruction.operand_count && operand_count_ < 6; i++) {
    if (operands[i].encoding == ZYDIS_OPERAND_ENCODING_MASK) continue;
    if (operands[i].visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
        ((row.flags & kTakesXmm0) == 0 || operands[i].reg.value != ZYDIS_REGISTER_XMM0))
      continue;
    if (operands[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
      immediate_ = static_cast<std::uint8_t>(operands[i].imm.value.u);
      continue;
    }
    operands_[operand_count_++] = &operands[i];
    if (i == 0 && (row.flags & kDestructive) != 0) operands_[operand_count_++] = &operands[i];
  }
  length_ =
      instruction.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY ? 16 : instruction.avx.vector_length / 8u;
  width_ = row.width;
  count_ = (row.flags & kScalar) != 0 || length_ == 0 ? 1 : length_ / width_;
  const ZydisMaskMode mode = instruction.avx.mask.mode;
  const ZydisRegister mask = instruction.avx.mask.reg;
  masked_ = mask > ZYDIS_REGISTER_K0 && mask <= ZYDIS_REGISTER_K7;
  zeroing_ = mode == ZYDIS_MASK_MODE_ZEROING || mode == ZYDIS_MASK_MODE_CONTROL_ZEROING;
  mask_ = low_bits(count_);
  if (masked_) mask_ &= state.k[mask - ZYDIS_REGISTER_K0];
  suppresses_faults_ = masked_ && (row.flags & kReadsAll) == 0;
  rounding_ = -1;
  switch (instruction.avx.rounding.mode) {
    case ZYDIS_ROUNDING_MODE_RN:
      rounding_ = 0;
      break;
    case ZYDIS_ROUNDING_MODE_RD:
      rounding_ = 1;
      break;
    case ZYDIS_ROUNDING_MODE_RU:
      rounding_ = 2;
      break;
    case ZYDIS_ROUNDING_MODE_RZ:
      rounding_ = 3;
      break;
    default:
      break;
  }
  suppressed_ = rounding_ >= 0 || instruction.avx.has_sae != ZYAN_FALSE;
}

unsigned Operation::number(unsigned index) const {
  const ZydisRegister value = operand(index).reg.value;
  if (value >= ZYDIS_REGISTER_K0 && value <= ZYDIS_REGISTER_K7) return value - ZYDIS_REGISTER_K0;
  if (value >= ZYDIS_REGISTER_XMM0) return static_cast<unsigned>(ZydisRegisterGetId(value)) & 31;
  return general_number(value);
}

const Vector& Operation::old() const { return *reinterpret_cast<const Vector*>(state_.zmm[number(0)]); }

bool Operation::load(unsigned index, Vector& to, unsigned width) {
  const ZydisDecodedOperand& source = operand(index);
  if (source.type == ZYDIS_OPERAND_TYPE_REGISTER) {
    std::memcpy(to.bytes, state_.zmm[number(index)], 64);
    return true;
  }
  std::memset(to.bytes, 0, 64);
  const unsigned size = source.size / 8u;
  if (width == 0) width = width_;
  if (width > size) width = size;
  const unsigned elements = size / width;
  // Which elements of memory any element of the destination needs.
  std::uint64_t needed = low_bits(elements);
  if (suppresses_faults_ && elements == count_) {
    needed = mask_;
  } else if (suppresses_faults_) {
    needed = 0;
    for (unsigned i = 0; i < count_; i++)
      if (active(i)) needed |= 1ull << (i % elements);
  }
  if (needed == 0) return true;
  const std::uint64_t start = address(index);
  // A masked access that reaches beyond canonical addresses is judged element by element.
  const bool across = suppresses_faults_ && is_canonical(start) != is_canonical(start + size - 1);
  if (needed == low_bits(elements) && !across) {
    if (!read(index, start, to.bytes, size)) return false;
  } else {
    // Intel's processors look at the addresses of all of them first.
    for (unsigned i = 0; across && state_.vendor == Vendor::kIntel && i < elements; i++)
      if ((needed >> i & 1) != 0 && !canonical(index, start + i * width, width)) return false;
    for (unsigned i = 0; i < elements; i++) {
      if ((needed >> i & 1) == 0) continue;
      if (!read(index, start + i * width, to.bytes + i * width, width)) return false;
    }
  }
  if (instruction_.avx.broadcast.mode != ZYDIS_BROADCAST_MODE_INVALID)
    for (unsigned at = size; at < 64; at += size) std::memcpy(to.bytes + at, to.bytes, size);
  return true;
}

bool Operation::finishable(unsigned length, unsigned width) {
  if (!is_memory(0)) return true;
  const std::uint64_t start = address(0);
  if (!suppresses_faults_) return writable(0, start, length);
  if (state_.vendor == Vendor::kIntel && is_canonical(start) != is_canonical(start + length - 1)) {
    for (unsigned i = 0; i < length / width; i++)
      if (active(i) && !canonical(0, start + i * width, width)) return false;
  }
  for (unsigned i = 0; i < length / width; i++)
    if (active(i) && !writable(0, start + i * width, width)) return false;
  return true;
}

bool Operation::finish(const Vector& result, unsigned length, unsigned width) {
  if (is_memory(0)) {
    const std::uint64_t start = address(0);
    if (!masked_) return write(0, start, result.bytes, length);
    if (!finishable(length, width)) return false;
    for (unsigned i = 0; i < length / width; i++)
      if (active(i)) write(0, start + i * width, result.bytes + i * width, width);
    return true;
  }
  std::uint8_t* const to = state_.zmm[number(0)];
  if (!masked_) {
    std::memcpy(to, result.bytes, length);
  } else {
    for (unsigned i = 0; i * width < length; i++) {
      if (active(i)) {
        std::memcpy(to + i * width, result.bytes + i * width, width);
      } else if (zeroing_) {
        std::memset(to + i * width, 0, width);
      }
    }
  }
  std::memset(to + length, 0, 64 - length);
  return true;
}

bool Operation::finish_scalar(const Vector& result, const Vector& rest) {
  if (is_memory(0)) return !active(0) || write(0, address(0), result.bytes, width_);
  std::uint8_t* const to = state_.zmm[number(0)];
  std::uint8_t element[8] = {};
  if (active(0)) {
    std::memcpy(element, result.bytes, width_);
  } else if (!zeroing_) {
    std::memcpy(element, to, width_);
  }
  std::uint8_t whole[16];
  std::memcpy(whole, rest.bytes, 16);
  std::memcpy(whole, element, width_);
  std::memcpy(to, whole, 16);
  std::memset(to + 16, 0, 48);
  return true;
}

bool Operation::finish_mask(std::uint64_t result) {
  if (operand(0).reg.value <= ZYDIS_REGISTER_K7 && operand(0).reg.value >= ZYDIS_REGISTER_K0) {
    state_.k[number(0)] = result & mask_;
    return true;
  }
  // VEX: elements of ones and zeros.
  Vector elements;
  for (unsigned i = 0; i < count_; i++)
    std::memset(elements.bytes + i * width_, (result >> i & 1) != 0 ? 0xff : 0, width_);
  if (count_ > 1) return finish(elements);
  return finish_scalar(elements, *reinterpret_cast<const Vector*>(state_.zmm[number(1)]));
}

void Operation::set_general(unsigned index, std::uint64_t value) {
  if (operand(index).size <= 32) value &= 0xffffffff;
  state_.gpr[number(index)] = value;
}

std::uint64_t Operation::general(unsigned index) const {
  const std::uint64_t value = state_.gpr[number(index)];
  const unsigned size = operand(index).size;
  return size >= 64 ? value : value & low_bits(size);
}

std::uint64_t Operation::address(unsigned index, unsigned element) { return address_of(index, element, 1); }

std::uint64_t Operation::row_address(unsigned index, unsigned row) { return address_of(index, 0, row); }

std::uint64_t Operation::address_of(unsigned index, unsigned element, std::uint64_t turns) {
  const ZydisDecodedOperandMem& place = operand(index).mem;
  std::uint64_t sum = static_cast<std::uint64_t>(place.disp.value);
  if (is_baseless(instruction_)) {
    sum = static_cast<std::uint64_t>(instruction_.raw.disp.value);
  } else if (place.base == ZYDIS_REGISTER_RIP || place.base == ZYDIS_REGISTER_EIP) {
    sum += state_.rip + instruction_.length;
  } else if (place.base != ZYDIS_REGISTER_NONE) {
    sum += state_.gpr[general_number(place.base)];
  }
  if (place.index >= ZYDIS_REGISTER_XMM0) {
    const auto& indices = *reinterpret_cast<const Vector*>(state_.zmm[ZydisRegisterGetId(place.index)]);
    // Zydis's index is the vector; whether its elements are 4 or 8 bytes wide is in the opcode's lowest bit.
    const bool wide = (instruction_.opcode & 1) != 0;
    const std::int64_t value = wide ? indices.get<std::int64_t>(element)
                                    : static_cast<std::int64_t>(indices.get<std::int32_t>(element));
    sum += static_cast<std::uint64_t>(value) * place.scale;
  } else if (place.index != ZYDIS_REGISTER_NONE) {
    sum += state_.gpr[general_number(place.index)] * place.scale * turns;
  }
  if (instruction_.address_width == 32) sum &= 0xffffffff;
  if (place.segment == ZYDIS_REGISTER_FS) sum += state_.fs_base;
  if (place.segment == ZYDIS_REGISTER_GS) sum += state_.gs_base;
  return sum;
}

std::uint64_t Operation::implicit_address() const {
  std::uint64_t address = state_.gpr[7];
  if (instruction_.address_width == 32) address &= 0xffffffff;
  if ((instruction_.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_FS) != 0) address += state_.fs_base;
  if ((instruction_.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_GS) != 0) address += state_.gs_base;
  return address;
}

bool Operation::canonical(unsigned index, std::uint64_t address, unsigned size) {
  if (is_canonical(address) && is_canonical(address + size - 1)) return true;
  return fault(is_memory(index) && operand(index).mem.segment == ZYDIS_REGISTER_SS
                   ? Verdict::kStackFault
                   : Verdict::kGeneralProtection);
}

bool Operation::read(unsigned index, std::uint64_t address, void* to, unsigned size) {
  if (!canonical(index, address, size)) return false;
  return memory_.read(address, to, size, outcome_.fault) || fault(Verdict::kPageFault);
}

bool Operation::write(unsigned index, std::uint64_t address, const void* from, unsigned size) {
  if (!canonical(index, address, size)) return false;
  return memory_.write(address, from, size, outcome_.fault) || fault(Verdict::kPageFault);
}

bool Operation::writable(unsigned index, std::uint64_t address, unsigned size) {
  if (!canonical(index, address, size)) return false;
  return memory_.writable(address, size, outcome_.fault) || fault(Verdict::kPageFault);
}

// Whether the elements of `size` bytes in memory are accessible, and a fault at the first one that is not.
bool Operation::each_element(unsigned index, unsigned size, bool write) {
  std::uint8_t unused[8];
  const std::uint64_t start = address(index);
  for (unsigned at = 0; at < size; at += width_) {
    const bool good = write ? writable(index, start + at, width_) : read(index, start + at, unused, width_);
    if (!good) return false;
  }
  return true;
}

bool Operation::read_elements(unsigned index, void* to, unsigned size) {
  const std::uint64_t start = address(index);
  if (masked_ && is_canonical(start) != is_canonical(start + size - 1))
    return each_element(index, size, false);
  return read(index, start, to, size);
}

bool Operation::write_elements(unsigned index, const void* from, unsigned size) {
  const std::uint64_t start = address(index);
  if (is_canonical(start) != is_canonical(start + size - 1)) return each_element(index, size, true);
  return write(index, start, from, size);
}

bool Operation::fault(Verdict verdict) {
  outcome_.verdict = verdict;
  return false;
}

bool Operation::aligned(unsigned index) {
  const unsigned size = operand(index).size / 8u;
  return (address(index) & (size - 1)) == 0 || fault(Verdict::kGeneralProtection);
}

}  // namespace revenant::completion
