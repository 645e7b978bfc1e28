// The last page of the control block (the payloads of commands end long before it): communication
// of the keeper and vcpud besides the vCPU commands of native/kvm/control.h. src/engine/kvm may
// write only the stale list.
//
// Invariant: only the field's owner (in brackets) writes it, all words are accessed atomically.
#ifndef REVENANT_MACHINE_MACHINE_AREA_H
#define REVENANT_MACHINE_MACHINE_AREA_H

#include <cstddef>
#include <cstdint>

namespace revenant::machine {

inline constexpr uint32_t kAreaOffset = 0xF000;  // in the pool; must match Control::keeper_area
inline constexpr uint32_t kControlBlockBytes = 0x10000;

inline constexpr uint32_t kReadyMagic = 0x76656e52;

struct PoolRange {
  uint64_t gpa;
  uint64_t length;
};

inline constexpr uint32_t kMaxStale = 64;
inline constexpr uint32_t kMaxClear = 128;

// The request to the emulator's firmware-configuration device (translations.cc), and a word to test it with.
struct DeviceTransfer {
  uint32_t control;
  uint32_t length;
  uint64_t address;
  uint32_t trial;
  uint32_t reserved;
};

struct MachineArea {
  uint32_t ready;     // [vcpud] kReadyMagic once it serves commands
  uint32_t attended;  // [keeper] non-zero while a client may send commands: poll instead of sleeping

  // Clearing, between leases: the keeper fills `clear`, then increments clear_request; vcpud zeroes the
  // ranges and sets clear_done to the same number. This must happen inside the machine: the emulator
  // caches translated code and notices only stores that its own processor makes.
  uint32_t clear_request;  // [keeper]
  uint32_t clear_done;     // [vcpud]
  uint32_t clear_count;    // [keeper]

  // Code that the client changed from outside after it may have been executed. vcpud has the
  // emulator drop its translations of it before it performs the next command, and sets stale_count
  // to 0.
  uint32_t stale_count;  // [client, vcpud]
  uint32_t reserved[2];
  PoolRange stale[kMaxStale];  // [client]
  PoolRange clear[kMaxClear];  // [keeper]
  DeviceTransfer transfer;     // [vcpud]
};
static_assert(sizeof(MachineArea) <= kControlBlockBytes - kAreaOffset);
static_assert(offsetof(MachineArea, stale) == 32);

}  // namespace revenant::machine

#endif
