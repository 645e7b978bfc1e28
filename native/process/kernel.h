// The kernel's structures of signals on x86-64, as its headers have them
// (arch/x86/include/uapi/asm/sigcontext.h, ucontext.h, include/uapi/asm-generic/siginfo.h). Those headers and
// the C++ library's do not go together.
#ifndef REVENANT_PROCESS_KERNEL_H_
#define REVENANT_PROCESS_KERNEL_H_

#include <cstddef>
#include <cstdint>

namespace revenant::process {

struct SignalContext {  // struct sigcontext
  std::uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
  std::uint16_t cs, gs, fs, ss;
  std::uint64_t err, trapno, oldmask, cr2;
  char* fpstate;
  std::uint64_t reserved[8];
};

struct SignalStack {  // stack_t
  std::uint64_t sp;
  std::int32_t flags;
  std::uint64_t size;
};

struct SignalFrame {  // struct ucontext
  std::uint64_t flags;
  SignalFrame* link;
  SignalStack stack;
  SignalContext registers;
  std::uint64_t mask;
};

struct SignalInfo {  // siginfo_t
  std::int32_t number, error, code, padding;
  std::uint64_t address;
  union {
    std::uint64_t perf_data;  // of TRAP_PERF
    struct {
      std::int32_t call;
      std::uint32_t arch;
    } system_call;  // of SIGSYS
  };
};
static_assert(offsetof(SignalInfo, perf_data) == 24);
static_assert(offsetof(SignalFrame, registers) == 40 && sizeof(SignalContext) == 256);

struct SignalAction {  // struct sigaction
  void (*handler)(int, const SignalInfo*, SignalFrame*);
  std::uint64_t flags;
  void (*restorer)();
  std::uint64_t mask;
};

struct ResourceLimit {  // struct rlimit64
  std::uint64_t soft, hard;
};

struct CapabilityHeader {  // struct __user_cap_header_struct
  std::uint32_t version;
  std::int32_t process;
};

struct CapabilitySets {  // struct __user_cap_data_struct[2]: effective, permitted, inheritable
  std::uint32_t words[6];
};

// What the kernel stores in bytes 464 to 511 of a signal frame's XSAVE area, struct _fpx_sw_bytes; behind the
// area it has kFrameEnd.
struct FrameSoftware {
  std::uint32_t magic, bytes_with_end;
  std::uint64_t components;
  std::uint32_t bytes, padding[7];
};
static_assert(sizeof(FrameSoftware) == 48);

constexpr std::uint32_t kFrameEnd = 0x4650'5845;  // FP_XSTATE_MAGIC2
constexpr std::uint32_t kCapabilityVersion = 0x2008'0522;
constexpr int kIll = 4, kTrap = 5, kBus = 7, kFpe = 8, kKill = 9, kUsr1 = 10, kSegv = 11, kSys = 31;
constexpr std::uint64_t kSaSiginfo = 4, kSaRestorer = 0x0400'0000, kSaOnstack = 0x0800'0000,
                        kSaNodefer = 0x4000'0000;
constexpr std::uint64_t kSigSetmask = 2, kRlimitCore = 4;
constexpr int kSegvKey = 4;        // si_code of SIGSEGV: SEGV_PKUERR
constexpr int kIllegalOpcode = 1;  // si_code of SIGILL where the processor raised #NM
constexpr int kTrapBreakpoint = 1, kTrapTrace = 2, kTrapHardware = 4, kTrapPerf = 6;  // si_code of SIGTRAP

}  // namespace revenant::process

#endif
