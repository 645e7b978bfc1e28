// One vCPU: its descriptor and its mapped kvm_run area. Every method is one ioctl: 0 or -errno.
#ifndef REVENANT_KVM_VCPU_FD_H_
#define REVENANT_KVM_VCPU_FD_H_

#include <cstddef>
#include <cstdint>

#include <linux/kvm.h>

#include "control.h"
#include "scoped.h"
#include "vcpu_exit.h"

namespace revenant {

class VcpuFd {
 public:
  VcpuFd() = default;

  // Takes the descriptor and maps its kvm_run area.
  int open(int fd, std::size_t mmap_size);
  void close();
  explicit operator bool() const { return static_cast<bool>(fd_); }

  // Enters the guest once. Not retried: a signal shows as VcpuExit::Kind::interrupted.
  VcpuExit run();

  int set_cpuid2(const CpuidPayload& in) const;
  int get_cpuid2(CpuidPayload& out) const;
  int get_regs(kvm_regs& out) const;
  int set_regs(const kvm_regs& in) const;
  int get_sregs(kvm_sregs& out) const;
  int set_sregs(const kvm_sregs& in) const;
  int get_events(kvm_vcpu_events& out) const;
  int get_debug_registers(kvm_debugregs& out) const;
  int set_xcr0(std::uint64_t value) const;
  // Up to kMaxMsrs; `done` is how many the kernel accepted, in order. -EIO if not all.
  int set_msrs(const MsrPayload& in, std::uint64_t& done) const;

 private:
  int call(unsigned long request, const void* argument) const;

  ScopedFd fd_;
  ScopedMapping run_;
};

}  // namespace revenant

#endif
