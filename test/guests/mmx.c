/* SSSE3 on MMX registers, among x87 instructions: prints a checksum, and what FNSAVE has of the registers afterwards, but
   for their upper 16 bits, which QEMU's emulator leaves as they are. */
#include <sys/syscall.h>

typedef unsigned long Word;

static Word seed = 1;
static Word sum;

static Word next(void) {
  seed = seed * 6364136223846793005 + 1442695040888963407;
  return seed ^ seed >> 29;
}

static long call(long number, long a, const void *b, long c) {
  __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return number;
}

/* Of two registers, and of a register and memory. */
#define USE(instruction)                                                                                   \
  do {                                                                                                     \
    Word a = next(), b = next();                                                                           \
    __asm__ volatile("movq %0, %%mm3\n\tmovq %1, %%mm6\n\t" instruction " %%mm6, %%mm3\n\t" instruction    \
                     " %1, %%mm3\n\tmovq %%mm3, %0"                                                        \
                     : "+m"(a)                                                                             \
                     : "m"(b));                                                                            \
    sum = (sum ^ a) * 0x9e3779b97f4a7c15;                                                                  \
  } while (0)

static void print(const char *name, const unsigned char *bytes, int count) {
  char line[256];
  int at = 0;
  while (*name) line[at++] = *name++;
  for (int i = 0; i < count; i++) {
    line[at++] = "0123456789abcdef"[bytes[i] >> 4];
    line[at++] = "0123456789abcdef"[bytes[i] & 15];
  }
  line[at++] = '\n';
  call(SYS_write, 1, line, at);
}

__attribute__((force_align_arg_pointer)) void _start(void) {
  for (int i = 0; i < 20; i++) {
    USE("pabsb");
    USE("pabsw");
    USE("pabsd");
    USE("psignb");
    USE("psignw");
    USE("psignd");
    USE("phaddw");
    USE("phaddd");
    USE("phaddsw");
    USE("phsubw");
    USE("phsubd");
    USE("phsubsw");
    USE("pshufb");
    USE("pmaddubsw");
    USE("pmulhrsw");
    USE("palignr $3,");
    USE("palignr $11,");
  }
  print("sum ", (const unsigned char *)&sum, sizeof sum);
  /* TOP is 6 when the first of them comes, and no register but two is in use. */
  unsigned char saved[108];
  __asm__ volatile("fninit\n\tfldpi\n\tfld1\n\tpabsb %%mm6, %%mm2\n\tfnsave %0" : "=m"(saved));
  print("status ", saved + 4, 2);
  for (int i = 0; i < 8; i++) print("register ", saved + 28 + 10 * i, 8);
  /* The registers were never used: all zeros, as FNINIT leaves the tags. */
  __asm__ volatile("fninit\n\tpshufb %%mm1, %%mm1\n\temms\n\tfldpi\n\tfnsave %0" : "=m"(saved));
  print("after ", saved + 4, 2);
  call(SYS_exit_group, 0, 0, 0);
}
