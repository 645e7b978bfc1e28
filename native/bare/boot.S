// From the processor's reset to bare_main in the upper half, and from there to the program and back.
#include "layout.h"

#define IN_IMAGE(symbol) (BARE_IMAGE_PHYSICAL + (symbol) - boot_start)
#define TABLE(offset) (BARE_MEMORY_PHYSICAL + (offset))
#define SEL_BOOT_CS 0x08
#define STACK_TOP R0_BASE + (BARE_MEMORY_PAGE << 12) + BARE_MEMORY_SIZE

#define LINE 0x3f8
#define CPUID_EXTENDED 0x80000001
#define CPUID_NEEDED 0x24000000 // EDX: pages of 1 GiB, long mode

#define MSR_EFER 0xc0000080
#define EFER_SCE_LME_NXE 0x901
#define CR0_LONG 0x80050033  // PE MP ET NE WP AM PG
// Local APIC (SDM vol. 3, 11.4 and 11.5).
#define APIC 0xfee00000
#define APIC_SPURIOUS 0xf0
#define APIC_SPURIOUS_ENABLED 0x1ff
#define APIC_LINT0 0x350
#define APIC_EXTERNAL 0x700
// Bits of entries: present, writable, accessed; and dirty, and a page of 1 GiB.
#define PTE_TABLE 0x23
#define PTE_LEAF 0x63
#define PTE_CODE 0x21
#define PTE_HUGE 0xe3
#define PTE_NX_HIGH 0x80000000

  .section .reset, "ax", @progbits
  .code16
  .globl bare_reset
bare_reset:
  jmp start16

  .section .boot, "ax", @progbits
boot_start:
  .code16
start16:
  cli
  lgdtl %cs:(boot_gdt_pointer - boot_start)
  movl %cr0, %eax
  orl $1, %eax
  movl %eax, %cr0
  ljmpl $SEL_BOOT_CS, $IN_IMAGE(start32)

  .code32
start32:
  movl $SEL_KERNEL_SS, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  movl $CPUID_EXTENDED, %eax
  cpuid
  andl $CPUID_NEEDED, %edx
  cmpl $CPUID_NEEDED, %edx
  jne unsuitable
  // The interrupt controller's interrupts pass through the local APIC's LINT0.
  movl $APIC_SPURIOUS_ENABLED, APIC + APIC_SPURIOUS
  movl $APIC_EXTERNAL, APIC + APIC_LINT0
  // The machine's memory is zero. The identity map is of 3 to 4 GiB, where this is.
  movl $(TABLE(BARE_PDPT_LOW) + PTE_TABLE), TABLE(BARE_PML4)
  movl $(0xc0000000 + PTE_HUGE), TABLE(BARE_PDPT_LOW) + 8 * 3
  movl $(TABLE(BARE_PDPT) + PTE_TABLE), TABLE(BARE_PML4) + 8 * R0_PML4_SLOT
  movl $(TABLE(BARE_PD) + PTE_TABLE), TABLE(BARE_PDPT) + 8 * R0_PDPT_SLOT
  movl $(TABLE(BARE_PT) + PTE_TABLE), TABLE(BARE_PD)
  xorl %ecx, %ecx
1: // The pool, from 4 GiB on.
  movl %ecx, %eax
  shll $30, %eax
  orl $PTE_HUGE, %eax
  movl %ecx, %edx
  shrl $2, %edx
  addl $(PTE_NX_HIGH + 1), %edx
  movl %eax, TABLE(BARE_PDPT)(, %ecx, 8)
  movl %edx, TABLE(BARE_PDPT) + 4(, %ecx, 8)
  incl %ecx
  cmpl $BARE_POOL_ENTRIES, %ecx
  jne 1b
  movl $(BARE_IMAGE_PHYSICAL + PTE_CODE), %eax
  movl $(BARE_MEMORY_PHYSICAL + PTE_LEAF), %edx
  movl $(TABLE(BARE_PT) + 8 * BARE_IMAGE_PAGE), %edi
1:
  movl %eax, (%edi)
  movl %edx, 8 * (BARE_MEMORY_PAGE - BARE_IMAGE_PAGE)(%edi)
  movl $PTE_NX_HIGH, 8 * (BARE_MEMORY_PAGE - BARE_IMAGE_PAGE) + 4(%edi)
  addl $0x1000, %eax
  addl $0x1000, %edx
  addl $8, %edi
  cmpl $(TABLE(BARE_PT) + 8 * (BARE_IMAGE_PAGE + BARE_PAGES)), %edi
  jne 1b

  movl $R0_CR4, %eax
  movl %eax, %cr4
  movl $TABLE(BARE_PML4), %eax
  movl %eax, %cr3
  movl $MSR_EFER, %ecx
  movl $EFER_SCE_LME_NXE, %eax
  xorl %edx, %edx
  wrmsr
  movl $CR0_LONG, %eax
  movl %eax, %cr0
  ljmpl $SEL_KERNEL_CS, $IN_IMAGE(start64)

// Says why on the serial line and ends the emulator by a triple fault.
unsuitable:
  movl $IN_IMAGE(unsuitable_text), %esi
  movl $LINE, %edx
1:
  movb (%esi), %al
  outb %al, %dx
  incl %esi
  cmpb $0, (%esi)
  jne 1b
  lidt IN_IMAGE(no_idt)
  ud2
unsuitable_text:
  .asciz "bare: this processor has no pages of 1 GiB (pdpe1gb), or no long mode\n"

  .code64
start64:
  movq $upper_half, %rax
  jmpq *%rax
upper_half:
  movq $STACK_TOP, %rsp
  xorl %ebp, %ebp
  movl %ebp, %ds
  movl %ebp, %es
  movl %ebp, %fs
  movl %ebp, %gs
  call bare_main
1:
  hlt
  jmp 1b

  .balign 8
boot_gdt: // accessed, so that nothing is written here; the same selectors as in ring 0's own
  .quad 0
  .quad 0x00cf9b000000ffff // SEL_BOOT_CS
  .quad 0x00af9b000000ffff // SEL_KERNEL_CS
  .quad 0x00cf93000000ffff // SEL_KERNEL_SS
boot_gdt_end:
boot_gdt_pointer:
  .word boot_gdt_end - boot_gdt - 1
  .long IN_IMAGE(boot_gdt)

  .globl bare_gdt_pointer
bare_gdt_pointer: // the same in the upper half
  .word boot_gdt_end - boot_gdt - 1
  .quad boot_gdt

  .globl no_idt
no_idt:
  .word 0
  .quad 0

  .text
  .globl bare_run, bare_left, bare_interrupted, bare_woken, bare_broken

// void bare_run(const void* resume): jumps there, and returns when the stub comes to bare_left. The vector state
// is the program's.
bare_run:
  pushq %rbx
  pushq %rbp
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, stack_of_run
  jmpq *%rdi
bare_left:
  cld
  movq stack_of_run, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbp
  popq %rbx
  ret

// The stub has saved the registers of a program that was interrupted.
bare_interrupted:
  cld
  movq stack_of_run, %rsp
  subq $8, %rsp // aligned for a call
  call bare_after_interrupt
  jmpq *%rax

// While no ring-0 image is in force: the end of HLT; and an exception of the service's own, which ends the
// emulator (a triple fault).
bare_woken:
  iretq
bare_broken:
  lidt no_idt
  ud2

  .bss
  .balign 8
stack_of_run:
  .quad 0

  .section .note.GNU-stack, "", @progbits
