#include "vcpu_exit.h"

#include <cerrno>

#include <linux/kvm.h>

#include "ring0/layout.h"

namespace revenant {

VcpuExit decode_exit(int result, const kvm_run& run) {
  if (result == -EINTR || result == -EAGAIN) return {VcpuExit::Kind::interrupted, KVM_EXIT_INTR, {}};
  if (result < 0) return {VcpuExit::Kind::unsupported, 0xffff0000u | static_cast<unsigned>(-result), {}};
  VcpuExit exit = {VcpuExit::Kind::unsupported, run.exit_reason, {}};
  switch (run.exit_reason) {
    case KVM_EXIT_IO:
      if (run.io.port == R0_EXIT_PORT && run.io.direction == KVM_EXIT_IO_OUT)
        exit.kind = VcpuExit::Kind::stub;
      exit.detail[0] = run.io.port;
      exit.detail[1] = run.io.direction;
      break;
    case KVM_EXIT_INTR:
      exit.kind = VcpuExit::Kind::interrupted;
      break;
    case KVM_EXIT_MMIO:
      exit.detail[0] = run.mmio.phys_addr;
      exit.detail[1] = run.mmio.is_write;
      break;
    case KVM_EXIT_FAIL_ENTRY:
      exit.detail[0] = run.fail_entry.hardware_entry_failure_reason;
      break;
    case KVM_EXIT_INTERNAL_ERROR:
      exit.detail[0] = run.internal.suberror;
      if (run.internal.ndata > 0) exit.detail[1] = run.internal.data[0];
      break;
    case KVM_EXIT_UNKNOWN:
      exit.detail[0] = run.hw.hardware_exit_reason;
      break;
    case KVM_EXIT_SYSTEM_EVENT:
      exit.detail[0] = run.system_event.type;
      break;
    default:
      break;
  }
  return exit;
}

}  // namespace revenant
