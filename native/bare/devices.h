// The devices of the machine: a serial line whose bytes wake it, the interrupt controller between the two,
// and the firmware's configuration, which drops translations.
#ifndef REVENANT_BARE_DEVICES_H_
#define REVENANT_BARE_DEVICES_H_

#include <cstdint>

namespace revenant::bare {

// Lets the serial line interrupt, as vector BARE_VECTORS + 4.
void start_devices();

// Takes every byte that has come. Also a full memory barrier, since the emulator takes a lock for its
// devices.
void drain_line();

// Sleeps until a byte comes, or returns at once if one is there.
inline void wait_for_line() { asm volatile("sti\n\thlt\n\tcli" ::: "memory"); }

// Drops the emulator's translations of code in [physical, physical + length) and zeroes it.
//
// QEMU keeps translations by page of its memory. A store of its own processor drops those that have one of
// the stored bytes in them (accel/tcg/cputlb.c, notdirty_write), and does so slowly: while a page has any
// left, each store takes locks and walks the list of all of them. A transfer by a device drops those of a
// whole range at once (softmmu/physmem.c, invalidate_and_set_dirty). The one device that every PC of QEMU has
// for that is the firmware's configuration, docs/specs/fw_cfg.rst: it copies items into memory, and zeros for
// an item that does not exist. A page of a program's code takes some 10 us this way and some milliseconds
// with stores.
void zero_by_device(std::uint64_t physical, std::uint32_t length);

}  // namespace revenant::bare

#endif
