#include "vcpu_fd.h"

#include <sys/ioctl.h>

#include "error.h"
#include "list_requests.h"

namespace revenant {

static_assert(sizeof(MsrEntry) == sizeof(kvm_msr_entry));
static_assert(offsetof(MsrPayload, entries) == sizeof(ListHead));
static_assert(sizeof(RegsPayload::regs) == sizeof(kvm_regs));
static_assert(sizeof(RegsPayload::sregs) == sizeof(kvm_sregs));

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

int VcpuFd::get_xcr0(std::uint64_t& out) const {
  kvm_xcrs xcrs = {};
  const int result = call(KVM_GET_XCRS, &xcrs);
  if (result < 0) return result;
  for (std::uint32_t i = 0; i < xcrs.nr_xcrs && i < KVM_MAX_XCRS; i++) {
    if (xcrs.xcrs[i].xcr != 0) continue;
    out = xcrs.xcrs[i].value;
    return 0;
  }
  return -ENODATA;
}

int VcpuFd::set_xcr0(std::uint64_t value) const {
  kvm_xcrs xcrs = {};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].value = value;
  return call(KVM_SET_XCRS, &xcrs);
}

// KVM_SET_MSRS and KVM_GET_MSRS return how many entries they processed.
static int all_or_eio(int result, std::uint32_t count, std::uint64_t& done) {
  done = result < 0 ? 0 : static_cast<std::uint64_t>(result);
  if (result < 0) return result;
  return done == count ? 0 : -EIO;
}

int VcpuFd::set_msrs(const MsrPayload& in, std::uint64_t& done) const {
  return all_or_eio(call(kSetMsrs, &in), in.count, done);
}

int VcpuFd::get_msrs(MsrPayload& inout, std::uint64_t& done) const {
  return all_or_eio(call(kGetMsrs, &inout), inout.count, done);
}

}  // namespace revenant
