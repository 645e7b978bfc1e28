#include "own_flags.h"

#include <initializer_list>

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

bool rotates_alike() {
  constexpr std::uint64_t kOverflow = 1 << 11;
  static const bool alike = [] {
    for (const std::uint64_t before : {std::uint64_t{0}, kOverflow}) {
      OwnInstruction instruction = {};
      std::uint64_t to = 0x30000001, flags = before | 0x202;
      OWN("roll $2, %k[to]");
      OwnInstruction by_count = {ZYDIS_MNEMONIC_ROL, 32, before, 0x30000001, 2};
      if (!execute_own(by_count) || (by_count.flags & kOverflow) != (flags & kOverflow)) return false;
    }
    return true;
  }();
  return alike;
}

#else

bool execute_own(OwnInstruction&) { return false; }
bool rotates_alike() { return false; }

#endif

}  // namespace revenant::completion
