// Makes a program believe that the processor has AVX, AVX-512, AMX, XOP, FMA4 and TBM, and executes what of
// that it executes by native/completion: an object for LD_PRELOAD. From the program's first constructor on
// every instruction is a single step. Before each, what is EVEX, VEX or XOP is executed in software (the
// upper halves of registers are not the processor's, so VEX is, too), CPUID and XGETBV are answered; the rest
// is the processor's.
//
// What the software does not execute ends the program with kNotExecuted and the instruction on standard
// error. At its end the program writes how many instructions were executed, and how many of AVX-512, AMX,
// XOP, FMA4 and TBM, into the file of $COMPLETION_COUNT.
#include <cpuid.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <Zydis/Zydis.h>

#include "../../../native/completion/state.h"

namespace {

using namespace revenant::completion;

constexpr int kNotExecuted = 90;
// Groups of state.h that are neither AVX-512's nor AMX's, nor Bulldozer's.
constexpr std::uint64_t kUsual =
    ~0ull & ~((kAvx512vp2intersect << 1) - 1) & ~(std::uint64_t{kAmxTile} | kXop | kFma4 | kTbm);
constexpr unsigned kRax = 0, kRcx = 1, kRdx = 2, kRbx = 3, kRdi = 7;
constexpr std::uint64_t kTrapFlag = 1 << 8;
constexpr unsigned kMostBytes = 15, kPage = 4096;
constexpr std::uint64_t kXcr0 = 0x602e7;
constexpr int kGetFs = 0x1003;              // arch_prctl(ARCH_GET_FS)
constexpr int kRequestPermission = 0x1023;  // arch_prctl(ARCH_REQ_XCOMP_PERM)
// Offsets in an XSAVE area.
constexpr unsigned kMxcsr = 24, kXmm = 160, kPresent = 512, kYmmHigh = 576;
// ucontext's registers in the order of encodings.
constexpr int kGeneral[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

// The program's own memory; a bad address ends it.
class OwnMemory final : public Memory {
 public:
  bool read(std::uint64_t address, void* to, unsigned size, MemoryFault&) override {
    std::memcpy(to, reinterpret_cast<const void*>(address), size);
    return true;
  }
  bool write(std::uint64_t address, const void* from, unsigned size, MemoryFault&) override {
    std::memcpy(reinterpret_cast<void*>(address), from, size);
    return true;
  }
  bool writable(std::uint64_t, unsigned, MemoryFault&) override { return true; }
};

State state;
OwnMemory memory;
unsigned long long executed;
// Whether one of AVX-512, AMX, XOP, FMA4 or TBM was among them.
bool has_missing;
ZydisDecoder decoder;
std::uint8_t tile_config[64], tile_data[8192];
alignas(64) char handler_stack[1 << 18];

[[noreturn]] void give_up(const char* what, const std::uint8_t* bytes, const char* name) {
  std::fprintf(stderr, "%s: %s:", what, name != nullptr ? name : "?");
  for (unsigned i = 0; i < 11; i++) std::fprintf(stderr, " %02x", bytes[i]);
  std::fprintf(stderr, "\n");
  _exit(kNotExecuted);
}

// EVEX, VEX or XOP.
bool is_vex(const std::uint8_t* at) {
  while ((*at & 0xe7) == 0x26 || *at == 0x64 || *at == 0x65 || *at == 0x67) at++;
  return *at == 0x62 || *at == 0xc4 || *at == 0xc5 || (*at == 0x8f && (at[1] & 0x1f) >= 8);
}

void load(const ucontext_t& context, const char* area) {
  for (int i = 0; i < 16; i++)
    state.gpr[i] = static_cast<std::uint64_t>(context.uc_mcontext.gregs[kGeneral[i]]);
  state.rip = static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RIP]);
  state.rflags = static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_EFL]);
  std::uint64_t present;
  std::memcpy(&present, area + kPresent, 8);
  std::memcpy(&state.mxcsr, area + kMxcsr, 4);
  for (int i = 0; i < 16; i++) {
    if (present & 2)
      std::memcpy(state.zmm[i], area + kXmm + 16 * i, 16);
    else
      std::memset(state.zmm[i], 0, 16);
    if (present & 4)
      std::memcpy(state.zmm[i] + 16, area + kYmmHigh + 16 * i, 16);
    else
      std::memset(state.zmm[i] + 16, 0, 16);
  }
}

void store(ucontext_t& context, char* area) {
  for (int i = 0; i < 16; i++) context.uc_mcontext.gregs[kGeneral[i]] = static_cast<greg_t>(state.gpr[i]);
  context.uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(state.rip);
  context.uc_mcontext.gregs[REG_EFL] = static_cast<greg_t>(state.rflags);
  std::uint64_t present;
  std::memcpy(&present, area + kPresent, 8);
  present |= 7;
  std::memcpy(area + kPresent, &present, 8);
  std::memcpy(area + kMxcsr, &state.mxcsr, 4);
  for (int i = 0; i < 16; i++) {
    std::memcpy(area + kXmm + 16 * i, state.zmm[i], 16);
    std::memcpy(area + kYmmHigh + 16 * i, state.zmm[i] + 16, 16);
  }
}

// A VEX instruction that is left to the processor: what it writes has zeros above 256 bits afterwards.
void left_to_processor(const std::uint8_t* bytes) {
  ZydisDecodedInstruction instruction;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, kMostBytes, &instruction, operands))) return;
  for (unsigned i = 0; i < instruction.operand_count; i++) {
    const bool writes = (operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
    if (!writes || operands[i].type != ZYDIS_OPERAND_TYPE_REGISTER) continue;
    const ZydisRegisterClass kind = ZydisRegisterGetClass(operands[i].reg.value);
    if (kind == ZYDIS_REGCLASS_XMM || kind == ZYDIS_REGCLASS_YMM)
      std::memset(state.zmm[ZydisRegisterGetId(operands[i].reg.value)] + 32, 0, 32);
  }
}

void answer_cpuid() {
  const auto leaf = static_cast<std::uint32_t>(state.gpr[kRax]);
  const auto subleaf = static_cast<std::uint32_t>(state.gpr[kRcx]);
  std::uint32_t a, b, c, d;
  __cpuid_count(leaf, subleaf, a, b, c, d);
  if (leaf == 1) c |= 1u << 1 | 1u << 12 | 1u << 25 | 1u << 27 | 1u << 28 | 1u << 29;
  // SDM vol. 2, CPUID: every group of state.h, and AMX.
  if (leaf == 7 && subleaf == 0) {
    if (a == 0) a = 1;
    b |= 1u << 3 | 1u << 5 | 1u << 8 | 1u << 16 | 1u << 17 | 1u << 21 | 1u << 28 | 1u << 30 | 1u << 31;
    c |= 1u << 1 | 1u << 6 | 1u << 8 | 1u << 9 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 14;
    d |= 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25;
  }
  if (leaf == 7 && subleaf == 1) a |= 1u << 4 | 1u << 5;
  if (leaf == 0x80000001) c |= 1u << 11 | 1u << 16 | 1u << 21;
  state.gpr[kRax] = a;
  state.gpr[kRbx] = b;
  state.gpr[kRcx] = c;
  state.gpr[kRdx] = d;
}

// Before an instruction: what of it and those that follow is not the processor's.
void step(int, siginfo_t*, void* raw) {
  auto& context = *static_cast<ucontext_t*>(raw);
  char* const area = reinterpret_cast<char*>(context.uc_mcontext.fpregs);
  load(context, area);
  for (;;) {
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(state.rip);
    if (bytes[0] == 0x0f && bytes[1] == 0xa2) {
      answer_cpuid();
      state.rip += 2;
      continue;
    }
    if (bytes[0] == 0x0f && bytes[1] == 0x01 && bytes[2] == 0xd0) {
      state.gpr[kRax] = state.gpr[kRcx] == 0 ? kXcr0 : 0;
      state.gpr[kRdx] = 0;
      state.rip += 3;
      continue;
    }
    if (bytes[0] == 0x0f && bytes[1] == 0x05 && state.gpr[kRax] == SYS_arch_prctl &&
        state.gpr[kRdi] == kRequestPermission) {
      state.gpr[kRax] = 0;
      state.rip += 2;
      continue;
    }
    if (!is_vex(bytes)) {
      if (execute_plain(state, memory, bytes, kMostBytes, {true, false})) continue;
      break;
    }
    const Outcome outcome = execute(state, memory, bytes, kMostBytes);
    switch (outcome.verdict) {
      case Verdict::kDone:
        executed++;
        if (!has_missing) has_missing = !executable(bytes, kMostBytes, kUsual);
        continue;
      case Verdict::kNotMine:
        if (bytes[0] == 0x62) give_up("not executed", bytes, mnemonic(bytes, kMostBytes));
        left_to_processor(bytes);
        store(context, area);
        return;
      case Verdict::kUndefined:
        give_up("#UD", bytes, mnemonic(bytes, kMostBytes));
      default:
        give_up("a fault", bytes, mnemonic(bytes, kMostBytes));
    }
  }
  store(context, area);
}

[[gnu::destructor]] void finish() {
  const char* const path = std::getenv("COMPLETION_COUNT");
  std::FILE* const file = path != nullptr ? std::fopen(path, "w") : nullptr;
  if (file == nullptr) return;
  std::fprintf(file, "%llu %d\n", executed, has_missing ? 1 : 0);
  std::fclose(file);
}

[[gnu::constructor]] void begin() {
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  state.features = ~0ull;
  state.vendor = Vendor::kIntel;
  state.tile_config = tile_config;
  state.tile_data = tile_data;
  struct sigaction action = {};
  action.sa_sigaction = step;
  // The program's pushes would reach the handler's own frames.
  stack_t stack = {};
  stack.ss_sp = handler_stack;
  stack.ss_size = sizeof handler_stack;
  sigaltstack(&stack, nullptr);
  unsigned long base;
  syscall(SYS_arch_prctl, kGetFs, &base);
  state.fs_base = base;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGTRAP, &action, nullptr);
  asm volatile("pushfq\n\torq %0, (%%rsp)\n\tpopfq" ::"i"(kTrapFlag) : "cc", "memory");
}

}  // namespace
