// The sandbox's only way to the kernel: a seccomp filter.
#ifndef REVENANT_PROCESS_FILTER_H_
#define REVENANT_PROCESS_FILTER_H_

#include <cstdint>

namespace revenant::process {

struct FilterRange {
  std::uint64_t base, end;     // the sandbox's own addresses, multiples of 4 GiB; its program is at `base`
  std::uint32_t image_bytes;   // of its program
  std::uint32_t first_offset;  // of the pool that may be mapped
};

// From now on a system call of code outside the sandbox's program raises SIGSYS, in whatever way it is made.
// Those of the program itself end the process unless they are what its signal handler needs: mmap of the
// pool's descriptor, shared and fixed, outside [base - 4 GiB, end); munmap there; futex waits and wakes,
// rt_sigreturn, prctl(PR_SET_TSC), arch_prctl(ARCH_SET_CPUID), arch_prctl(ARCH_REQ_XCOMP_PERM) of tiles. 0 or
// -errno.
long install_filter(const FilterRange& range);

}  // namespace revenant::process

#endif
