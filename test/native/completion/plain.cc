#include "plain.h"

#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "arena.h"
#include "random.h"
#include "sample.h"

namespace revenant::completion_test {
namespace {

using completion::State;

constexpr std::uint64_t kFlags = 0x8d5;

void* shared(std::uint64_t address, std::uint64_t size, int protection) {
  return mmap(reinterpret_cast<void*>(address), size, protection, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
              0);
}

unsigned long long* general_of(user_regs_struct& registers, unsigned number) {
  unsigned long long* const order[16] = {&registers.rax, &registers.rcx, &registers.rdx, &registers.rbx,
                                         &registers.rsp, &registers.rbp, &registers.rsi, &registers.rdi,
                                         &registers.r8,  &registers.r9,  &registers.r10, &registers.r11,
                                         &registers.r12, &registers.r13, &registers.r14, &registers.r15};
  return order[number];
}

// Opcodes of what the software may accept, with prefixes.
void random_plain(std::uint8_t* bytes, Random& random) {
  for (unsigned i = 0; i < 16; i += 8) {
    const std::uint64_t word = random.next();
    std::memcpy(bytes + i, &word, 8);
  }
  unsigned at = 0;
  if (random.one_in(5))
    bytes[at++] = 0x66;
  else if (random.one_in(12))
    bytes[at++] = random.one_in(2) ? 0xf3 : 0xf2;
  if (random.one_in(20)) bytes[at++] = 0x67;
  if (random.one_in(2)) bytes[at++] = static_cast<std::uint8_t>(0x40 | random.below(16));
  if (random.one_in(3)) {
    constexpr std::uint8_t second[] = {0x10, 0x11, 0x28, 0x29, 0x57, 0x6e, 0x6f, 0x7e, 0x7f, 0xb6, 0xb7,
                                       0xbe, 0xbf, 0xd6, 0xef, 0x1f, 0x40, 0x80, 0x90, 0xb0, 0xb1};
    bytes[at++] = 0x0f;
    const std::uint8_t opcode =
        random.one_in(2) ? static_cast<std::uint8_t>(random.next()) : second[random.below(sizeof second)];
    const bool coded = opcode == 0x40 || opcode == 0x80 || opcode == 0x90;
    bytes[at] = static_cast<std::uint8_t>(coded ? opcode | random.below(16) : opcode);
  } else if (random.one_in(8)) {
    constexpr std::uint8_t groups[] = {0xf6, 0xf7, 0xfe, 0xff};
    bytes[at] = groups[random.below(4)];
  }
}

// PUSHF and POPF show the trap flag of a stepped process; MOV SS is stepped with the next instruction.
bool shows_steps(const std::uint8_t* bytes) {
  const auto is_prefix = [](std::uint8_t byte) {
    return (byte & 0xf0) == 0x40 || (byte & 0xe7) == 0x26 || (byte & 0xfc) == 0x64 || (byte & 0xfe) == 0xf2;
  };
  while (is_prefix(*bytes)) bytes++;
  return (*bytes & 0xfe) == 0x9c || *bytes == 0x8e;
}

// Of SSE and SSE2 what needs no feature; but approximations, which are a vendor's.
bool execute_sse(State& state, ArenaMemory& memory, const std::uint8_t* bytes) {
  const char* const name = completion::mnemonic(bytes, 15);
  if (name == nullptr || std::strncmp(name, "rcp", 3) == 0 || std::strncmp(name, "rsqrt", 5) == 0)
    return false;
  const std::uint64_t features = state.features;
  state.features = 0;
  const bool done = completion::execute(state, memory, bytes, 15).verdict == completion::Verdict::kDone;
  state.features = features;
  return done;
}

bool equal(const State& a, const State& b) {
  return std::memcmp(a.gpr, b.gpr, sizeof a.gpr) == 0 && a.rip == b.rip &&
         ((a.rflags ^ b.rflags) & kFlags) == 0 && a.mxcsr == b.mxcsr &&
         std::memcmp(a.zmm, b.zmm, sizeof a.zmm) == 0;
}

}  // namespace

bool check_plain(std::uint64_t count, std::uint64_t seed) {
  auto* const arena = static_cast<std::uint8_t*>(shared(kArenaAddress, kArenaBytes, PROT_READ | PROT_WRITE));
  auto* const code =
      static_cast<std::uint8_t*>(shared(kCodeAddress, kCodeBytes, PROT_READ | PROT_WRITE | PROT_EXEC));
  if (arena == MAP_FAILED || code == MAP_FAILED) return false;
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    _exit(0);
  }
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return false;
  static std::uint8_t pristine[kArenaBytes], software[kArenaBytes];
  Random arena_random(seed);
  fill_arena(pristine, arena_random);
  user_regs_struct first;
  user_fpregs_struct floats;
  ptrace(PTRACE_GETREGS, child, nullptr, &first);
  ptrace(PTRACE_GETFPREGS, child, nullptr, &floats);
  std::uint64_t executed = 0, wrong = 0;
  for (std::uint64_t i = 0; i < count; i++) {
    Random random(seed + 0x632be59bd9b4e019ull * (i + 1));
    Sample sample = {};
    fill_state(sample.state, random, false);
    for (auto& general : sample.state.gpr)
      if (random.one_in(2)) general = kArenaAddress + 2 * kPage + random.below(kPage);
    sample.state.gpr[4] = kArenaAddress + 3 * kPage + 8 * random.below(64);
    sample.state.rip = kInstructionAddress;
    // Above 128 bits nothing is compared: the traced process has its own.
    for (unsigned r = 0; r < 32; r++)
      std::memset(sample.state.zmm[r] + (r < 16 ? 16 : 0), 0, r < 16 ? 48 : 64);
    random_plain(sample.bytes, random);
    if (shows_steps(sample.bytes)) continue;
    State soft = sample.state;
    std::memcpy(software, pristine, kArenaBytes);
    ArenaMemory memory(software);
    if (!completion::execute_plain(soft, memory, sample.bytes, 15, {true, true}) &&
        !execute_sse(soft, memory, sample.bytes))
      continue;
    executed++;
    std::memcpy(arena, pristine, kArenaBytes);
    std::memcpy(code + (kInstructionAddress - kCodeAddress), sample.bytes, 15);
    user_regs_struct registers = first;
    for (unsigned r = 0; r < 16; r++) *general_of(registers, r) = sample.state.gpr[r];
    registers.rip = kInstructionAddress;
    registers.eflags = sample.state.rflags;
    registers.orig_rax = ~0ull;
    registers.fs_base = sample.state.fs_base;
    registers.gs_base = sample.state.gs_base;
    for (unsigned r = 0; r < 16; r++)
      std::memcpy(reinterpret_cast<char*>(floats.xmm_space) + 16 * r, sample.state.zmm[r], 16);
    floats.mxcsr = sample.state.mxcsr;
    ptrace(PTRACE_SETREGS, child, nullptr, &registers);
    ptrace(PTRACE_SETFPREGS, child, nullptr, &floats);
    ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr);
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return false;
    const bool stepped = WSTOPSIG(status) == SIGTRAP;
    user_fpregs_struct after;
    ptrace(PTRACE_GETREGS, child, nullptr, &registers);
    ptrace(PTRACE_GETFPREGS, child, nullptr, &after);
    State hard = sample.state;
    for (unsigned r = 0; r < 16; r++) {
      hard.gpr[r] = *general_of(registers, r);
      std::memcpy(hard.zmm[r], reinterpret_cast<char*>(after.xmm_space) + 16 * r, 16);
    }
    hard.mxcsr = after.mxcsr;
    hard.rip = registers.rip;
    hard.rflags = registers.eflags;
    if (stepped && equal(hard, soft) && std::memcmp(arena, software, kArenaBytes) == 0) continue;
    if (wrong++ >= 20) continue;
    std::printf("%s %s:", stepped ? "differs" : "faults", completion::mnemonic(sample.bytes, 15));
    for (unsigned b = 0; b < 12; b++) std::printf(" %02x", sample.bytes[b]);
    std::printf("  flags %llx silicon %llx software %llx, rip %llx %llx\n",
                (unsigned long long)sample.state.rflags, (unsigned long long)hard.rflags,
                (unsigned long long)soft.rflags, (unsigned long long)hard.rip, (unsigned long long)soft.rip);
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  std::printf("%llu plain instructions of %llu random ones; %llu differ from this processor\n",
              (unsigned long long)executed, (unsigned long long)count, (unsigned long long)wrong);
  return executed != 0 && wrong == 0;
}

}  // namespace revenant::completion_test
