# Loads every register from the block at 0x1000 of this region, executes the one instruction in the slot with the trap
# flag set, and comes back at `leave`, where the handler of the trap (or fault) sends it. Position independent: copied
# to a fixed address (see silicon.cc), where pages 1 and 2 are the State (native/completion/state.h) and the stack.
        .section .rodata
        .balign 64
        .globl completion_trampoline, completion_trampoline_slot, completion_trampoline_leave
        .globl completion_trampoline_end
        .hidden completion_trampoline, completion_trampoline_slot, completion_trampoline_leave
        .hidden completion_trampoline_end
        .set block, completion_trampoline + 0x1000
        .set host_rsp, completion_trampoline + 0x1f00
        .set host_mxcsr, completion_trampoline + 0x1f08
        .set flags, completion_trampoline + 0x1ff8
completion_trampoline:
        push %rbx
        push %rbp
        push %r12
        push %r13
        push %r14
        push %r15
        mov %rsp, host_rsp(%rip)
        stmxcsr host_mxcsr(%rip)
        mov block + 2248(%rip), %rax
        mov %rax, flags(%rip)
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        vmovdqu64 block + \n * 64(%rip), %zmm\n
        .endr
        .irp n, 0,1,2,3,4,5,6,7
        kmovq block + 2048 + \n * 8(%rip), %k\n
        .endr
        ldmxcsr block + 2272(%rip)
        mov block + 2112 + 0(%rip), %rax
        mov block + 2112 + 8(%rip), %rcx
        mov block + 2112 + 16(%rip), %rdx
        mov block + 2112 + 24(%rip), %rbx
        mov block + 2112 + 40(%rip), %rbp
        mov block + 2112 + 48(%rip), %rsi
        mov block + 2112 + 56(%rip), %rdi
        mov block + 2112 + 64(%rip), %r8
        mov block + 2112 + 72(%rip), %r9
        mov block + 2112 + 80(%rip), %r10
        mov block + 2112 + 88(%rip), %r11
        mov block + 2112 + 96(%rip), %r12
        mov block + 2112 + 104(%rip), %r13
        mov block + 2112 + 112(%rip), %r14
        mov block + 2112 + 120(%rip), %r15
        # Seven bytes and one: the slot is at 0x400, since RIP is part of the recorded answers.
        .org completion_trampoline + 0x400 - 8, 0x90
        lea flags(%rip), %rsp
        popfq
completion_trampoline_slot:
        .skip 32, 0xcc
completion_trampoline_leave:
        mov host_rsp(%rip), %rsp
        ldmxcsr host_mxcsr(%rip)
        vzeroupper
        cld
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %rbp
        pop %rbx
        ret
completion_trampoline_end:
        .section .note.GNU-stack, "", @progbits
