#include "silicon.h"

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include <cpuid.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

extern "C" {
extern const std::uint8_t completion_trampoline[];
extern const std::uint8_t completion_trampoline_slot[];
extern const std::uint8_t completion_trampoline_leave[];
extern const std::uint8_t completion_trampoline_end[];
extern const std::uint8_t completion_trampoline_avx[];
extern const std::uint8_t completion_trampoline_avx_slot[];
extern const std::uint8_t completion_trampoline_avx_leave[];
extern const std::uint8_t completion_trampoline_avx_end[];
}

namespace revenant::completion_test {
namespace {

// trampoline.S has these numbers.
static_assert(offsetof(completion::State, rflags) == 2248 && offsetof(completion::State, mxcsr) == 2272 &&
              offsetof(completion::State, mm) == 2304);

using completion::Outcome;
using completion::State;
using completion::Verdict;

constexpr std::uint64_t kTrapFlag = 0x100;
constexpr int kGeneralRegisters[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                       REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                       REG_R12, REG_R13, REG_R14, REG_R15};

struct Captured {
  State state;
  Outcome outcome;
  bool inside;
};
Captured captured;

// Groups that the processor executes although CPUID, by a hypervisor's wish, does not announce them.
std::uint64_t hidden_features;

// Offsets of XSAVE components 2 and 5 to 7 in a signal frame, from CPUID leaf 13 (AMD's are not Intel's).
unsigned component_offset[8];

struct Trampoline {
  const std::uint8_t *start, *slot, *leave, *end;
};
constexpr Trampoline kWide = {completion_trampoline, completion_trampoline_slot, completion_trampoline_leave,
                              completion_trampoline_end};
constexpr Trampoline kNarrow = {completion_trampoline_avx, completion_trampoline_avx_slot,
                                completion_trampoline_avx_leave, completion_trampoline_avx_end};
const Trampoline* trampoline;

std::uint64_t leave_address() {
  return kCodeAddress + static_cast<std::uint64_t>(trampoline->leave - trampoline->start);
}

void capture_vectors(const std::uint8_t* area) {
  State& state = captured.state;
  std::uint64_t present;
  std::memcpy(&present, area + 512, 8);
  std::memcpy(&state.mxcsr, area + 24, 4);
  // MMX instructions leave R0 at the top.
  for (unsigned i = 0; i < 8; i++) std::memcpy(&state.mm[i], area + 32 + 16 * i, 8);
  for (unsigned i = 0; i < 16; i++) {
    std::memset(state.zmm[i], 0, 64);
    if (present & 2) std::memcpy(state.zmm[i], area + 160 + 16 * i, 16);
    if (present & 4) std::memcpy(state.zmm[i] + 16, area + component_offset[2] + 16 * i, 16);
    if (present & 64) std::memcpy(state.zmm[i] + 32, area + component_offset[6] + 32 * i, 32);
  }
  for (unsigned i = 0; i < 16; i++) {
    std::memset(state.zmm[16 + i], 0, 64);
    if (present & 128) std::memcpy(state.zmm[16 + i], area + component_offset[7] + 64 * i, 64);
  }
  for (unsigned i = 0; i < 8; i++) {
    state.k[i] = 0;
    if (present & 32) std::memcpy(&state.k[i], area + component_offset[5] + 8 * i, 8);
  }
}

Verdict verdict_of(int trap) {
  switch (trap) {
    case 1:
      return Verdict::kDone;
    case 6:
      return Verdict::kUndefined;
    case 12:
      return Verdict::kStackFault;
    case 13:
      return Verdict::kGeneralProtection;
    case 14:
      return Verdict::kPageFault;
    case 19:
      return Verdict::kFloatException;
    default:
      return Verdict::kNotMine;
  }
}

void on_signal(int number, siginfo_t*, void* context) {
  auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
  greg_t* registers = machine->gregs;
  if (!captured.inside) {
    // Ours, not the sample's: let the default action happen.
    signal(number, SIG_DFL);
    return;
  }
  captured.inside = false;
  for (unsigned i = 0; i < 16; i++)
    captured.state.gpr[i] = static_cast<std::uint64_t>(registers[kGeneralRegisters[i]]);
  captured.state.rip = static_cast<std::uint64_t>(registers[REG_RIP]);
  captured.state.rflags = static_cast<std::uint64_t>(registers[REG_EFL]) & ~(kTrapFlag | 0x10000);
  capture_vectors(reinterpret_cast<const std::uint8_t*>(machine->fpregs));
  captured.outcome = {};
  captured.outcome.verdict = verdict_of(static_cast<int>(registers[REG_TRAPNO]));
  captured.outcome.length = static_cast<std::uint8_t>(captured.state.rip - kInstructionAddress);
  if (captured.outcome.verdict == Verdict::kPageFault)
    captured.outcome.fault = {static_cast<std::uint64_t>(registers[REG_CR2]), (registers[REG_ERR] & 2) != 0};
  registers[REG_RIP] = static_cast<greg_t>(leave_address());
  registers[REG_EFL] &= ~static_cast<greg_t>(kTrapFlag | 0x400);
}

bool failed(const char* what) {
  std::fprintf(stderr, "completion-tests: %s: %s\n", what, std::strerror(errno));
  return false;
}

void* map(std::uint64_t address, std::size_t size, int protection, int fd, off_t offset) {
  const int flags = MAP_SHARED | (address != 0 ? MAP_FIXED_NOREPLACE : 0);
  return mmap(reinterpret_cast<void*>(address), size, protection, flags, fd, offset);
}

}  // namespace

namespace {

// Whether XCR0 has these bits.
bool has_state(std::uint32_t bits) {
  std::uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0) return false;
  std::uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & bits) == bits;
}

}  // namespace

bool has_avx() { return has_state(6); }

bool has_avx512() {
  if (!has_state(0xe6)) return false;
  const std::uint64_t needed = completion::kAvx512f | completion::kAvx512bw | completion::kAvx512vl;
  return (silicon_features() & needed) == needed;
}

completion::Vendor processor_vendor() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  __get_cpuid(0, &eax, &ebx, &ecx, &edx);
  return ebx == signature_AMD_ebx ? completion::Vendor::kAmd : completion::Vendor::kIntel;
}

std::uint64_t silicon_features() {
  using namespace completion;
  std::uint32_t a, b, c, d;
  std::uint64_t features = hidden_features;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return 0;
  const auto add = [&](std::uint32_t word, unsigned bit, std::uint64_t feature) {
    if (word >> bit & 1) features |= feature;
  };
  add(b, 16, kAvx512f);
  add(b, 17, kAvx512dq);
  add(b, 21, kAvx512ifma);
  add(b, 28, kAvx512cd);
  add(b, 30, kAvx512bw);
  add(b, 31, kAvx512vl);
  add(c, 1, kAvx512vbmi);
  add(c, 6, kAvx512vbmi2);
  add(c, 8, kGfni);
  add(c, 9, kVaes);
  add(c, 10, kVpclmulqdq);
  add(c, 11, kAvx512vnni);
  add(c, 12, kAvx512bitalg);
  add(c, 14, kAvx512vpopcntdq);
  add(d, 8, kAvx512vp2intersect);
  add(d, 23, kAvx512fp16);
  add(b, 3, kBmi1);
  add(b, 5, kAvx2);
  add(b, 8, kBmi2);
  add(b, 0, kFsgsbase);
  add(b, 19, kAdx);
  add(b, 23, kClflushopt);
  add(b, 24, kClwb);
  add(b, 29, kSha);
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) {
    add(a, 5, kAvx512bf16);
    add(a, 4, kAvxVnni);
  }
  if (__get_cpuid(0x80000001, &a, &b, &c, &d) != 0) {
    add(c, 0, kLahf);
    add(c, 5, kLzcnt);
    add(c, 6, kSse4a);
  }
  if (__get_cpuid(0x80000008, &a, &b, &c, &d) != 0) add(b, 0, kClzero);
  if (__get_cpuid(1, &a, &b, &c, &d) != 0) {
    add(c, 0, kSse3);
    add(c, 9, kSsse3);
    add(c, 13, kCmpxchg16b);
    add(c, 19, kSse41);
    add(c, 20, kSse42);
    add(c, 22, kMovbe);
    add(c, 23, kPopcnt);
    add(c, 1, kPclmulqdq);
    add(c, 12, kFma);
    add(c, 25, kAes);
    add(c, 28, kAvx);
    add(c, 29, kF16c);
  }
  return features;
}

bool Silicon::open() {
  const int arena = memfd_create("arena", MFD_CLOEXEC);
  const int code = memfd_create("code", MFD_CLOEXEC);
  if (arena < 0 || code < 0 || ftruncate(arena, kArenaBytes) != 0 || ftruncate(code, kCodeBytes) != 0)
    return failed("memfd_create");
  const unsigned writable = kArenaBytes - kPage;
  trampoline = has_avx512() ? &kWide : &kNarrow;
  const auto size = static_cast<std::size_t>(trampoline->end - trampoline->start);
  void* const whole = map(0, kArenaBytes, PROT_READ | PROT_WRITE, arena, 0);
  void* const alias = map(0, kCodeBytes, PROT_READ | PROT_WRITE, code, 0);
  if (whole == MAP_FAILED || alias == MAP_FAILED ||
      map(kArenaAddress, writable, PROT_READ | PROT_WRITE, arena, 0) == MAP_FAILED ||
      map(kReadOnlyAddress, kPage, PROT_READ, arena, writable) == MAP_FAILED ||
      map(kCodeAddress, kPage, PROT_READ | PROT_EXEC, code, 0) == MAP_FAILED ||
      map(kCodeAddress + kPage, kCodeBytes - kPage, PROT_READ | PROT_WRITE, code, kPage) == MAP_FAILED)
    return failed("mmap of the arena");
  close(arena);
  close(code);
  arena_ = static_cast<std::uint8_t*>(whole);
  code_ = static_cast<std::uint8_t*>(alias);
  if (trampoline->slot - trampoline->start != kInstructionAddress - kCodeAddress) {
    errno = EINVAL;
    return failed("the slot is elsewhere");
  }
  std::memcpy(code_, trampoline->start, size);
  for (const unsigned component : {2u, 5u, 6u, 7u}) {
    std::uint32_t a, b = 0, c, d;
    __get_cpuid_count(13, component, &a, &b, &c, &d);
    component_offset[component] = b;
  }
  static std::uint8_t stack[65536];
  stack_t alternate = {};
  alternate.ss_sp = stack;
  alternate.ss_size = sizeof stack;
  if (sigaltstack(&alternate, nullptr) != 0) return failed("sigaltstack");
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (const int number : {SIGILL, SIGTRAP, SIGFPE, SIGSEGV, SIGBUS})
    if (sigaction(number, &action, nullptr) != 0) return failed("sigaction");
  constexpr std::uint8_t gf2p8mulb[15] = {0x66, 0x0f, 0x38, 0xcf, 0xc1, 0x90, 0x90, 0x90};
  State state = {};
  state.rflags = 0x202;
  state.mxcsr = 0x1f80;
  if (execute(state, gf2p8mulb).verdict == Verdict::kDone) hidden_features |= completion::kGfni;
  return true;
}

Outcome Silicon::execute(State& state, const std::uint8_t* bytes) {
  std::memcpy(code_ + (trampoline->slot - trampoline->start), bytes, 15);
  state.gpr[4] = kStackPointer;
  State& block = *reinterpret_cast<State*>(code_ + kPage);
  block = state;
  block.rflags |= kTrapFlag;
  // A gather or scatter that faults after some elements lets the trap come first, with RIP where it was.
  for (unsigned tries = 0; tries < 2; tries++) {
    captured.inside = true;
    reinterpret_cast<void (*)()>(kCodeAddress)();
    if (captured.outcome.verdict != Verdict::kDone || captured.outcome.length != 0) break;
    captured.state.rflags = state.rflags | kTrapFlag;
    captured.state.rip = kInstructionAddress;
    block = captured.state;
  }
  captured.state.fs_base = state.fs_base;
  captured.state.gs_base = state.gs_base;
  captured.state.vendor = state.vendor;
  captured.state.features = state.features;
  state = captured.state;
  return captured.outcome;
}

}  // namespace revenant::completion_test
