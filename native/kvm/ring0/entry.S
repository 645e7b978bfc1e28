// The ring-0 stub: from the program to the host and back.
//
// Every way in saves the registers into the context page and leaves by one `out`; the host continues
// after it (`ring0_resume`), where the requests of the context page are performed and the registers
// loaded. Position: R0_BASE + R0_CODE; copied there, so only branches are relative and all data
// addresses are sign-extended 32-bit displacements. layout.h must match.
//
// The registers of the context page are the stack: RSP0 is the end of its `ss` slot, so the processor
// pushes ss, rsp, eflags, cs and rip into their places and an error code over orig_rax (restored from
// its copy); the rest is pushed below, in user_regs_struct order.
//
// An exception inside the stub itself (IRETQ, WRFSBASE, XRSTOR or a selector of values that no
// processor accepts) leaves with VECTOR_RING0 + vector and the registers as they were in the page. Those
// exceptions come on an interrupt stack, so nothing is overwritten; after that, resume as ever.

// Two variants. For a hypervisor, an `out` leaves. For a machine without one (REVENANT_BARE: native/bare) the
// service is code of ring 0 itself, at `bare_left`, on a stack of its own, and nothing else is asked of it: XCR0
// is set here, an instruction that the processor lacks is an exit like others, and an interrupt ends a run.

#include "layout.h"

#define CTX(offset) R0_BASE + R0_CONTEXT + (offset)
#define REG(slot) CTX(CTX_REGISTER(slot))

  .section .rodata.ring0, "a", @progbits
  .balign 32
  .globl ring0_start, ring0_end, ring0_syscall, ring0_syscall_compat, ring0_int80, ring0_resume
#ifdef REVENANT_BARE
  .globl ring0_doorbell, ring0_leave

.macro leave_to target
  movq $\target, %rax
  jmpq *%rax
.endm
#endif

// Pushes rdi to r15. Precondition: rsp at the orig_rax slot.
.macro push_registers
  pushq %rdi
  pushq %rsi
  pushq %rdx
  pushq %rcx
  pushq %rax
  pushq %r8
  pushq %r9
  pushq %r10
  pushq %r11
  pushq %rbx
  pushq %rbp
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
.endm

// A stub of 32 bytes. `kind`: plain, error (the processor pushes an error code), ist, ist_error, debug.
// The tested byte is the low one of the pushed cs: CPL 0 means a fault of the stub's own. A #DB there is
// one that MOV SS delayed past SYSCALL: there is nothing to do but to go on.
.macro exception vector, kind
  .balign 32
.ifc \kind, plain
  testb $3, 8(%rsp)
  movl $\vector, CTX(CTX_VECTOR)
  jnz from_user
  jmp from_ring0
.endif
.ifc \kind, error
  testb $3, 16(%rsp)
  movl $\vector, CTX(CTX_VECTOR)
  jnz from_user_error
  jmp from_ring0_error
.endif
.ifc \kind, ist
  testb $3, 8(%rsp)
  movl $\vector, CTX(CTX_VECTOR)
  jnz from_user_ist
  jmp from_ring0
.endif
.ifc \kind, debug
  testb $3, 8(%rsp)
  jz 1f
  movl $\vector, CTX(CTX_VECTOR)
  jmp from_user_ist
1:
  iretq
.endif
.ifc \kind, ist_error
  testb $3, 16(%rsp)
  movl $\vector, CTX(CTX_VECTOR)
  jnz from_user_ist_error
  jmp from_ring0_error
.endif
.endm

ring0_start:
  exception 0, plain      // #DE
  exception 1, debug      // #DB
  exception 2, ist        // NMI
  exception 3, plain      // #BP
  exception 4, plain      // #OF
  exception 5, plain      // #BR
  exception 6, plain      // #UD
  exception 7, plain      // #NM
  exception 8, ist_error  // #DF
  exception 9, plain
  exception 10, error     // #TS
  exception 11, ist_error // #NP
  exception 12, ist_error // #SS
  exception 13, ist_error // #GP
  exception 14, error     // #PF
  exception 15, plain
  exception 16, plain     // #MF
  exception 17, error     // #AC
  exception 18, ist       // #MC
  exception 19, plain     // #XM
  exception 20, plain     // #VE
  exception 21, error     // #CP
  exception 22, plain
  exception 23, plain
  exception 24, plain
  exception 25, plain
  exception 26, plain
  exception 27, plain
  exception 28, plain     // #HV
  exception 29, error     // #VC
  exception 30, error     // #SX
  exception 31, plain

  .balign 32
ring0_int80:
  movl $VECTOR_INT80, CTX(CTX_VECTOR)
  jmp from_user

#ifdef REVENANT_BARE
// The one interrupt. In ring 0 it only ends the service's HLT.
  .balign 32
ring0_doorbell:
  testb $3, 8(%rsp)
  jz 1f
  movl $VECTOR_INTERRUPTED, CTX(CTX_VECTOR)
  jmp from_user
1:
  iretq
#endif

// SYSCALL saves rip in rcx and eflags in r11 and changes neither rsp nor the stack segment's limit.
// SYSCALL_FMASK cleared TF, DF, AC and NT.
  .balign 32
ring0_syscall_compat:
  movl $VECTOR_SYSCALL_COMPAT, CTX(CTX_VECTOR)
  movl $SEL_USER32_CS, REG(REG_CS)
  jmp syscall_entered
  .balign 32
ring0_syscall:
  movl $VECTOR_SYSCALL, CTX(CTX_VECTOR)
  movl $SEL_USER_CS, REG(REG_CS)
syscall_entered:
  movq %rsp, REG(REG_RSP)
  movq $REG(REG_ORIG_RAX), %rsp
  movq %rcx, REG(REG_RIP)
  movq %r11, REG(REG_EFLAGS)
  movl $SEL_USER_SS, REG(REG_SS)
  push_registers

// Everything but the segments is saved.
save_segments:
  testb $CTX_FEATURE_FSGSBASE, CTX(CTX_FEATURES)
  jz 1f
  rdfsbase %rax
  rdgsbase %rdx
  movq %rax, REG(REG_FS_BASE)
  movq %rdx, REG(REG_GS_BASE)
1:
  movl %ds, %eax
  movl %es, %ecx
  movl %fs, %edx
  movl %gs, %esi
  movl %eax, REG(REG_DS)
  movl %ecx, REG(REG_ES)
  movl %edx, REG(REG_FS)
  movl %esi, REG(REG_GS)
  // Without FSGSBASE a program can change the bases by loading other selectors only.
  testb $CTX_FEATURE_FSGSBASE, CTX(CTX_FEATURES)
  jnz leave_guest
  orl %edx, %esi
  jz leave_guest
  movl $MSR_FS_BASE, %ecx
  rdmsr
  movl %eax, REG(REG_FS_BASE)
  movl %edx, REG(REG_FS_BASE) + 4
  incl %ecx // IA32_GS_BASE
  rdmsr
  movl %eax, REG(REG_GS_BASE)
  movl %edx, REG(REG_GS_BASE) + 4

// All is in the context page. On a processor of its own (the emulated machine's), the stub waits for the
// answer there for a while: a process that shares the pool's memory sees CTX_EXIT_SEQ change, and CTX_GO lets the
// program go on, without an exit, which costs an emulator fifty times more. PAUSE would be an exit as well.
leave_guest:
  cmpl $6, CTX(CTX_VECTOR)
  je undefined
#ifdef REVENANT_BARE
  cmpl $VECTOR_INTERRUPTED, CTX(CTX_VECTOR)
  jne not_completed
  leave_to bare_interrupted // which goes on at ring0_leave or at ring0_resume
ring0_leave:
#endif
not_completed:
  cmpl $0, CTX(CTX_STAGED_LEFT)
  jne staged
not_staged:
  movl CTX(CTX_EXIT_SEQ), %eax
  incl %eax
  movl %eax, CTX(CTX_EXIT_SEQ)
  movl CTX(CTX_SPIN), %ecx
  testl %ecx, %ecx
  jz 2f
1:
  movl CTX(CTX_GO), %edx
  cmpl %eax, %edx
  je ring0_resume
  xorl $CTX_GO_LEAVE, %edx
  cmpl %eax, %edx
  je 2f
  decl %ecx
  jnz 1b
2:
#ifdef REVENANT_BARE
  leave_to bare_left
#else
  outb %al, $R0_EXIT_PORT
#endif

ring0_resume:
  movl CTX(CTX_REQUESTS), %esi
  testl %esi, %esi
  jnz perform_requests
return_to_user:
  testb $CTX_FEATURE_FSGSBASE, CTX(CTX_FEATURES)
  jz 1f
  movq REG(REG_FS_BASE), %rax
  movq REG(REG_GS_BASE), %rdx
  wrfsbase %rax
  wrgsbase %rdx
1:
  movq REG(REG_ORIG_RAX), %rax
  movq %rax, CTX(CTX_ORIG_RAX)
  // Whatever the page says, the program gets CPL 3, one of its two code segments and its own flags only.
  andl $(SEL_USER_CS & ~SEL_USER32_CS), REG(REG_CS)
  orl $SEL_USER32_CS, REG(REG_CS)
  movl $SEL_USER_SS, REG(REG_SS)
  movq REG(REG_EFLAGS), %rax
  andl $EFLAGS_USER, %eax
  orl $EFLAGS_FORCED, %eax
  movq %rax, REG(REG_EFLAGS)
  movq $REG(0), %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbp
  popq %rbx
  popq %r11
  popq %r10
  popq %r9
  popq %r8
  popq %rax
  popq %rcx
  popq %rdx
  popq %rsi
  popq %rdi
  addq $8, %rsp
  iretq

// An instruction that the processor lacks, perhaps: the service executes it and lets the program go on, or counts
// the exit itself and shows it.
undefined:
  testb $CTX_FEATURE_COMPLETION, CTX(CTX_FEATURES)
  jz not_completed
  movl $-1, %eax
  movl $-1, %edx
  xsave64 R0_BASE + R0_XSTATE
#ifdef REVENANT_BARE
  jmp not_completed
#else
  movl $CTX_SERVICE_UNDEFINED, CTX(CTX_SERVICE)
  outb %al, $R0_EXIT_PORT
  jmp ring0_resume
#endif

// XSETBV is intercepted by every KVM, but seen by none where an emulator does not tell it.
set_xcr0:
#ifdef REVENANT_BARE
  movl CTX(CTX_XCR0), %eax
  movl CTX(CTX_XCR0) + 4, %edx
  xorl %ecx, %ecx
  xsetbv
  andl $~CTX_REQUEST_XCR0, CTX(CTX_REQUESTS)
#else
  movl $CTX_SERVICE_XCR0, CTX(CTX_SERVICE)
  outb %al, $R0_EXIT_PORT
#endif
  jmp ring0_resume

// esi: the requests. The word is zeroed last, so that a fault leaves it as it was.
perform_requests:
  testl $CTX_REQUEST_XCR0, %esi
  jnz set_xcr0
  testl $CTX_REQUEST_CR3, %esi
  jz 1f
  movq CTX(CTX_CR3), %rax
  movq %rax, %cr3
1:
  testl $CTX_REQUEST_FLUSH_PAGES, %esi
  jz 1f
  movl CTX(CTX_FLUSH_COUNT), %ecx
2:
  decl %ecx
  js 1f
  movq CTX(CTX_FLUSH)(, %rcx, 8), %rax
  invlpg (%rax)
  jmp 2b
1:
  testl $CTX_REQUEST_DEBUG, %esi
  jz 1f
  movq CTX(CTX_DR0), %rax
  movq %rax, %dr0
  movq CTX(CTX_DR0 + 8), %rax
  movq %rax, %dr1
  movq CTX(CTX_DR0 + 16), %rax
  movq %rax, %dr2
  movq CTX(CTX_DR0 + 24), %rax
  movq %rax, %dr3
  movq CTX(CTX_DR7), %rax
  movq %rax, %dr7
1:
  testl $CTX_REQUEST_XRSTOR, %esi
  jz 2f
  testb $CTX_FEATURE_XSAVE, CTX(CTX_FEATURES)
  jz 1f
  movl $-1, %eax
  movl $-1, %edx
  xrstor64 R0_BASE + R0_XSTATE
  jmp 2f
1:
  fxrstor64 R0_BASE + R0_XSTATE
2:
  testl $CTX_REQUEST_CLEAR_FIP, %esi
  jnz clear_fip
fip_cleared:
  testl $CTX_REQUEST_LDT, %esi
  jz 1f
  lldt CTX(CTX_LDT)
1:
  testl $CTX_REQUEST_SEGMENTS, %esi
  jz 1f
  movl REG(REG_DS), %eax
  movl %eax, %ds
  movl REG(REG_ES), %eax
  movl %eax, %es
  movl REG(REG_FS), %eax
  movl %eax, %fs
  movl REG(REG_GS), %eax
  movl %eax, %gs
1:
  testl $(CTX_REQUEST_SEGMENTS | CTX_REQUEST_FS_GS_BASE), %esi
  jz 1f
  testb $CTX_FEATURE_FSGSBASE, CTX(CTX_FEATURES)
  jnz 1f
  movl $MSR_FS_BASE, %ecx
  movl REG(REG_FS_BASE), %eax
  movl REG(REG_FS_BASE) + 4, %edx
  wrmsr
  incl %ecx // IA32_GS_BASE
  movl REG(REG_GS_BASE), %eax
  movl REG(REG_GS_BASE) + 4, %edx
  wrmsr
1:
  movl $0, CTX(CTX_REQUESTS)
  testl $CTX_REQUEST_XSAVE, %esi
  jz return_to_user
  testb $CTX_FEATURE_XSAVE, CTX(CTX_FEATURES)
  jz 1f
  movl $-1, %eax
  movl $-1, %edx
  xsave64 R0_BASE + R0_XSTATE
  jmp 2f
1:
  fxsave64 R0_BASE + R0_XSTATE
2:
  movl $VECTOR_XSAVED, CTX(CTX_VECTOR)
  jmp leave_guest

// A system call whose results the host knew in advance: if the program asks what is expected, it gets them
// without leaving. Anything else leaves with nothing changed. So does a store that faults (no page yet, or
// one that the program may not write): that is VECTOR_RING0 + 14, and the host takes it for the call.
.macro expect slot
  movq STAGED_REGISTERS + 8 * (\slot)(%rbx), %rax
  cmpq %rax, REG(\slot)
  jne not_staged
.endm

.macro take offset, slot
  movq \offset(%rbx), %rax
  movq %rax, REG(\slot)
.endm

staged:
  cmpl $VECTOR_SYSCALL, CTX(CTX_VECTOR)
  jne not_staged
  movl CTX(CTX_STAGED_NEXT), %ebx
  addq $R0_BASE + R0_STAGED, %rbx
  .irp slot, REG_RIP, REG_RAX, REG_RSP, 0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 14, REG_FS_BASE, REG_GS_BASE, REG_FS, REG_GS
  expect \slot
  .endr
  leaq STAGED_DATA(%rbx), %rsi
  movq STAGED_WRITES(%rbx), %rdx
1:
  testq %rdx, %rdx
  jz 2f
  movq (%rsi), %rdi
  movq 8(%rsi), %rcx
  addq $16, %rsi
  movl %ecx, %eax
  shrl $3, %ecx
  rep movsq // SYSCALL_FMASK cleared DF
  movl %eax, %ecx
  andl $7, %ecx
  rep movsb
  addq $7, %rsi
  andq $-8, %rsi
  decq %rdx
  jmp 1b
2:
  take STAGED_RAX, REG_RAX
  take STAGED_RCX, REG_RCX
  take STAGED_R11, REG_R11
  take STAGED_EFLAGS, REG_EFLAGS
  take STAGED_ORIG_RAX, REG_ORIG_RAX
  movl STAGED_REQUESTS(%rbx), %eax
  movl %eax, CTX(CTX_REQUESTS)
  movl STAGED_SIZE(%rbx), %eax
  addl %eax, CTX(CTX_STAGED_NEXT)
  decl CTX(CTX_STAGED_LEFT)
  jnz ring0_resume
  movl $VECTOR_STAGED, CTX(CTX_VECTOR)
  jmp not_staged

// FIP and FDP (bytes 8 and 16 of the x87 state). Nothing is loaded where they are zero already: loading
// would mark the x87 state as in use.
clear_fip:
  testb $CTX_FEATURE_XSAVE, CTX(CTX_FEATURES)
  jz 1f
  movl $1, %eax // x87 only
  xorl %edx, %edx
  xsave64 R0_BASE + R0_X87
  jmp 2f
1:
  fxsave64 R0_BASE + R0_X87
2:
  movq R0_BASE + R0_X87 + 8, %rax
  orq R0_BASE + R0_X87 + 16, %rax
  jz fip_cleared
  movq $0, R0_BASE + R0_X87 + 8
  movq $0, R0_BASE + R0_X87 + 16
  testb $CTX_FEATURE_XSAVE, CTX(CTX_FEATURES)
  jz 3f
  movl $1, %eax
  xorl %edx, %edx
  xrstor64 R0_BASE + R0_X87
  jmp fip_cleared
3:
  fxrstor64 R0_BASE + R0_X87
  jmp fip_cleared

// From the program, on the context page. A popped error code leaves rsp at `rip`.
from_user_error:
  popq CTX(CTX_ERROR_CODE)
  leaq -8(%rsp), %rsp
  push_registers
  movq CTX(CTX_ORIG_RAX), %rax
  movq %rax, REG(REG_ORIG_RAX)
  movq %cr2, %rax
  movq %rax, CTX(CTX_CR2)
  jmp save_segments

from_user:
  movq $0, CTX(CTX_ERROR_CODE)
  leaq -8(%rsp), %rsp
  push_registers
  jmp save_segments

// From the program, on an interrupt stack: the frame is copied over.
from_user_ist_error:
  popq CTX(CTX_ERROR_CODE)
  jmp 1f
from_user_ist:
  movq $0, CTX(CTX_ERROR_CODE)
1:
  popq REG(REG_RIP)
  popq REG(REG_CS)
  popq REG(REG_EFLAGS)
  popq REG(REG_RSP)
  popq REG(REG_SS)
  movq $REG(REG_ORIG_RAX), %rsp
  push_registers
  cmpl $1, CTX(CTX_VECTOR)
  jne save_segments
  movq %dr6, %rax
  movq %rax, CTX(CTX_DR6)
  movl $0xffff0ff0, %eax // no condition pending
  movq %rax, %dr6
  jmp save_segments

// From the stub itself. Nothing in the registers is worth keeping: they are in the context page.
from_ring0_error:
  popq CTX(CTX_ERROR_CODE)
from_ring0:
  addl $VECTOR_RING0, CTX(CTX_VECTOR)
  movq %cr2, %rax
  movq %rax, CTX(CTX_CR2)
  jmp leave_guest

ring0_end:
  // Does not assemble where the stub is longer than its pages.
  .org ring0_start + R0_CODE_SIZE

  .section .note.GNU-stack, "", @progbits
