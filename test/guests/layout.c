// Address spaces that are in the way of a machine that lives beside the program:
//   layout fixed    maps at 42 TiB and up (MAP_FIXED), a terabyte sparsely, thousands of single pages, and
//   moves its stack layout full     leaves no 16 GiB free anywhere
// test/recordings has how it is compiled.
#include <linux/mman.h>
#include <stddef.h>
#include <sys/syscall.h>

#define TIB (1ul << 40)
enum {
  READ = 1,
  WRITE = 2,
  PRIVATE = 2,
  FIXED = 0x10,
  ANONYMOUS = 0x20,
  NORESERVE = 0x4000,
  NOREPLACE = 0x100000
};

static long call(long n, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

static unsigned long map(unsigned long at, unsigned long bytes, int access, int flags) {
  return (unsigned long)call(SYS_mmap, (long)at, (long)bytes, access, PRIVATE | ANONYMOUS | NORESERVE | flags,
                             -1, 0);
}

static void say(const char* name, unsigned long value) {
  char text[64];
  int length = 0;
  while (name[length]) {
    text[length] = name[length];
    length++;
  }
  text[length++] = ' ';
  for (int shift = 60; shift >= 0; shift -= 4) text[length++] = "0123456789abcdef"[value >> shift & 15];
  text[length++] = '\n';
  call(SYS_write, 1, (long)text, length, 0, 0, 0);
}

static unsigned long sum;
static void touch(unsigned long at, unsigned long value) {
  *(volatile unsigned long*)at = value;
  sum = sum * 31 + *(volatile unsigned long*)at + at;
}

static int fixed(void) {
  // Where the process machine is by default, and around it.
  for (unsigned long at = 42 * TIB; at < 43 * TIB; at += TIB / 16) {
    if (map(at, 1 << 16, READ | WRITE, FIXED) != at) return 2;
    touch(at, at);
    touch(at + 0xfff8, ~at);
  }
  say("fixed", sum);
  // A terabyte of which some pages are used, as sanitizers and Go have it.
  const unsigned long sparse = 16 * TIB;
  if (map(sparse, TIB, READ | WRITE, FIXED) != sparse) return 3;
  for (unsigned long i = 0; i < 40; i++) touch(sparse + i * (TIB / 40 & ~0xffful), i);
  say("sparse", sum);
  // Pages whose neighbours have another protection: a line of /proc/self/maps for each.
  const unsigned long lines = 43 * TIB + (1ul << 36);
  const unsigned long count = 3000;
  if (map(lines, count << 12, READ | WRITE, FIXED) != lines) return 4;
  for (unsigned long i = 0; i < count; i += 2)
    if (call(SYS_mprotect, (long)(lines + (i << 12)), 4096, READ, 0, 0, 0)) return 5;
  for (unsigned long i = 1; i < count; i += 2) touch(lines + (i << 12), i);
  for (unsigned long i = 0; i < count; i += 2) sum = sum * 31 + *(volatile unsigned long*)(lines + (i << 12));
  say("lines", sum);
  return 0;
}

// Takes whatever is free in [start, end), in halves down to 16 GiB.
static void fill(unsigned long start, unsigned long end) {
  if (map(start, end - start, 0, NOREPLACE) == start) return;
  if (end - start <= 1ul << 34) {
    // A page anywhere in it is enough.
    for (unsigned long at = start; at < end; at += 1ul << 32)
      if (map(at, 4096, 0, NOREPLACE) == at) return;
    return;
  }
  const unsigned long middle = start + (end - start) / 2;
  fill(start, middle);
  fill(middle, end);
}

static int full(void) {
  fill(1ul << 34, 128 * TIB - (1ul << 34));
  say("full", 1);
  return 0;
}

// On a stack of its own: moves the page of the first one's top away, and puts another in its place.
__attribute__((used, noreturn)) static void without_stack(long* stack) {
  const unsigned long from = (unsigned long)stack & ~0xffful, to = 44 * TIB;
  const long first = *stack;
  const long moved = call(SYS_mremap, (long)from, 4096, 4096, 3 /* MAYMOVE | FIXED */, (long)to, 0);
  int status = (unsigned long)moved == to ? 0 : 7;
  if (*(const long*)(to + ((unsigned long)stack & 0xfff)) != first) status = 8;
  if (map(from, 4096, READ | WRITE, FIXED) != from) status = 9;
  touch(from, 77);
  say("moved", sum);
  call(SYS_exit_group, status, 0, 0, 0, 0, 0);
  __builtin_unreachable();
}

__attribute__((used, noreturn)) static void start(long* stack) {
  const int is_full = stack[0] > 1 && ((const char*)stack[2])[1] == 'u';
  const int status = is_full ? full() : fixed();
  const unsigned long own = 45 * TIB;
  if (status != 0 || is_full || map(own, 1 << 16, READ | WRITE, FIXED) != own) {
    call(SYS_exit_group, status, 0, 0, 0, 0, 0);
    __builtin_unreachable();
  }
  asm volatile("movq %0, %%rsp\n\tcall without_stack" ::"r"(own + (1 << 16)), "D"(stack) : "memory");
  __builtin_unreachable();
}

asm(".globl _start\n_start:\n\tmovq %rsp, %rdi\n\tandq $-16, %rsp\n\tcall start\n");
