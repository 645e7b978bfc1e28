// The last page of the control block (the payloads of commands end long before it): communication
// of keeper and machine (native/bare) besides the vCPU commands of native/kvm/control.h. src/engine/kvm may
// write only the stale list.
//
// Invariant: only the field's owner (in brackets) writes it, all words are accessed atomically.
#ifndef REVENANT_MACHINE_MACHINE_AREA_H
#define REVENANT_MACHINE_MACHINE_AREA_H

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace revenant::machine {

inline constexpr uint32_t kAreaOffset = 0xF000;  // in the pool; must match Control::keeper_area
inline constexpr uint32_t kControlBlockBytes = 0x10000;

// The machine's memory is one file, of which the pool is the rest from here on, and what the machine has at
// this address: see native/bare/layout.h.
inline constexpr uint64_t kPoolFileOffset = 3ull << 30;
inline constexpr uint64_t kPoolPhysical = 4ull << 30;

inline constexpr uint32_t kReadyMagic = 0x76656e52;

struct PoolRange {
  uint64_t gpa;
  uint64_t length;
};

inline constexpr uint32_t kMaxStale = 64;
inline constexpr uint32_t kMaxClear = 128;

struct MachineArea {
  uint32_t ready;  // [machine] kReadyMagic once it serves commands
  // [machine] Not zero where it sleeps, or is about to: who has requested something looks here afterwards,
  // with a full barrier in between, and writes a byte to the serial line.
  std::atomic<uint32_t> asleep;

  // Clearing, between leases: the keeper fills `clear`, then increments clear_request; the machine zeroes the
  // ranges and sets clear_done to the same number. This must happen inside the machine: the emulator
  // caches translated code and notices only stores that its own processor and devices make.
  uint32_t clear_request;  // [keeper]
  uint32_t clear_done;     // [machine]
  uint32_t clear_count;    // [keeper]

  // Code that the client changed from outside after it may have been executed. The machine has the
  // emulator drop its translations of it before it performs the next command, and sets stale_count
  // to 0.
  uint32_t stale_count;  // [client, machine]
  uint32_t pool_mib;     // [keeper] size of the pool
  uint32_t reserved;
  PoolRange stale[kMaxStale];  // [client]
  PoolRange clear[kMaxClear];  // [keeper]
};
static_assert(sizeof(MachineArea) <= kControlBlockBytes - kAreaOffset);
static_assert(offsetof(MachineArea, stale) == 32);

}  // namespace revenant::machine

#endif
