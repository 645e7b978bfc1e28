#include "own_flags.h"

namespace revenant::completion {

#ifdef __x86_64__

namespace {

// Below the red zone, in which the compiler may have something.
#define OWN(text)                                                            \
  asm volatile("leaq -128(%%rsp), %%rsp\n\tpushq %[flags]\n\tpopfq\n\t" text \
               "\n\tpushfq\n\tpopq %[flags]\n\tleaq 128(%%rsp), %%rsp"       \
               : [to] "+r"(to), [flags] "+r"(flags)                          \
               : [from] "c"(instruction.from)                                \
               : "cc")

#define WORDS(name, from)                 \
  switch (instruction.bits) {             \
    case 16:                              \
      OWN(#name "w " from(w) ", %w[to]"); \
      break;                              \
    case 32:                              \
      OWN(#name "l " from(k) ", %k[to]"); \
      break;                              \
    case 64:                              \
      OWN(#name "q " from(q) ", %q[to]"); \
      break;                              \
    default:                              \
      return false;                       \
  }                                       \
  break

#define COUNT(size) "%%cl"
#define SAME_SIZE(size) "%" #size "[from]"

#define SHIFT(name)              \
  if (instruction.bits == 8) {   \
    OWN(#name "b %%cl, %b[to]"); \
    break;                       \
  }                              \
  WORDS(name, COUNT)

}  // namespace

bool execute_own(OwnInstruction& instruction) {
  std::uint64_t to = instruction.to;
  // Interrupts, which a program has on, and the bit that is always one.
  std::uint64_t flags = instruction.flags | 0x202;
  switch (instruction.mnemonic) {
    case ZYDIS_MNEMONIC_ROL:
      SHIFT(rol);
    case ZYDIS_MNEMONIC_ROR:
      SHIFT(ror);
    case ZYDIS_MNEMONIC_RCL:
      SHIFT(rcl);
    case ZYDIS_MNEMONIC_RCR:
      SHIFT(rcr);
    case ZYDIS_MNEMONIC_SHL:
      SHIFT(shl);
    case ZYDIS_MNEMONIC_SHR:
      SHIFT(shr);
    case ZYDIS_MNEMONIC_SAR:
      SHIFT(sar);
    case ZYDIS_MNEMONIC_IMUL:
      WORDS(imul, SAME_SIZE);
    case ZYDIS_MNEMONIC_BSF:
      WORDS(bsf, SAME_SIZE);
    case ZYDIS_MNEMONIC_BSR:
      WORDS(bsr, SAME_SIZE);
    case ZYDIS_MNEMONIC_BT:
      WORDS(bt, SAME_SIZE);
    case ZYDIS_MNEMONIC_BTS:
      WORDS(bts, SAME_SIZE);
    case ZYDIS_MNEMONIC_BTR:
      WORDS(btr, SAME_SIZE);
    case ZYDIS_MNEMONIC_BTC:
      WORDS(btc, SAME_SIZE);
    default:
      return false;
  }
  instruction.to = to;
  instruction.flags = flags;
  return true;
}

#else

bool execute_own(OwnInstruction&) { return false; }

#endif

}  // namespace revenant::completion
