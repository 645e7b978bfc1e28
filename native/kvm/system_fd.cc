#include "system_fd.h"

#include <ctime>

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "error.h"
#include "list_requests.h"

namespace revenant {

static_assert(sizeof(CpuidEntry) == sizeof(kvm_cpuid_entry2));
static_assert(offsetof(CpuidPayload, entries) == sizeof(ListHead));

int SystemFd::open() {
  int fd;
  do {
    fd = or_errno(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  } while (fd == -EINTR);
  if (fd < 0) return fd;
  fd_.reset(fd);
  const int version = or_errno(ioctl(fd, KVM_GET_API_VERSION, 0));
  if (version == KVM_API_VERSION) return 0;
  fd_.reset();
  return version < 0 ? version : -ENOTSUP;
}

int SystemFd::get_supported_cpuid(CpuidPayload& out) const {
  out.count = kMaxCpuidEntries;
  out.padding = 0;
  return or_errno(ioctl(fd_.get(), kGetSupportedCpuid, &out));
}

// Takes milliseconds and is interrupted by signals, such as the service's own timer. The first VM
// enables the processors' virtualisation, which the end of the last one may be disabling: EBUSY for
// a moment, unless another hypervisor uses it.
int SystemFd::create_vm() const {
  constexpr timespec kMoment = {0, 5'000'000};
  constexpr int kMoments = 40;
  for (int moments = 0;;) {
    const int fd = or_errno(ioctl(fd_.get(), KVM_CREATE_VM, 0));
    if (fd == -EBUSY && moments++ < kMoments) {
      nanosleep(&kMoment, nullptr);
    } else if (fd != -EINTR) {
      return fd;
    }
  }
}

int SystemFd::vcpu_mmap_size() const { return or_errno(ioctl(fd_.get(), KVM_GET_VCPU_MMAP_SIZE, 0)); }

}  // namespace revenant
