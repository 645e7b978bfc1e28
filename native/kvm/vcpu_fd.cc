#include "vcpu_fd.h"

#include <sys/ioctl.h>

#include "error.h"
#include "list_requests.h"

namespace revenant {

static_assert(sizeof(MsrEntry) == sizeof(kvm_msr_entry));
static_assert(offsetof(MsrPayload, entries) == sizeof(ListHead));

int VcpuFd::open(int fd, std::size_t mmap_size) {
  fd_.reset(fd);
  run_ = ScopedMapping(mmap(nullptr, mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), mmap_size);
  if (run_) return 0;
  const int error = -errno;
  fd_.reset();
  return error;
}

void VcpuFd::close() {
  run_.reset();
  fd_.reset();
}

VcpuExit VcpuFd::run() {
  const int result = or_errno(ioctl(fd_.get(), KVM_RUN, 0));
  return decode_exit(result, *static_cast<const kvm_run*>(run_.data()));
}

// KVM's requests take pointers to mutable data even where they only read.
int VcpuFd::call(unsigned long request, const void* argument) const {
  return or_errno(ioctl(fd_.get(), request, argument));
}

int VcpuFd::set_cpuid2(const CpuidPayload& in) const { return call(kSetCpuid2, &in); }

int VcpuFd::get_cpuid2(CpuidPayload& out) const {
  out.count = kMaxCpuidEntries;
  return call(kGetCpuid2, &out);
}

int VcpuFd::get_regs(kvm_regs& out) const { return call(KVM_GET_REGS, &out); }
int VcpuFd::set_regs(const kvm_regs& in) const { return call(KVM_SET_REGS, &in); }
int VcpuFd::get_sregs(kvm_sregs& out) const { return call(KVM_GET_SREGS, &out); }
int VcpuFd::set_sregs(const kvm_sregs& in) const { return call(KVM_SET_SREGS, &in); }
int VcpuFd::get_events(kvm_vcpu_events& out) const { return call(KVM_GET_VCPU_EVENTS, &out); }
int VcpuFd::get_debug_registers(kvm_debugregs& out) const { return call(KVM_GET_DEBUGREGS, &out); }

int VcpuFd::set_xcr0(std::uint64_t value) const {
  kvm_xcrs xcrs = {};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].value = value;
  return call(KVM_SET_XCRS, &xcrs);
}

// KVM_SET_MSRS returns how many entries it processed.
int VcpuFd::set_msrs(const MsrPayload& in, std::uint64_t& done) const {
  const int result = call(kSetMsrs, &in);
  done = result < 0 ? 0 : static_cast<std::uint64_t>(result);
  if (result < 0) return result;
  return done == in.count ? 0 : -EIO;
}

}  // namespace revenant
