// /dev/kvm: what the system offers.
#ifndef REVENANT_KVM_SYSTEM_FD_H_
#define REVENANT_KVM_SYSTEM_FD_H_

#include "control.h"
#include "scoped.h"

namespace revenant {

class SystemFd {
 public:
  // Opens /dev/kvm and checks its API version. Returns 0 or -errno (-ENOTSUP: another version).
  int open();
  void close() { fd_.reset(); }

  // KVM_GET_SUPPORTED_CPUID. Returns 0 or -errno.
  int get_supported_cpuid(CpuidPayload& out) const;
  // KVM_CREATE_VM. Returns a descriptor that the caller owns, or -errno.
  int create_vm() const;
  // Bytes of the shared kvm_run area of a vCPU, or -errno.
  int vcpu_mmap_size() const;

 private:
  ScopedFd fd_;
};

}  // namespace revenant

#endif
