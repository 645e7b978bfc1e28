// One decoded instruction being executed: its operands, its mask and its memory. What the tables' functions
// work with.
#pragma once

#include <Zydis/Zydis.h>

#include "state.h"
#include "vector.h"
#include "widths.h"

namespace revenant::completion {

struct Row;

// Whether a 32-bit address has an index and no base, which Zydis 4.0 gives R13D and no displacement.
inline bool is_baseless(const ZydisDecodedInstruction& instruction) {
  const auto& raw = instruction.raw;
  return instruction.address_width == 32 && raw.modrm.mod == 0 && raw.modrm.rm == 4 && raw.sib.base == 5;
}

class Operation {
 public:
  Operation(State& state, Memory& memory, Outcome& outcome, const ZydisDecodedInstruction& instruction,
            const ZydisDecodedOperand* operands, const Row& row);

  // Bytes of the vectors: 16, 32 or 64.
  unsigned length() const { return length_; }
  // Elements of the destination, by the row's width of an element; 1 for a scalar instruction.
  unsigned count() const { return count_; }
  // Bytes of one element, from the row.
  unsigned width() const { return width_; }
  std::uint8_t immediate() const { return immediate_; }
  // Bit i: element i is written. Only the bits of elements that there are.
  std::uint64_t mask() const { return mask_; }
  bool active(unsigned i) const { return (mask_ >> i & 1) != 0; }
  bool masked() const { return masked_; }
  // Whether masked-out elements become zero.
  bool zeroing() const { return zeroing_; }
  // Embedded rounding or SAE: no exceptions; and the rounding mode as in MXCSR.RC, or -1 to follow MXCSR.
  bool suppressed() const { return suppressed_; }
  int rounding() const { return rounding_; }

  const ZydisDecodedInstruction& instruction() const { return instruction_; }
  // Operands without the mask: 0 is the destination, then the sources, as the assembler names them.
  const ZydisDecodedOperand& operand(unsigned index) const { return *operands_[index]; }
  unsigned operands() const { return operand_count_; }
  bool is_memory(unsigned index) const { return operand(index).type == ZYDIS_OPERAND_TYPE_MEMORY; }
  // The number of the register that is the operand (0 to 31 of vectors, 0 to 7 of masks, 0 to 15 of general
  // ones).
  unsigned number(unsigned index) const;

  State& state() { return state_; }
  Memory& memory() { return memory_; }

  // The operand's elements, of `width` bytes in memory (0: those of the row): the register's 64 bytes, or
  // what memory has, repeated where it is broadcast, zero past that. Masked-out elements of memory are not
  // read unless the row says so. Returns false when the instruction faults.
  bool load(unsigned index, Vector& to, unsigned width = 0);

  // The destination's 64 bytes as they are.
  const Vector& old() const;

  // Ends the instruction: writes the destination (register or memory), element by element as the mask says,
  // the rest of a register zero. Returns false when memory faults.
  bool finish(const Vector& result) { return finish(result, length_, width_); }
  // The same with a result of `length` bytes in elements of `width`.
  bool finish(const Vector& result, unsigned length, unsigned width);
  // Whether the memory that is the destination (if it is) can be written as finish() would: for instructions
  // whose faults come before their floating-point exceptions.
  bool finishable(unsigned length, unsigned width);
  // The same for a scalar: element 0 by the mask, the rest of 16 bytes from `rest`.
  bool finish_scalar(const Vector& result, const Vector& rest);
  // Writes a mask register that is the destination: bits of `result` and of the mask. Of VEX, a vector of as
  // many elements, all ones or zeros.
  bool finish_mask(std::uint64_t result);
  // Writes a general register that is the destination (zero-extended from its size).
  void set_general(unsigned index, std::uint64_t value);
  std::uint64_t general(unsigned index) const;
  std::uint64_t& mask_register(unsigned index) { return state_.k[number(index)]; }
  std::uint8_t* vector_register(unsigned index) { return state_.zmm[number(index)]; }

  // The memory operand's linear address; `element`: the index of a gather's or scatter's vector element.
  std::uint64_t address(unsigned index, unsigned element = 0);
  // Of a row of AMX, whose index register is the distance from one row to the next.
  std::uint64_t row_address(unsigned index, unsigned row);
  // DS:RDI, with the segment and width that prefixes choose (VMASKMOVDQU).
  std::uint64_t implicit_address() const;
  // Memory with checks of canonical addresses. Return false when the instruction faults.
  bool read(unsigned index, std::uint64_t address, void* to, unsigned size);
  bool write(unsigned index, std::uint64_t address, const void* from, unsigned size);
  bool writable(unsigned index, std::uint64_t address, unsigned size);
  // The same for elements side by side: what reaches beyond canonical addresses is judged element by element.
  bool read_elements(unsigned index, void* to, unsigned size);
  bool write_elements(unsigned index, const void* from, unsigned size);

  // Ends with a fault.
  bool fault(Verdict verdict);
  // Ends with #GP when the memory operand is not aligned to its size. Returns whether it is.
  bool aligned(unsigned index);

 private:
  // `turns`: how often a general index register is added.
  std::uint64_t address_of(unsigned index, unsigned element, std::uint64_t turns);
  bool each_element(unsigned index, unsigned size, bool write);
  bool canonical(unsigned index, std::uint64_t address, unsigned size);

  State& state_;
  Memory& memory_;
  Outcome& outcome_;
  const ZydisDecodedInstruction& instruction_;
  const ZydisDecodedOperand* operands_[6];
  unsigned operand_count_;
  unsigned length_;
  unsigned count_;
  unsigned width_;
  std::uint64_t mask_;
  bool masked_;
  bool zeroing_;
  bool suppressed_;
  bool suppresses_faults_;
  int rounding_;
  std::uint8_t immediate_;
};

}  // namespace revenant::completion
