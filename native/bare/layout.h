// Where the bare machine's image and its memory are, for C++, assembly and the linker script.
//
//   guest-physical                          virtual, in every address space, ring 0 only
//   0x10000      tables, data, stack        BARE_MEMORY, 64 KiB
//   0xffff0000   the image, read-only       BARE_IMAGE, 64 KiB; the processor begins in its last 16 bytes
//   4 GiB        the pool                   R0_BASE: its first pages (ring0/layout.h); BARE_POOL: all of it
//
// The machine's memory is one file: 3 GiB of which only the 64 KiB are used, so that the pool, which follows
// in the file, begins at 4 GiB without a hole (hw/i386/microvm.c of QEMU).
#ifndef REVENANT_BARE_LAYOUT_H_
#define REVENANT_BARE_LAYOUT_H_

#include "../kvm/ring0/layout.h"

#define BARE_IMAGE_SIZE 0x10000
#define BARE_IMAGE_PHYSICAL 0xffff0000
#define BARE_MEMORY_SIZE 0x10000
#define BARE_MEMORY_PHYSICAL 0x10000
// Of tables in that memory.
#define BARE_PML4 0x0000
#define BARE_PDPT_LOW 0x1000  // until the image runs in the upper half
#define BARE_PDPT 0x2000
#define BARE_PD 0x3000
#define BARE_PT 0x4000
#define BARE_FIRST_FREE 0x5000

// Pages of R0_PT and BARE_PT.
#define BARE_IMAGE_PAGE 0x100
#define BARE_MEMORY_PAGE 0x110
#define BARE_PAGES 0x10  // of each

#ifndef __ASSEMBLER__
#define BARE_IMAGE (R0_BASE + 0x100000)
#define BARE_MEMORY (R0_BASE + 0x110000)
#define BARE_POOL 0xffffff8000000000ull
#endif
// Entries of the PDPT of slot 511 that map the pool, 1 GiB each: what is below R0_BASE.
#define BARE_POOL_ENTRIES 510

// Interrupts 0 to 7 of the interrupt controller; only the serial line's is enabled.
#define BARE_VECTORS 0x20
#define BARE_VECTOR_COUNT 8

#endif
