// The control block: commands from the engine to the service that owns the vCPU, and their results.
//
// It is the first 64 KiB of the pool. In process, the service is called directly; for the emulated
// machine both sides map the pool, the engine on the host and native/bare in the machine, and alternate by
// sequence numbers:
//
//   engine:   writes command and payload; request_seq += 1 (release)
//   service:  sees request_seq != complete_seq (acquire); executes; writes result; complete_seq =
//             request_seq (release)
//
// Invariant: the side that does not have the turn touches nothing but `kick` (engine and keeper).
// src/engine/kvm/layout.ts must match.
#ifndef REVENANT_KVM_CONTROL_H_
#define REVENANT_KVM_CONTROL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ring0/layout.h"

namespace revenant {

enum class Command : std::uint32_t {
  none = 0,
  create = 1,               // -                makes VM, memory slot and vCPU (destroys the previous)
  destroy = 2,              // -
  get_supported_cpuid = 3,  // out CpuidPayload
  set_cpuid2 = 4,           // in  CpuidPayload
  get_cpuid2 = 5,           // out CpuidPayload
  set_xcr0 = 6,             // in  value
  init_long_mode = 7,       // in  InitPayload: ring-0 image, system registers, MSRs; next RUN = first entry
  set_msrs = 8,             // in  MsrPayload; on failure `value` = number of MSRs set
  run = 9,                  // in  budget_micros, kick; out exit_*; see VcpuService::execute
  ping = 10,                // -                does nothing: checks that the service answers
  set_completion = 12,      // in  CompletionPayload; -EOPNOTSUPP where this was built without
  spin = 11,                // in  value = iterations of a loop in the service itself; out value = nanoseconds
};

// How a run ended: Control::exit_kind.
enum class ExitKind : std::uint32_t {
  none = 0,
  stub = 1,         // by the stub's `out`: the reason is in the context page
  interrupted = 2,  // kicked in user mode; the context page is filled, vector VECTOR_INTERRUPTED
  failed = 3,       // the reason is in exit_reason and exit_detail: the vCPU is lost
};

// Our own exit_reason: a kicked vCPU does not leave ring 0. src/engine/kvm/exit.ts must match.
constexpr std::uint32_t kReasonStuck = 0xfffe0000;

// Offset and size of the payload; the last page belongs to keeper and machine (native/machine).
constexpr std::uint32_t kPayloadOffset = 0x1000;
constexpr std::uint32_t kPayloadSize = 0xe000;

struct CpuidEntry {  // = struct kvm_cpuid_entry2
  std::uint32_t function, index, flags, eax, ebx, ecx, edx, padding[3];
};

constexpr std::uint32_t kMaxCpuidEntries = 256;  // KVM_MAX_CPUID_ENTRIES

struct CpuidPayload {
  std::uint32_t count;
  std::uint32_t padding;
  CpuidEntry entries[kMaxCpuidEntries];
};

struct MsrEntry {  // = struct kvm_msr_entry
  std::uint32_t index, reserved;
  std::uint64_t data;
};

constexpr std::uint32_t kMaxMsrs = 64;

struct MsrPayload {
  std::uint32_t count;
  std::uint32_t padding;
  MsrEntry entries[kMaxMsrs];
};

struct InitPayload {
  std::uint64_t cr4;  // requested in addition to what long mode needs: OSXSAVE, FSGSBASE, PKE, TSD, UMIP
  std::uint32_t cpu_number;    // what RDPID, RDTSCP's rcx and LSL of SEL_CPU_NUMBER return
  std::uint32_t apic_enabled;  // CPUID leaf 1 EDX bit 9, which KVM derives from the APIC base
};

constexpr std::uint32_t kXstateComponents = 20;

// Instructions that the processor lacks are executed in software: see Completer. After init_long_mode.
struct CompletionPayload {
  std::uint64_t features;    // of the recorded processor: completion::Feature; 0: nothing is completed
  std::uint64_t components;  // XCR0 of the recording; what `xcr0` lacks of it is kept in the XSAVE area
  std::uint64_t xcr0;        // what the guest's XCR0 may have
  std::uint32_t vendor;      // completion::Vendor
  std::uint32_t protection_keys;
  // Of component i in the XSAVE area; 0: there is none. What `xcr0` lacks lies where the processor stores
  // nothing.
  std::uint32_t offsets[kXstateComponents];
};

struct Control {
  // Line 0: written by the engine.
  std::atomic<std::uint32_t> request_seq;
  Command command;
  std::atomic<std::uint32_t> kick;  // non-zero: end the run soon. Cleared by the engine before a new run.
  std::uint32_t budget_micros;      // RUN: return -EAGAIN after this time; 0 = never
  std::uint64_t value;              // the one number of several commands; also written by the service
  std::uint8_t pad0[40];

  // Line 1: written by the service.
  std::atomic<std::uint32_t> complete_seq;
  std::int32_t result;  // 0 or -errno
  ExitKind exit_kind;
  std::uint32_t exit_reason;     // KVM_EXIT_*, for ExitKind::failed
  std::uint64_t exit_detail[2];  // failed: suberror, hardware reason, address or port, by reason
  std::uint64_t exit_rip;        // failed: where, if the registers could be read
  std::uint64_t run_ioctls;      // statistics: KVM_RUN calls, exits by the stub
  std::uint64_t stub_exits;
  std::uint64_t completed;  // instructions executed in software

  std::uint8_t pad2[kPayloadOffset - 0x80];
  union {
    std::uint8_t payload[kPayloadSize];
    CpuidPayload cpuid;
    MsrPayload msrs;
    InitPayload init;
    CompletionPayload completion;
  };
  std::uint8_t keeper_area[0x1000];
};

static_assert(sizeof(Control) == R0_CONTROL_SIZE);
static_assert(sizeof(CpuidPayload) <= kPayloadSize && sizeof(MsrPayload) <= kPayloadSize);
static_assert(offsetof(Control, complete_seq) == 0x40);
static_assert(offsetof(Control, payload) == kPayloadOffset);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

}  // namespace revenant

#endif
