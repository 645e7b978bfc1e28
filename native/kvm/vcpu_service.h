// Executes the commands of the control block on the one VM and vCPU of a pool. Called directly by the
// addon.
#ifndef REVENANT_KVM_VCPU_SERVICE_H_
#define REVENANT_KVM_VCPU_SERVICE_H_

#include <cstddef>
#include <cstdint>

#include "branch_counter.h"
#include "completer.h"
#include "control.h"
#include "system_fd.h"
#include "ticks.h"
#include "vcpu_fd.h"
#include "vm_fd.h"

namespace revenant {

class VcpuService {
 public:
  // `pool` is mapped read-write, page-aligned, at least R0_END bytes, and outlives the service. Its
  // first bytes are the control block. Opens nothing: the command `create` opens /dev/kvm.
  VcpuService(void* pool, std::uint64_t pool_bytes);
  ~VcpuService();
  VcpuService(const VcpuService&) = delete;
  VcpuService& operator=(const VcpuService&) = delete;

  // Executes control()->command and stores its result; returns it too (0 or -errno). Never blocks,
  // except `run`, which returns when the guest leaves, or
  //   - soon after `kick` became non-zero (within a tick, 20 ms), as ExitKind::interrupted, or
  //   - with -EAGAIN when budget_micros (if not 0) are over: the guest is untouched, run it again.
  // Does not touch the sequence numbers.
  int execute();

  // A run ends, as if kicked, when `counter` is due; once for each time that it was armed. It outlives the
  // service.
  void stop_when_due(BranchCounter* counter) { counter_ = counter; }

  Control* control() const { return static_cast<Control*>(pool_); }

 private:
  int dispatch();
  int spin();
  int create();
  void destroy();
  int init_long_mode();
  int set_system_registers(std::uint64_t cr4, bool apic_enabled);
  int set_entry_msrs(std::uint32_t cpu_number);
  int run();
  int run_until_exit(std::uint64_t started);
  int set_completion();
  int serve(std::uint32_t asked, bool& left);
  int take_interrupted(bool& taken);
  void interrupt_between_instructions();
  void clear_debug_registers();
  int report_failure(const VcpuExit& exit);

  void* pool_;
  std::uint64_t pool_bytes_;
  SystemFd system_;
  VmFd vm_;
  VcpuFd vcpu_;
  Ticks ticks_;
  Completer completer_;
  BranchCounter* counter_ = nullptr;
  bool initialised_ = false;  // long mode is set up, and the vCPU has not failed since
};

}  // namespace revenant

#endif
