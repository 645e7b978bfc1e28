// Every fixed guest address, selector and offset of the ring-0 image, for C++ and for entry.S.
// src/engine/kvm/layout.ts must match; a test compares the two through the addon.
//
//   GPA 0x00000  control block (control.h), 64 KiB, never mapped in the guest
//       0x10000  code, read-only: entry.S
//       0x12000  context page: registers and requests, and GDT, TSS and IDT
//       0x13000  interrupt stacks
//       0x14000  page tables: boot PML4, then PDPT, PD and PT of the upper half
//       0x18000  XSAVE area, 16 KiB
//       0x20000  local descriptor table, 64 KiB
//       0x30000  staged system calls, 32 KiB
//       0x38000  first page free for guest memory
//
// GVA = R0_BASE + GPA, supervisor only, by PML4 slot 511. What a system call touches (context, GDT,
// TSS, IDT) shares one page: an emulated processor walks the page tables again after every exit.
#ifndef REVENANT_KVM_RING0_LAYOUT_H_
#define REVENANT_KVM_RING0_LAYOUT_H_

#ifdef __ASSEMBLER__
#define R0_BASE (-0x80000000)  // as a sign-extended 32-bit displacement
#else
#define R0_BASE 0xffffffff80000000ull
#endif

#define R0_CONTROL_SIZE 0x10000
#define R0_CODE 0x10000
#define R0_CODE_SIZE 0x2000
#define R0_CONTEXT 0x12000
#define R0_STACKS 0x13000
#define R0_PML4 0x14000
#define R0_PDPT 0x15000
#define R0_PD 0x16000
#define R0_PT 0x17000
#define R0_XSTATE 0x18000
#define R0_XSTATE_SIZE 0x4000
#define R0_X87 0x1bc00  // end of the XSAVE area, which no processor fills: x87 state for CLEAR_FIP
#define R0_LDT 0x20000
#define R0_LDT_SIZE 0x10000
#define R0_STAGED 0x30000
#define R0_STAGED_SIZE 0x8000
#define R0_END 0x38000  // POOL_FIRST_FREE

#define R0_PML4_SLOT 511
#define R0_PDPT_SLOT 510

// CR4, whatever a program has besides: PSE PAE PGE OSFXSR OSXMMEXCPT. PSE has no effect in long mode; with it
// and PGE the register differs less from a host kernel's, and an emulated processor flushes its TLB less
// often.
#define R0_CR4 0x6b0

// The port whose `out` ends a run. Any value will do: there are no devices.
#define R0_EXIT_PORT 0x10

// ---- Context page: offsets ----------------------------------------------------------------------
#define CTX_REQUESTS 0x000    // u32, CTX_REQUEST_*: what to do before going back; zeroed when done
#define CTX_VECTOR 0x004      // u32, why the guest left
#define CTX_ERROR_CODE 0x008  // u64, exceptions only
#define CTX_CR2 0x010         // u64, page faults only
#define CTX_DR6 0x018         // u64, vector 1 only
#define CTX_CR3 0x020         // u64, page-table root, loaded on request
#define CTX_FEATURES 0x028    // u32, CTX_FEATURE_*: set once
#define CTX_LDT 0x02c         // u32, selector for LDTR, loaded on request: SEL_LDT or 0
#define CTX_ORIG_RAX 0x030    // u64, copy of the registers' orig_rax, whose slot takes error codes
#define CTX_DR0 0x040         // u64 x 4: DR0 to DR3
#define CTX_DR7 0x060         // u64
// Leaving without an exit: see `leave_guest` in entry.S. Each side's word has a cache line of its own.
#define CTX_EXIT_SEQ 0x080     // u32, the stub's: counts the times that the program left
#define CTX_SPIN 0x084         // u32, how often to look at CTX_GO before `out`; 0: leave at once
#define CTX_STAGED_LEFT 0x088  // u32, staged calls that were not consumed yet; 0: none
#define CTX_STAGED_NEXT 0x08c  // u32, offset of the next in R0_STAGED
#define CTX_GO 0x0c0           // u32, the host's: CTX_EXIT_SEQ = go on; with CTX_GO_LEAVE = `out` now
#define CTX_GO_LEAVE 0x80000000
// Registers in user_regs_struct order. The address is 8 modulo 16, so that RSP0 = the end of `ss`
// is aligned: the processor then pushes ss, rsp, eflags, cs, rip into their slots by itself.
#define CTX_REGISTERS 0x108
#define CTX_REGISTER(slot) (CTX_REGISTERS + 8 * (slot))
// What only a service does: instructions that the processor lacks, and XCR0 (entry.S).
#define CTX_SERVICE \
  0x200                 // u32, CTX_SERVICE_*: why the guest left, where nobody but the service needs to know
#define CTX_XCR0 0x208  // u64, XCR0 in force, or requested
#define CTX_ORIGINALS 0x210  // u64, root of the tables that translate pages with hidden instructions; 0: none
#define CTX_FLUSH_COUNT 0x218  // u32, 1 to CTX_FLUSH_MOST: for CTX_REQUEST_FLUSH_PAGES
#define CTX_FLUSH 0x220        // u64 each: addresses
#define CTX_FLUSH_MOST 8
#define CTX_GDT 0x600
#define CTX_GDT_SIZE 0x80
#define CTX_TSS 0x680
#define CTX_TSS_SIZE 0x68
#define CTX_IDT 0x700
#define CTX_IDT_COUNT 0x81  // vectors 0 to 31 and `int $0x80`

#define CTX_REQUEST_CR3 0x01           // load CTX_CR3 (flushes the TLB)
#define CTX_REQUEST_XRSTOR 0x02        // load the XSAVE area
#define CTX_REQUEST_FS_GS_BASE 0x04    // load fs_base and gs_base; always done with CTX_FEATURE_FSGSBASE
#define CTX_REQUEST_SEGMENTS 0x08      // load ds, es, fs, gs, then the bases
#define CTX_REQUEST_DEBUG 0x10         // load DR0 to DR3 and DR7
#define CTX_REQUEST_XSAVE 0x20         // fill the XSAVE area and leave again with VECTOR_XSAVED
#define CTX_REQUEST_CLEAR_FIP 0x40     // zero the x87 instruction and data pointers
#define CTX_REQUEST_LDT 0x80           // load LDTR, before the segments
#define CTX_REQUEST_XCR0 0x100         // have the service set XCR0 to CTX_XCR0, before everything else
#define CTX_REQUEST_FLUSH_PAGES 0x200  // flush the TLB's entries of the pages of CTX_FLUSH

#define CTX_FEATURE_FSGSBASE 0x01
#define CTX_FEATURE_XSAVE 0x02
#define CTX_FEATURE_COMPLETION 0x04  // #UD is shown to the service first

#define CTX_SERVICE_UNDEFINED 1  // #UD, all registers are saved
#define CTX_SERVICE_XCR0 2       // CTX_REQUEST_XCR0

// ---- A staged system call: what the program must ask and what it gets; a multiple of 8 bytes ---------
#define STAGED_SIZE 0x00      // u32, of all of it
#define STAGED_REQUESTS 0x04  // u32, CTX_REQUEST_*: to do before going back
#define STAGED_WRITES 0x08    // u64, how many
#define STAGED_RAX 0x10       // u64 each: registers afterwards
#define STAGED_RCX 0x18
#define STAGED_R11 0x20
#define STAGED_EFLAGS 0x28
#define STAGED_ORIG_RAX 0x30
#define STAGED_REGISTERS 0x38  // as SYSCALL must find them; rcx, r11, flags, cs, ss, ds, es do not count
#define STAGED_DATA 0x110      // for each write: u64 GVA, u64 size, bytes up to a multiple of 8

// ---- Vectors: 0 to 31 and 0x80 are the processor's ------------------------------------------------
#define VECTOR_INT80 0x80
#define VECTOR_SYSCALL 0x100
#define VECTOR_XSAVED 0x101
#define VECTOR_INTERRUPTED 0x102     // written by the service, not by the stub
#define VECTOR_SYSCALL_COMPAT 0x103  // SYSCALL from 32-bit code (AMD)
#define VECTOR_STAGED 0x104          // the last staged call was consumed; RIP is after it
#define VECTOR_RING0 0x200           // + vector: exception inside the stub; registers are untouched

// ---- Selectors, as Linux's --------------------------------------------------------------------
#define SEL_KERNEL_CS 0x10
#define SEL_KERNEL_SS 0x18
#define SEL_USER32_CS 0x23
#define SEL_USER_SS 0x2b
#define SEL_USER_CS 0x33
#define SEL_TSS 0x40
#define SEL_LDT 0x50  // descriptor written by the engine, as are the three slots of SEL_TLS
#define SEL_TLS 0x60
#define SEL_CPU_NUMBER 0x7b

// ---- Flags ------------------------------------------------------------------------------------
// CF PF AF ZF SF TF DF OF NT RF AC ID: what a program may have; IOPL, VM, VIF, VIP it may not.
#define EFLAGS_USER 0x254dd5
#define EFLAGS_FORCED 0x202  // IF and the bit that is always one
// CF PF AF ZF SF TF IF DF OF IOPL NT RF AC ID: cleared by SYSCALL.
#define SYSCALL_FMASK 0x257fd5

#define MSR_FS_BASE 0xc0000100  // IA32_GS_BASE is the next

// ---- user_regs_struct slots that entry.S names --------------------------------------------------
#define REG_R11 6
#define REG_RAX 10
#define REG_RCX 11
#define REG_ORIG_RAX 15
#define REG_RIP 16
#define REG_CS 17
#define REG_EFLAGS 18
#define REG_RSP 19
#define REG_SS 20
#define REG_FS_BASE 21
#define REG_GS_BASE 22
#define REG_DS 23
#define REG_ES 24
#define REG_FS 25
#define REG_GS 26
#define REG_COUNT 27

// ---- Interrupt stacks: tops, as offsets into the stack page ---------------------------------------
#define IST_DEBUG 1
#define IST_NMI 2
#define IST_DOUBLE_FAULT 3
#define IST_MACHINE_CHECK 4
#define IST_FAULT 5  // #NP, #SS, #GP: what IRETQ, WRFSBASE and XRSTOR of bad values raise in the stub
#define IST_STACK_SIZE 0x300

#endif
