# What copies of code must get right: test/replay/counted-code.spec.ts holds its bytes.
#   gcc -nostdlib -static -Wl,-Ttext=0x400000,--build-id=none counted.S && objcopy -O binary -j .text a.out
# Calls and jumps of each kind, flags and the red zone over conditional branches, LOOP and JRCXZ, changed
# instructions in the page being executed and in another, an instruction across two pages; loops: short, with two ways
# through a turn and a comparison with memory, with LOOP, with no register left; flags that are popped.
  .globl _start
_start:
  movl $7, %ecx
1:
  call f
  leaq table(%rip), %rbx
  movl %ecx, %eax
  andl $1, %eax
  callq *(%rbx,%rax,8)
  movq $g, %rax
  callq *%rax
  loop 1b
  pushfq
  popq %r8
  jmpq *there(%rip)
  ud2
two:
  movq $3, %rdx
  movq %rdx, -8(%rsp)
  xorl %eax, %eax
3:
  incl %eax
  addq -8(%rsp), %rdx
  adcq %r9, %r9
  cmpl $5, %eax
  jb 3b
  movb $0x11, changed+1(%rip)
  callq g
  movb $0x22, 4f+1(%rip)
4:
  movb $1, %al
  pushfq
  popfq
  movl $9, %ecx
5:
  leal -3(%rcx), %ecx
  jrcxz 6f
  jmp 5b
6:
  pushq $7f
  retq
  ud2
7:
  movl $40, %ecx
  leaq f(%rip), %rsi
  leaq 64(%r15), %rdi
  rep movsb
  leaq 8f(%rip), %rax
  movq %rax, (%r15)
  jmpq *(%r15)
8:
  callq h
  movl $11, %ecx
1:
  subl $1, %ecx
  jnz 1b
  leaq 128(%r15), %rbx
  movl $13, %ecx
2:
  leal -1(%rcx), %ecx
  cmpl %ecx, 4(%rbx)
  je 4f
  testb $1, %cl
  jz 3f
  incq %r9
  jmp 2b
3:
  decl (%rbx)
  addl $1, %edx
  jmp 2b
4:
  movl $6, %ecx
5:
  addl $2, %eax
  loop 5b
  movl $5, %ecx
6:
  leaq (%rdx,%rbx), %rdx
  leaq (%rsi,%rdi), %rsi
  leaq (%r8,%r9), %r8
  leaq (%r10,%r11), %r10
  leaq (%r12,%r13), %r12
  leaq (%r14,%r15), %r14
  leaq 1(%rbp), %rbp
  subl $1, %ecx
  jnz 6b
  movl $0x7fffffff, %eax
  addl $1, %eax
  pushfq
  xorl %ecx, %ecx
  popfq
  seto %cl
  pushfw
  popfw
  std
  pushfq
  cld
  popfq
  cld
  xorl %edi, %edi
  movl $60, %eax
  syscall
f:
  testb $1, %cl
  jnz 9f
  addq $0x1234567, %r10
  retq
9:
  subq $0x55, %r10
  sete %r11b
  retq
odd:
  leaq 1(%r12,%r10), %r12
  stc
  retq $0
even:
  rorq $3, %r12
  clc
  retq
  .balign 8
table: .quad even, odd
there: .quad two
  .org 0x1000 - 3
h:
  addl $0x10203, %r13d   # 7 bytes: straddles
  retq
  .org 0x1800
g:
changed:
  movb $0x77, %bl
  jc 1f
  incq %r14
1:
  adcq $0, %r13
  cmpq $4, %r13
  jg 2f
  pushq %rax
  callq g2
  popq %rax
2: retq
g2:
  movq 8(%rsp), %rbp
  xchgq %rbp, (%rsp)
  xchgq %rbp, (%rsp)
  retq
