// A program that gives its memory a key of its own and then forbids key 0: its stack, its table, and the
// kernel's reading of them are of the other key.
#include <sys/syscall.h>
static long call(long n, long a, long b, long c, long d) {
  long result;
  register long r10 asm("r10") = d;
  asm volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}
static void wrpkru(unsigned value) {
  asm volatile(".byte 0x0f,0x01,0xef" ::"a"(value), "c"(0), "d"(0) : "memory");
}
static unsigned rdpkru(void) {
  unsigned eax, edx;
  asm volatile(".byte 0x0f,0x01,0xee" : "=a"(eax), "=d"(edx) : "c"(0));
  return eax;
}
__attribute__((aligned(4096))) static volatile unsigned table[2048];
__attribute__((noreturn, used)) static void start(long stack) {
  long key = call(SYS_pkey_alloc, 0, 0, 0, 0);
  if (key < 0) call(SYS_exit_group, 2, 0, 0, 0);
  long a = call(SYS_pkey_mprotect, (stack & ~0xfffl) - 4096, 8192, 3, key);
  long b = call(SYS_pkey_mprotect, (long)table, sizeof table, 3, key);
  if (a || b) call(SYS_exit_group, 3, 0, 0, 0);
  wrpkru(0x55555555u & ~(3u << (2 * key)));
  unsigned sum = 0;
  for (unsigned i = 0; i < 2000; i++) {
    table[i] = i * i;
    sum = sum * 31 + table[i];
  }
  char text[10];
  unsigned seen = rdpkru();
  for (int i = 0; i < 8; i++) {
    unsigned d = (sum ^ seen) >> (28 - 4 * i) & 15;
    text[i] = (char)(d < 10 ? '0' + d : 'a' + d - 10);
  }
  text[8] = '\n';
  call(SYS_write, 1, (long)text, 9, 0);
  wrpkru(0x55555554u);
  call(SYS_exit_group, 0, 0, 0, 0);
  __builtin_unreachable();
}
asm(".globl _start\n_start:\n\tmovq %rsp, %rdi\n\tandq $-16, %rsp\n\tcall start\n");
