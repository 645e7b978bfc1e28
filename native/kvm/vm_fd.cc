#include "vm_fd.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "error.h"

namespace revenant {

int VmFd::set_memory_slot(std::uint32_t slot, std::uint64_t gpa, std::uint64_t bytes, void* hva) const {
  kvm_userspace_memory_region region = {};
  region.slot = slot;
  region.guest_phys_addr = gpa;
  region.memory_size = bytes;
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(hva);
  return or_errno(ioctl(fd_.get(), KVM_SET_USER_MEMORY_REGION, &region));
}

int VmFd::set_tss_address(std::uint64_t gpa) const {
  return or_errno(ioctl(fd_.get(), KVM_SET_TSS_ADDR, gpa));
}

int VmFd::create_vcpu(unsigned id) const { return or_errno(ioctl(fd_.get(), KVM_CREATE_VCPU, id)); }

}  // namespace revenant
