// One virtual machine: its memory slots and its vCPU.
#ifndef REVENANT_KVM_VM_FD_H_
#define REVENANT_KVM_VM_FD_H_

#include <cstdint>

#include "scoped.h"

namespace revenant {

class VmFd {
 public:
  VmFd() = default;
  explicit VmFd(int fd) : fd_(fd) {}
  void close() { fd_.reset(); }

  // KVM_SET_USER_MEMORY_REGION: `hva` appears at `gpa`. Both and `bytes` page-aligned. 0 or -errno.
  int set_memory_slot(std::uint32_t slot, std::uint64_t gpa, std::uint64_t bytes, void* hva) const;
  // KVM_SET_TSS_ADDR: three pages that Intel processors without "unrestricted guest" need. 0 or -errno.
  int set_tss_address(std::uint64_t gpa) const;
  // KVM_CREATE_VCPU. Returns a descriptor that the caller owns, or -errno.
  int create_vcpu(unsigned id) const;

 private:
  ScopedFd fd_;
};

}  // namespace revenant

#endif
