// The commonest instructions that every processor has, for what lies between those that it lacks. Only what
// leaves no flag undefined; whoever cannot be done here at once is left to the processor, with its fault.
#include <cstring>

#include <Zydis/Zydis.h>

#include "flags.h"
#include "operation.h"
#include "own_flags.h"

namespace revenant::completion {
namespace {

using namespace flags;
constexpr U64 kAlignmentCheck = 1 << 18, kTrap = 1 << 8, kResume = 1 << 16, kVirtual = 1 << 17;
// CF PF AF ZF SF TF DF OF NT AC ID: what POPF changes for a program (SDM vol. 2B, POPF).
constexpr U64 kPopped = 0x244dd5;
constexpr U64 kUserStackSegment = 0x2b;                 // Linux's
constexpr unsigned kCount = 1, kStack = 4, kFrame = 5;  // numbers of RCX, RSP, RBP

const ZydisDecoder& decoder() {
  struct Once {
    ZydisDecoder decoder;
    Once() { ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64); }
  };
  static const Once once;
  return once.decoder;
}

U64 extended(U64 value, unsigned bits) {
  return bits >= 64 ? value
                    : static_cast<U64>(static_cast<std::int64_t>(value << (64 - bits)) >> (64 - bits));
}

bool is_canonical(U64 address) {
  const std::int64_t sign = static_cast<std::int64_t>(address) >> 47;
  return sign == 0 || sign == -1;
}

class Plain {
 public:
  Plain(State& state, Memory& memory, const ZydisDecodedInstruction& instruction,
        const ZydisDecodedOperand* operands)
      : state_(state), memory_(memory), instruction_(instruction), operands_(operands) {}

  bool run(Allowed allowed);

 private:
  unsigned bits(unsigned index) const { return operands_[index].size; }
  bool in_memory(unsigned index) const { return operands_[index].type == ZYDIS_OPERAND_TYPE_MEMORY; }
  U64 mask(unsigned index) const { return low_bits(bits(index)); }

  // Of a general register: where it is, and the shift of AH to BH.
  U64& general(ZydisRegister name, unsigned& shift) {
    shift = 0;
    const auto from = [&](ZydisRegister first) -> unsigned { return static_cast<unsigned>(name - first); };
    if (name >= ZYDIS_REGISTER_RAX && name <= ZYDIS_REGISTER_R15) return state_.gpr[from(ZYDIS_REGISTER_RAX)];
    if (name >= ZYDIS_REGISTER_EAX && name <= ZYDIS_REGISTER_R15D)
      return state_.gpr[from(ZYDIS_REGISTER_EAX)];
    if (name >= ZYDIS_REGISTER_AX && name <= ZYDIS_REGISTER_R15W) return state_.gpr[from(ZYDIS_REGISTER_AX)];
    if (name >= ZYDIS_REGISTER_SPL) return state_.gpr[4 + from(ZYDIS_REGISTER_SPL)];
    if (name >= ZYDIS_REGISTER_AH) {
      shift = 8;
      return state_.gpr[from(ZYDIS_REGISTER_AH)];
    }
    return state_.gpr[from(ZYDIS_REGISTER_AL)];
  }
  static bool is_general(ZydisRegister name) {
    return name >= ZYDIS_REGISTER_AL && name <= ZYDIS_REGISTER_R15;
  }

  U64 offset(const ZydisDecodedOperandMem& place) {
    U64 sum = static_cast<U64>(place.disp.value);
    unsigned none;
    if (is_baseless(instruction_))
      sum = static_cast<U64>(instruction_.raw.disp.value);
    else if (place.base == ZYDIS_REGISTER_RIP || place.base == ZYDIS_REGISTER_EIP)
      sum += state_.rip + instruction_.length;
    else if (place.base != ZYDIS_REGISTER_NONE)
      sum += general(place.base, none);
    if (place.index != ZYDIS_REGISTER_NONE) sum += general(place.index, none) * place.scale;
    return instruction_.address_width == 32 ? sum & 0xffffffff : sum;
  }
  U64 address(unsigned index) {
    const ZydisDecodedOperandMem& place = operands_[index].mem;
    U64 sum = offset(place);
    if (place.segment == ZYDIS_REGISTER_FS) sum += state_.fs_base;
    if (place.segment == ZYDIS_REGISTER_GS) sum += state_.gs_base;
    return sum;
  }

  bool load(U64 at, void* to, unsigned size) {
    MemoryFault unused;
    return is_canonical(at) && is_canonical(at + size - 1) && memory_.read(at, to, size, unused);
  }
  bool store(U64 at, const void* from, unsigned size) {
    MemoryFault unused;
    return is_canonical(at) && is_canonical(at + size - 1) && memory_.write(at, from, size, unused);
  }

  bool get(unsigned index, U64& to) {
    const ZydisDecodedOperand& operand = operands_[index];
    to = 0;
    switch (operand.type) {
      case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        to = operand.imm.value.u;
        return true;
      case ZYDIS_OPERAND_TYPE_REGISTER: {
        if (!is_general(operand.reg.value)) return false;
        unsigned shift;
        to = general(operand.reg.value, shift) >> shift & mask(index);
        return true;
      }
      case ZYDIS_OPERAND_TYPE_MEMORY:
        return bits(index) <= 64 && load(address(index), &to, bits(index) / 8);
      default:
        return false;
    }
  }
  bool set(unsigned index, U64 value) {
    const ZydisDecodedOperand& operand = operands_[index];
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY) return store(address(index), &value, bits(index) / 8);
    if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER || !is_general(operand.reg.value)) return false;
    unsigned shift;
    U64& to = general(operand.reg.value, shift);
    const unsigned width = bits(index);
    if (width >= 32)
      to = value & mask(index);
    else
      to = (to & ~(mask(index) << shift)) | (value & mask(index)) << shift;
    return true;
  }

  void set_flags(U64 which, U64 value) { state_.rflags = (state_.rflags & ~which) | (value & which); }
  bool condition(unsigned code) const { return holds(code, state_.rflags); }

  bool add(bool carries, bool subtracts, bool stores, U64 affected) {
    U64 a, b;
    if (!get(0, a)) return false;
    if (instruction_.mnemonic == ZYDIS_MNEMONIC_INC || instruction_.mnemonic == ZYDIS_MNEMONIC_DEC)
      b = 1;
    else if (!get(1, b))
      return false;
    return sum(a, b, carries, subtracts, stores, affected);
  }
  bool sum(U64 a, U64 b, bool carries, bool subtracts, bool stores, U64 affected) {
    const unsigned width = bits(0);
    const U64 all = low_bits(width);
    const U64 carry = carries && (state_.rflags & kCarry) != 0 ? 1 : 0;
    b &= all;
    const U64 result = (subtracts ? a - b - carry : a + b + carry) & all;
    if (stores && !set(0, result)) return false;
    set_flags(affected, of_sum(a, b, carry, subtracts, width, result));
    return true;
  }
  template <class Combine>
  bool logic(Combine combine, bool stores) {
    U64 a, b;
    if (!get(0, a) || !get(1, b)) return false;
    const U64 result = combine(a, b) & mask(0);
    if (stores && !set(0, result)) return false;
    // The auxiliary flag is undefined in the manuals, and clear on every processor.
    set_flags(kArithmetic, of_result(result, bits(0)));
    return true;
  }
  // Instructions that leave flags undefined: by the processor's own.
  bool own_flags() {
    OwnInstruction own = {instruction_.mnemonic, bits(0), state_.rflags & kArithmetic, 0, 0};
    switch (instruction_.mnemonic) {
      case ZYDIS_MNEMONIC_ROL:
      case ZYDIS_MNEMONIC_ROR:
        if (operands_[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && !rotates_alike()) return false;
        [[fallthrough]];
      case ZYDIS_MNEMONIC_RCL:
      case ZYDIS_MNEMONIC_RCR:
      case ZYDIS_MNEMONIC_SHL:
      case ZYDIS_MNEMONIC_SHR:
      case ZYDIS_MNEMONIC_SAR:
        if (!get(0, own.to) || !get(1, own.from)) return false;
        break;
      case ZYDIS_MNEMONIC_IMUL:
      case ZYDIS_MNEMONIC_BSF:
      case ZYDIS_MNEMONIC_BSR:
        if (instruction_.operand_count_visible < 2 || !get(0, own.to)) return false;
        if (instruction_.operand_count_visible == 3 && !get(2, own.to)) return false;
        if (!get(1, own.from)) return false;
        break;
      case ZYDIS_MNEMONIC_BT:
      case ZYDIS_MNEMONIC_BTS:
      case ZYDIS_MNEMONIC_BTR:
      case ZYDIS_MNEMONIC_BTC:
        // In memory a register reaches beyond the operand.
        if (in_memory(0) || !get(0, own.to) || !get(1, own.from)) return false;
        break;
      default:
        return false;
    }
    if (!execute_own(own)) return false;
    const bool scans =
        instruction_.mnemonic == ZYDIS_MNEMONIC_BSF || instruction_.mnemonic == ZYDIS_MNEMONIC_BSR;
    // A scan that finds nothing leaves its register as it is, the upper half of it not everywhere.
    if (scans && (own.flags & kZero) != 0 && bits(0) == 32) return false;
    const bool stores = scans ? (own.flags & kZero) == 0 : instruction_.mnemonic != ZYDIS_MNEMONIC_BT;
    if (stores && !set(0, own.to)) return false;
    set_flags(kArithmetic, own.flags);
    return true;
  }
  bool push(U64 value) {
    const U64 at = state_.gpr[kStack] - 8;
    if (!store(at, &value, 8)) return false;
    state_.gpr[kStack] = at;
    return true;
  }
  bool push_flags() {
    const U64 value = state_.rflags & ~(kResume | kVirtual), at = state_.gpr[kStack] - flag_bytes();
    if (!store(at, &value, flag_bytes())) return false;
    state_.gpr[kStack] = at;
    return true;
  }
  bool pop_flags() {
    U64 value = 0;
    if (!load(state_.gpr[kStack], &value, flag_bytes()) || (value & kTrap) != 0) return false;
    state_.gpr[kStack] += flag_bytes();
    set_flags(kPopped & low_bits(8 * flag_bytes()), value);
    return true;
  }
  unsigned flag_bytes() const { return instruction_.operand_width == 16 ? 2 : 8; }
  // Of the stack's selector, which the program has already; events are held back until behind the next
  // instruction.
  bool keeps_stack_segment() {
    U64 value = 0;
    return (state_.rflags & kTrap) == 0 && get(1, value) && (value & 0xffff) == kUserStackSegment;
  }
  // One turn; RIP stays where there are more.
  bool string_operation() {
    constexpr U64 kBytesBack = 1 << 10;  // DF
    constexpr ZydisInstructionAttributes repeated =
        ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE;
    constexpr unsigned kSource = 6, kDestination = 7;
    if (instruction_.address_width != 64) return false;
    const unsigned opcode = instruction_.opcode & 0xfe;
    const bool repeats = (instruction_.attributes & repeated) != 0;
    const bool compares = opcode == 0xa6 || opcode == 0xae;
    // Between two turns Intel's processors show the flags of before the first, AMD's those of the last.
    if (repeats && compares) return false;
    if (repeats && state_.gpr[kCount] == 0) return true;
    if (compares) {
      if (!add(false, true, false, kArithmetic)) return false;
    } else if (U64 value;
               (opcode != 0xa4 && opcode != 0xaa && opcode != 0xac) || !get(1, value) || !set(0, value)) {
      return false;
    }
    const U64 size = bits(0) / 8, step = (state_.rflags & kBytesBack) != 0 ? 0 - size : size;
    if (opcode != 0xaa && opcode != 0xae) state_.gpr[kSource] += step;
    if (opcode != 0xac) state_.gpr[kDestination] += step;
    if (repeats && --state_.gpr[kCount] != 0) state_.rip -= instruction_.length;
    return true;
  }
  bool exchange() {
    U64 a, b;
    if (!get(0, a) || !get(1, b)) return false;
    // Memory, which may refuse, is the first operand.
    return set(0, b) && set(1, a);
  }
  bool compare_exchange() {
    U64 value, wanted;
    if (!in_memory(0) || !get(0, value) || !get(1, wanted)) return false;
    const U64 expected = state_.gpr[0] & mask(0);
    const bool equal = value == expected;
    // It stores in any case.
    if (!set(0, equal ? wanted : value)) return false;
    sum(expected, value, false, true, false, kArithmetic);
    if (!equal) set_accumulator(value);
    return true;
  }
  void set_accumulator(U64 value) {
    const U64 all = mask(0);
    state_.gpr[0] = bits(0) >= 32 ? value & all : (state_.gpr[0] & ~all) | (value & all);
  }
  // With an operand-size prefix vendors differ.
  bool go_to(U64 target) {
    if (!is_canonical(target) || (instruction_.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) != 0) return false;
    state_.rip = target - instruction_.length;
    return true;
  }
  // Behind go_to(): pushes where to return to, or undoes.
  bool called(U64 from) {
    if (push(from + instruction_.length)) return true;
    state_.rip = from;
    return false;
  }
  // JRCXZ, LOOP, LOOPE, LOOPNE: opcodes E0 to E3.
  bool count_down() {
    const unsigned opcode = instruction_.opcode;
    if (instruction_.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT || (opcode & 0xfc) != 0xe0 ||
        instruction_.address_width != 64)
      return false;
    // Zen executes LOOPE for LOOPNE with F3, and the other way with F2.
    for (unsigned i = 0; i < instruction_.raw.prefix_count; i++)
      if ((instruction_.raw.prefixes[i].value & 0xfe) == 0xf2) return false;
    U64& count = state_.gpr[kCount];
    const bool is_zero = (state_.rflags & kZero) != 0;
    const bool jumps =
        opcode == 0xe3 ? count == 0 : count != 1 && (opcode == 0xe2 || is_zero == (opcode == 0xe1));
    U64 to;
    if (jumps && !(target(to) && go_to(to))) return false;
    if (opcode != 0xe3) count--;
    return true;
  }
  bool target(U64& to) {
    const ZydisDecodedOperand& operand = operands_[0];
    if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
      to = state_.rip + instruction_.length + static_cast<U64>(operand.imm.value.s);
      return operand.imm.is_relative == ZYAN_TRUE;
    }
    return bits(0) == 64 && get(0, to);
  }

  // 16 bytes of an XMM register, or of memory.
  bool is_vector(unsigned index) const {
    const ZydisDecodedOperand& operand = operands_[index];
    return operand.type == ZYDIS_OPERAND_TYPE_REGISTER && operand.reg.value >= ZYDIS_REGISTER_XMM0 &&
           operand.reg.value <= ZYDIS_REGISTER_XMM15;
  }
  std::uint8_t* vector(unsigned index) {
    return state_.zmm[static_cast<unsigned>(operands_[index].reg.value - ZYDIS_REGISTER_XMM0)];
  }
  bool move_vector(bool aligned) {
    std::uint8_t bytes[16];
    for (unsigned i = 0; i < 2; i++)
      if (in_memory(i) && aligned && (address(i) & 15) != 0) return false;
    if (is_vector(1))
      std::memcpy(bytes, vector(1), 16);
    else if (!in_memory(1) || !load(address(1), bytes, 16))
      return false;
    if (in_memory(0)) return store(address(0), bytes, 16);
    if (!is_vector(0)) return false;
    std::memcpy(vector(0), bytes, 16);
    return true;
  }
  // Of `size` bytes between memory, a general register and the low part of an XMM register; what is loaded
  // has zeros above it up to 16 bytes, but from register to register where `merges`.
  bool move_low(unsigned size, bool merges) {
    U64 value = 0;
    if (is_vector(1))
      std::memcpy(&value, vector(1), size);
    else if (!get(1, value))
      return false;
    if (!is_vector(0)) return set(0, value);
    std::uint8_t* const to = vector(0);
    if (!(merges && is_vector(1))) std::memset(to, 0, 16);
    std::memcpy(to, &value, size);
    return true;
  }
  // Eight bytes of an XMM register from memory or to it.
  bool move_half(unsigned at) {
    if (in_memory(1)) return is_vector(0) && load(address(1), vector(0) + at, 8);
    return in_memory(0) && is_vector(1) && store(address(0), vector(1) + at, 8);
  }
  bool exclusive_or() {
    std::uint8_t bytes[16];
    if (!is_vector(0)) return false;
    if (is_vector(1)) {
      std::memcpy(bytes, vector(1), 16);
    } else {
      if (!in_memory(1) || (address(1) & 15) != 0 || !load(address(1), bytes, 16)) return false;
    }
    std::uint8_t* const to = vector(0);
    for (unsigned i = 0; i < 16; i++) to[i] ^= bytes[i];
    return true;
  }

  State& state_;
  Memory& memory_;
  const ZydisDecodedInstruction& instruction_;
  const ZydisDecodedOperand* operands_;
};

bool Plain::run(Allowed allowed) {
  const bool branches = allowed.branches;
  const U64 rip = state_.rip;
  U64 value = 0;
  switch (instruction_.mnemonic) {
    case ZYDIS_MNEMONIC_NOP:
      // Others of that name are prefetches, some of them undefined with a register.
      return instruction_.opcode == (instruction_.opcode_map == ZYDIS_OPCODE_MAP_0F ? 0x1f : 0x90);
    case ZYDIS_MNEMONIC_ENDBR64:
      return true;
    case ZYDIS_MNEMONIC_MOV:
      if (operands_[0].reg.value == ZYDIS_REGISTER_SS && !in_memory(0)) return keeps_stack_segment();
      return get(1, value) && set(0, value);
    case ZYDIS_MNEMONIC_MOVZX:
      return get(1, value) && set(0, value);
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD:
      return get(1, value) && set(0, extended(value, bits(1)));
    case ZYDIS_MNEMONIC_LEA:
      return set(0, offset(operands_[1].mem));
    case ZYDIS_MNEMONIC_ADD:
      return add(false, false, true, kArithmetic);
    case ZYDIS_MNEMONIC_ADC:
      return add(true, false, true, kArithmetic);
    case ZYDIS_MNEMONIC_SUB:
      return add(false, true, true, kArithmetic);
    case ZYDIS_MNEMONIC_SBB:
      return add(true, true, true, kArithmetic);
    case ZYDIS_MNEMONIC_CMP:
      return add(false, true, false, kArithmetic);
    case ZYDIS_MNEMONIC_INC:
      return add(false, false, true, kArithmetic & ~U64{kCarry});
    case ZYDIS_MNEMONIC_DEC:
      return add(false, true, true, kArithmetic & ~U64{kCarry});
    case ZYDIS_MNEMONIC_NEG:
      return get(0, value) && sum(0, value, false, true, true, kArithmetic);
    case ZYDIS_MNEMONIC_NOT:
      return get(0, value) && set(0, ~value);
    case ZYDIS_MNEMONIC_AND:
      return logic([](U64 a, U64 b) { return a & b; }, true);
    case ZYDIS_MNEMONIC_TEST:
      return logic([](U64 a, U64 b) { return a & b; }, false);
    case ZYDIS_MNEMONIC_OR:
      return logic([](U64 a, U64 b) { return a | b; }, true);
    case ZYDIS_MNEMONIC_XOR:
      return logic([](U64 a, U64 b) { return a ^ b; }, true);
    case ZYDIS_MNEMONIC_PUSH:
      return bits(0) == 64 && get(0, value) && push(value);
    case ZYDIS_MNEMONIC_POP:
      if (bits(0) != 64 || in_memory(0) || !load(state_.gpr[kStack], &value, 8)) return false;
      state_.gpr[kStack] += 8;
      return set(0, value);
    case ZYDIS_MNEMONIC_LEAVE:
      if (instruction_.operand_width != 64 || !load(state_.gpr[kFrame], &value, 8)) return false;
      state_.gpr[kStack] = state_.gpr[kFrame] + 8;
      state_.gpr[kFrame] = value;
      return true;
    case ZYDIS_MNEMONIC_XCHG:
      return exchange();
    case ZYDIS_MNEMONIC_CMPXCHG:
      return compare_exchange();
    case ZYDIS_MNEMONIC_CDQE:
      state_.gpr[0] = extended(state_.gpr[0], 32);
      return true;
    case ZYDIS_MNEMONIC_CWDE:
      state_.gpr[0] = extended(state_.gpr[0], 16) & 0xffffffff;
      return true;
    case ZYDIS_MNEMONIC_CQO:
      state_.gpr[2] = state_.gpr[0] >> 63 != 0 ? ~0ull : 0;
      return true;
    case ZYDIS_MNEMONIC_CDQ:
      state_.gpr[2] = (state_.gpr[0] >> 31 & 1) != 0 ? 0xffffffff : 0;
      return true;
    case ZYDIS_MNEMONIC_PUSHF:
    case ZYDIS_MNEMONIC_PUSHFQ:
      return push_flags();
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFQ:
      return pop_flags();
    case ZYDIS_MNEMONIC_JMP:
      return target(value) && go_to(value);
    case ZYDIS_MNEMONIC_CALL:
      return target(value) && go_to(value) && called(rip);
    case ZYDIS_MNEMONIC_RET: {
      if ((instruction_.opcode & 0xfe) != 0xc2) return false;  // far
      if (!load(state_.gpr[kStack], &value, 8) || !go_to(value)) return false;
      const bool releases = operands_[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
      state_.gpr[kStack] += 8 + (releases ? operands_[0].imm.value.u & 0xffff : 0);
      return true;
    }
    case ZYDIS_MNEMONIC_MOVAPS:
    case ZYDIS_MNEMONIC_MOVAPD:
    case ZYDIS_MNEMONIC_MOVDQA:
      return move_vector(true);
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVUPD:
    case ZYDIS_MNEMONIC_MOVDQU:
      return move_vector(false);
    case ZYDIS_MNEMONIC_MOVD:
      return move_low(4, false);
    case ZYDIS_MNEMONIC_MOVQ:
      return move_low(8, false);
    case ZYDIS_MNEMONIC_MOVSS:
      return move_low(4, true);
    case ZYDIS_MNEMONIC_MOVSD:
      return instruction_.meta.category == ZYDIS_CATEGORY_STRINGOP ? string_operation() : move_low(8, true);
    case ZYDIS_MNEMONIC_MOVNTPS:
    case ZYDIS_MNEMONIC_MOVNTPD:
    case ZYDIS_MNEMONIC_MOVNTDQ:
      return move_vector(true);
    case ZYDIS_MNEMONIC_MOVNTI:
      return get(1, value) && set(0, value);
    case ZYDIS_MNEMONIC_MOVLPS:
    case ZYDIS_MNEMONIC_MOVLPD:
      return move_half(0);
    case ZYDIS_MNEMONIC_MOVHPS:
    case ZYDIS_MNEMONIC_MOVHPD:
      return move_half(8);
    case ZYDIS_MNEMONIC_PXOR:
    case ZYDIS_MNEMONIC_XORPS:
    case ZYDIS_MNEMONIC_XORPD:
      return exclusive_or();
    default:
      break;
  }
  if (allowed.undefined_flags && own_flags()) return true;
  const unsigned code = instruction_.opcode & 15;
  switch (instruction_.meta.category) {
    case ZYDIS_CATEGORY_COND_BR: {
      const bool is_jcc =
          instruction_.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT
              ? (instruction_.opcode & 0xf0) == 0x70
              : instruction_.opcode_map == ZYDIS_OPCODE_MAP_0F && (instruction_.opcode & 0xf0) == 0x80;
      if (!branches || (instruction_.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) != 0) return false;
      if (!is_jcc) return count_down();
      return !condition(code) || (target(value) && go_to(value));
    }
    case ZYDIS_CATEGORY_STRINGOP:
      return string_operation();
    case ZYDIS_CATEGORY_CMOV:
      // Memory is read, and the upper half zeroed, in any case.
      if (!get(1, value)) return false;
      return (condition(code) || get(0, value)) && set(0, value);
    case ZYDIS_CATEGORY_SETCC:
      return set(0, condition(code) ? 1 : 0);
    default:
      return false;
  }
}

}  // namespace

bool execute_plain(State& state, Memory& memory, const std::uint8_t* bytes, unsigned count, Allowed allowed) {
  ZydisDecodedInstruction instruction;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder(), bytes, count, &instruction, operands))) return false;
  constexpr ZydisInstructionAttributes excluded =
      ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_XACQUIRE | ZYDIS_ATTRIB_HAS_XRELEASE;
  if (instruction.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || (instruction.attributes & excluded) != 0 ||
      (state.rflags & kAlignmentCheck) != 0)
    return false;
  // An MMX register, a segment (but SS) or a control register is no operand here.
  if (!Plain(state, memory, instruction, operands).run(allowed)) return false;
  state.rip += instruction.length;
  return true;
}

}  // namespace revenant::completion
