# Loads every register from the block at 0x1000 of this region, executes the one instruction in the slot with the trap
# flag set, and comes back at `leave`, where the handler of the trap (or fault) sends it. Position independent: copied
# to a fixed address (see silicon.cc), where pages 1 and 2 are the State (native/completion/state.h) and the stack. Twice:
# for processors with AVX-512, and for those with AVX only.
        .macro trampoline name, wide
        .balign 64
        .globl \name, \name\()_slot, \name\()_leave, \name\()_end
        .hidden \name, \name\()_slot, \name\()_leave, \name\()_end
        .set \name\()_block, \name + 0x1000
        .set \name\()_host_rsp, \name + 0x1f00
        .set \name\()_host_mxcsr, \name + 0x1f08
        .set \name\()_flags, \name + 0x1ff8
\name:
        push %rbx
        push %rbp
        push %r12
        push %r13
        push %r14
        push %r15
        mov %rsp, \name\()_host_rsp(%rip)
        stmxcsr \name\()_host_mxcsr(%rip)
        mov \name\()_block + 2248(%rip), %rax
        mov %rax, \name\()_flags(%rip)
        .if \wide
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        vmovdqu64 \name\()_block + \n * 64(%rip), %zmm\n
        .endr
        .irp n, 0,1,2,3,4,5,6,7
        kmovq \name\()_block + 2048 + \n * 8(%rip), %k\n
        .endr
        .else
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        vmovdqu \name\()_block + \n * 64(%rip), %ymm\n
        .endr
        .endif
        ldmxcsr \name\()_block + 2272(%rip)
        emms
        .irp n, 0,1,2,3,4,5,6,7
        movq \name\()_block + 2304 + \n * 8(%rip), %mm\n
        .endr
        mov \name\()_block + 2112 + 0(%rip), %rax
        mov \name\()_block + 2112 + 8(%rip), %rcx
        mov \name\()_block + 2112 + 16(%rip), %rdx
        mov \name\()_block + 2112 + 24(%rip), %rbx
        mov \name\()_block + 2112 + 40(%rip), %rbp
        mov \name\()_block + 2112 + 48(%rip), %rsi
        mov \name\()_block + 2112 + 56(%rip), %rdi
        mov \name\()_block + 2112 + 64(%rip), %r8
        mov \name\()_block + 2112 + 72(%rip), %r9
        mov \name\()_block + 2112 + 80(%rip), %r10
        mov \name\()_block + 2112 + 88(%rip), %r11
        mov \name\()_block + 2112 + 96(%rip), %r12
        mov \name\()_block + 2112 + 104(%rip), %r13
        mov \name\()_block + 2112 + 112(%rip), %r14
        mov \name\()_block + 2112 + 120(%rip), %r15
        # Seven bytes and one: the slot is at 0x400, since RIP is part of the recorded answers.
        .org \name + 0x400 - 8, 0x90
        lea \name\()_flags(%rip), %rsp
        popfq
\name\()_slot:
        .skip 32, 0xcc
\name\()_leave:
        mov \name\()_host_rsp(%rip), %rsp
        ldmxcsr \name\()_host_mxcsr(%rip)
        vzeroupper
        emms
        cld
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %rbp
        pop %rbx
        ret
\name\()_end:
        .endm

        .section .rodata
        trampoline completion_trampoline, 1
        trampoline completion_trampoline_avx, 0
        .section .note.GNU-stack, "", @progbits
