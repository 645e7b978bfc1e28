// Why KVM_RUN returned, as one value. Pure: reads the kvm_run area, makes no system call.
#ifndef REVENANT_KVM_VCPU_EXIT_H_
#define REVENANT_KVM_VCPU_EXIT_H_

#include <cstdint>

struct kvm_run;

namespace revenant {

struct VcpuExit {
  enum class Kind {
    stub,         // `out` to R0_EXIT_PORT: the reason is in the context page
    interrupted,  // a signal broke KVM_RUN
    unsupported,  // anything else: `reason` and `detail` are KVM's
  };
  Kind kind;
  std::uint32_t reason;     // KVM_EXIT_*; for a failed ioctl 0xffff0000 | errno
  std::uint64_t detail[2];  // by reason: suberror; hardware reason; address; port and direction
};

// `result` is what the KVM_RUN ioctl returned: 0 or -errno.
VcpuExit decode_exit(int result, const kvm_run& run);

}  // namespace revenant

#endif
