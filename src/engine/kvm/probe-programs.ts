/**
 * The programs that the probe runs at CPL 3, by hand. All but the system call end in INT3, which also
 * works where SYSCALL does not.
 */

const bytes = (...parts: number[][]): Uint8Array => Uint8Array.from(parts.flat());

const INT3 = [0xcc];
const NOP = [0x90];
const SYSCALL = [0x0f, 0x05];
const XOR_ECX = [0x31, 0xc9]; // xor %ecx, %ecx

/** The length of an instruction that is expected to fault does not matter: rip stays on it. */
export const programs = {
  xgetbv0: bytes(XOR_ECX, [0x0f, 0x01, 0xd0], INT3),
  xgetbv1: bytes([0xb9, 1, 0, 0, 0], [0x0f, 0x01, 0xd0], INT3), // mov $1, %ecx; xgetbv
  /**
   * rsi: edi records of six words (eax, ecx, then the results):
   *   mov (%rsi), %eax; mov 4(%rsi), %ecx; cpuid; mov %eax, 8(%rsi); mov %ebx, 12(%rsi);
   *   mov %ecx, 16(%rsi); mov %edx, 20(%rsi); add $24, %rsi; dec %edi; jnz to the first
   */
  cpuidLoop: bytes(
    [0x8b, 0x06, 0x8b, 0x4e, 0x04, 0x0f, 0xa2, 0x89, 0x46, 0x08, 0x89, 0x5e, 0x0c],
    [0x89, 0x4e, 0x10, 0x89, 0x56, 0x14, 0x48, 0x83, 0xc6, 0x18, 0xff, 0xcf, 0x75, 0xe5],
    INT3,
  ),
  cpuid: bytes([0x0f, 0xa2], INT3),
  rdtsc: bytes([0x0f, 0x31], INT3),
  syscall: bytes([0xb8, 0x99, 0, 0, 0], SYSCALL, INT3), // mov $0x99, %eax
  store: bytes([0x48, 0x89, 0x07], INT3), // mov %rax, (%rdi)
  load: bytes([0x48, 0x8b, 0x07], INT3), // mov (%rdi), %rax
  jump: bytes([0xff, 0xe7]), // jmp *%rdi
  nops: bytes(NOP, NOP, NOP, NOP, INT3),
  xsave: bytes([0x48, 0x0f, 0xae, 0x27], INT3), // xsave64 (%rdi)
  xsavec: bytes([0x48, 0x0f, 0xc7, 0x27], INT3), // xsavec64 (%rdi)
  xrstor: bytes([0x48, 0x0f, 0xae, 0x2f], INT3), // xrstor64 (%rdi)
  storeXmm0: bytes([0x0f, 0x11, 0x07], INT3), // movups %xmm0, (%rdi)
  wrpkru: bytes([0x0f, 0x01, 0xef], INT3),
  // fninit; xorps %xmm0, %xmm0; xorps %xmm1, %xmm1; ldmxcsr (%rdi)
  resetVectors: bytes([0xdb, 0xe3, 0x0f, 0x57, 0xc0, 0x0f, 0x57, 0xc9, 0x0f, 0xae, 0x17], INT3),
  loadFs: bytes([0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0], INT3), // mov %fs:0, %rax
  wrfsbase: bytes([0xf3, 0x48, 0x0f, 0xae, 0xd2], INT3), // wrfsbase %rdx
  /**
   * edi iterations, each with a conditional branch that is not taken, a call, a return, a jump, and a conditional
   *   branch: 1: test %edi, %edi; jz 2f; call 2f; jmp 3f; 2: ret; 3: dec %edi; jnz 1b
   */
  branches: bytes([0x85, 0xff, 0x74, 0x07, 0xe8, 2, 0, 0, 0, 0xeb, 0x01, 0xc3, 0xff, 0xcf, 0x75, 0xf0], INT3),
  // esi iterations with a LOCK instruction: 1: lock addl $1, (%rdi); dec %esi; jnz 1b
  locked: bytes([0xf0, 0x83, 0x07, 0x01, 0xff, 0xce, 0x75, 0xf8], INT3),
  endless: bytes([0x48, 0xff, 0xc0, 0xeb, 0xfb]), // 1: inc %rax; jmp 1b
} as const;
