#include "filter.h"

#include <cstddef>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "area.h"
#include "shadow.h"
#include "system.h"

namespace revenant::process {
namespace {

constexpr std::uint32_t low(int argument) {
  return static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8 * argument);
}
constexpr std::uint32_t high(int argument) { return low(argument) + 4; }
constexpr std::uint32_t high_half(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }
constexpr std::uint32_t low_half(std::uint64_t value) { return static_cast<std::uint32_t>(value); }

// A filter that is written from front to back: a condition that does not hold returns at once.
class Program {
 public:
  void load(std::uint32_t offset) { add(BPF_LD | BPF_W | BPF_ABS, offset); }
  void finish(std::uint32_t result) { add(BPF_RET | BPF_K, result); }

  // The loaded word is `value`, or below it, or the call ends with `otherwise`.
  void require(std::uint32_t value, std::uint32_t otherwise = SECCOMP_RET_KILL_PROCESS) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
    finish(otherwise);
  }
  void require_below(std::uint32_t value, std::uint32_t otherwise = SECCOMP_RET_KILL_PROCESS) {
    add(BPF_JMP | BPF_JGE | BPF_K, value, 0, 1);
    finish(otherwise);
  }

  void require_one_of(std::uint32_t value, std::uint32_t other) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 2, 0);
    add(BPF_JMP | BPF_JEQ | BPF_K, other, 1, 0);
    finish(SECCOMP_RET_KILL_PROCESS);
  }

  void require_from(std::uint32_t value) {
    add(BPF_JMP | BPF_JGE | BPF_K, value, 1, 0);
    finish(SECCOMP_RET_KILL_PROCESS);
  }

  void require_argument(int index, std::uint64_t value) {
    load(high(index));
    require(high_half(value));
    load(low(index));
    require(low_half(value));
  }

  // Argument 0 is an address outside [base - 4 GiB, end), argument 1 less than 4 GiB.
  void require_outside(const FilterRange& range) {
    load(high(1));
    require(0);
    load(high(0));
    add(BPF_JMP | BPF_JGE | BPF_K, high_half(range.end), 2, 0);
    add(BPF_JMP | BPF_JGE | BPF_K, high_half(range.base) - 1, 0, 1);
    finish(SECCOMP_RET_KILL_PROCESS);
  }

  // What follows up to end_if() is for the calls of which the word at an offset has this value.
  void begin_if(std::uint32_t offset, std::uint32_t value) {
    load(offset);
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 0);
    open_[depth_++] = count_ - 1;
  }
  void end_if() {
    const int at = open_[--depth_];
    code_[at].jf = static_cast<std::uint8_t>(count_ - at - 1);
  }

  long install() {
    const sock_fprog program = {static_cast<unsigned short>(count_), code_};
    return system_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, word(&program));
  }

 private:
  void add(std::uint16_t code, std::uint32_t k, std::uint8_t yes = 0, std::uint8_t no = 0) {
    if (count_ == kMost) __builtin_trap();  // the start fails, and is refused by name
    code_[count_++] = {code, yes, no, k};
  }

  static constexpr int kMost = 256;
  sock_filter code_[kMost];
  int count_ = 0;
  int open_[2];
  int depth_ = 0;
};

}  // namespace

long install_filter(const FilterRange& range) {
  constexpr std::uint32_t kNumber = offsetof(seccomp_data, nr),
                          kFrom = offsetof(seccomp_data, instruction_pointer);
  Program program;
  program.load(offsetof(seccomp_data, arch));
  program.require(AUDIT_ARCH_X86_64, SECCOMP_RET_TRAP);
  program.load(kFrom + 4);
  program.require(high_half(range.base), SECCOMP_RET_TRAP);
  program.load(kFrom);
  program.require_below(range.image_bytes, SECCOMP_RET_TRAP);
  program.begin_if(kNumber, SYS_rt_sigreturn);
  program.finish(SECCOMP_RET_ALLOW);
  program.end_if();
  program.begin_if(kNumber, SYS_futex);
  static_assert(FUTEX_WAIT == 0 && FUTEX_WAKE == 1);
  program.load(high(1));
  program.require(0);
  program.load(low(1));
  program.require_below(FUTEX_WAKE + 1);
  program.finish(SECCOMP_RET_ALLOW);
  program.end_if();
  program.begin_if(kNumber, SYS_mmap);
  program.require_outside(range);
  program.load(low(2));
  program.require_below(PROT_READ + PROT_WRITE + PROT_EXEC + 1);
  program.load(high(3));
  program.require(0);
  program.load(low(3));
  program.require_one_of(MAP_SHARED | MAP_FIXED, MAP_SHARED | MAP_FIXED | MAP_POPULATE);
  program.load(low(4));
  program.require(kPoolFd);
  program.begin_if(high(5), 0);
  program.load(low(5));
  program.require_from(range.first_offset);
  program.end_if();
  program.finish(SECCOMP_RET_ALLOW);
  program.end_if();
  program.begin_if(kNumber, SYS_munmap);
  program.begin_if(high(1), high_half(range.base));  // everything below
  program.require_argument(0, 0);
  program.require_argument(1, range.base);
  program.finish(SECCOMP_RET_ALLOW);
  program.end_if();
  program.begin_if(high(1), high_half(kUserEnd - range.end));  // everything above
  program.require_argument(0, range.end);
  program.finish(SECCOMP_RET_ALLOW);
  program.end_if();
  program.require_outside(range);
  program.finish(SECCOMP_RET_ALLOW);
  program.end_if();
  program.begin_if(kNumber, SYS_prctl);
  program.require_argument(0, PR_SET_TSC);
  program.finish(SECCOMP_RET_ALLOW);
  program.end_if();
  program.begin_if(kNumber, SYS_arch_prctl);
  program.begin_if(low(0), kArchRequestPermission);
  program.require_argument(0, kArchRequestPermission);
  program.require_argument(1, kTileData);
  program.finish(SECCOMP_RET_ALLOW);
  program.end_if();
  program.require_argument(0, kArchSetCpuid);
  program.finish(SECCOMP_RET_ALLOW);
  program.end_if();
  program.finish(SECCOMP_RET_KILL_PROCESS);
  return program.install();
}

}  // namespace revenant::process
