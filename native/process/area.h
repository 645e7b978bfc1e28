// What the process machine's two sides share besides the control block's commands: the engine's process (a
// ProcessTransport) and the sandbox, whose address space is the recorded program's. It lies in the control
// block, behind the lines that every transport has.
#ifndef REVENANT_PROCESS_AREA_H_
#define REVENANT_PROCESS_AREA_H_

#include <atomic>
#include <cstdint>

#include "../kvm/control.h"

namespace revenant::process {

// The descriptor of the pool in the sandbox, and of a pipe that it reads one byte from before all else: see
// Child::start. It keeps only the first.
constexpr int kPoolFd = 3, kAliveFd = 4;

// Where the sandbox lives: addresses that no mapping of the recorded program may have. Offsets from
// Area::base.
constexpr std::uint64_t kImage = 0;                  // a copy of the sandbox's program
constexpr std::uint64_t kStacks = 0x10'0000;         // first the signal handler's, then the one to start on
constexpr std::uint64_t kStackBytes = 0x10'0000;     // of each
constexpr std::uint64_t kRing0 = 0x40'0000;          // the pool's first R0_END bytes, writable
constexpr std::uint64_t kShadow = 0x1000'0000;       // tables of what is mapped: see Shadow
constexpr std::uint64_t kShadowBytes = 0x4000'0000;  // 262,144 tables
constexpr std::uint64_t kPool = 0x1'0000'0000;       // the whole pool, read-only: page tables are walked here

// arch_prctl(2); <asm/prctl.h> of older systems lacks them.
constexpr int kArchSetCpuid = 0x1012, kArchSupportedPermissions = 0x1021, kArchRequestPermission = 0x1023;
constexpr std::uint64_t kTileData = 18;  // of XCR0; a process gets it on request (Linux 5.16)

// What the start of the sandbox consists of, in order: which of it failed is a message of the engine's
// (process_transport.cc).
enum class Step : std::uint32_t {
  map_pool,
  hear_engine,
  close_descriptors,
  limit_core,
  map_itself,
  unmap_others,
  signal_stack,
  signal_handlers,
  signal_mask,
  no_new_privileges,
  no_capabilities,
  filter,
  steps,
};

enum Faulting : std::uint32_t {
  kFaultingTsc = 1,    // RDTSC and RDTSCP raise #GP
  kFaultingCpuid = 2,  // CPUID does
};

// Which exits fill the XSAVE area, for who executes instructions in software.
enum class Saving : std::uint32_t {
  none,
  undefined,  // #UD
  all,        // every one; and no staged call is served, so that each of them is one
};

// Written by the engine before the sandbox starts, but for the words of which it is said.
struct Area {
  std::uint64_t base;
  std::uint64_t pool_bytes;
  std::uint32_t faulting;                     // Faulting; looked at when a run begins
  std::atomic<std::uint32_t> sandbox_sleeps;  // the sandbox waits for request_seq by futex
  std::atomic<std::uint32_t> engine_sleeps;   // the engine waits for complete_seq by futex
  std::atomic<std::uint32_t> is_ready;        // the sandbox's: 1 once it waits for its first run
  // Of a signal frame's XSAVE area what the recorded program has, in standard form: the rest is not shown to
  // the engine.
  std::uint64_t components;
  std::uint32_t vector_bytes;
  std::uint32_t frame_bytes;  // of the XSAVE area in a signal frame once it has room for tiles
  std::uint32_t tiles;        // 1: tiles are not to fault any more; looked at when a run begins
  Saving saving;              // looked at when a run ends
  std::uint32_t spins;        // looks at request_seq before it sleeps
  Step failed_step;           // the sandbox's: which step of its start failed, and by which errno
  std::uint32_t failed_errno;
};

inline Area* area_of(Control* control) { return reinterpret_cast<Area*>(control->pad2); }
static_assert(sizeof(Area) <= sizeof(Control::pad2));

// exit_reason of ExitKind::failed. src/engine/kvm/exit.ts must match.
constexpr std::uint32_t kReasonUnmappable = 0xfffe0010;  // detail: address, errno
constexpr std::uint32_t kReasonSegment = 0xfffe0011;     // detail: selector; 1: of a local table
constexpr std::uint32_t kReasonSignal = 0xfffe0012;      // detail: signal, si_code
constexpr std::uint32_t kReasonTiles = 0xfffe0013;       // detail: errno

}  // namespace revenant::process

#endif
