/*
 * Executes instructions of the XSAVE family on this processor, for xsave-oracle.spec.ts to compare with.
 *
 * With an argument: prints XCR0 and CPUID leaves 0xD, 0 and 1. Otherwise reads requests
 * {u32 instruction, u32 0, u64 mask, state[AREA], area[AREA]} from stdin and answers each with
 * {u32 signal, u32 0, u64 XGETBV(1), area[AREA], state[AREA]} on stdout.
 */
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { AREA = 12288, ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };

struct request {
  uint32_t instruction, unused;
  uint64_t mask;
  uint8_t state[AREA], area[AREA];
};

struct answer {
  uint32_t signal, unused;
  uint64_t in_use;
  uint8_t area[AREA], state[AREA];
};

static sigjmp_buf fault;
static uint8_t before[AREA] __attribute__((aligned(64)));
static uint8_t area[AREA] __attribute__((aligned(64)));
static uint8_t after[AREA] __attribute__((aligned(64)));

static void on_fault(int signal) { siglongjmp(fault, signal); }

/* Nothing but the instruction may touch extended state between loading and saving it. */
#define STATEMENT(text)                                                                        \
  {                                                                                            \
    uint32_t low = ~0u, high = ~0u;                                                            \
    __asm__ volatile(                                                                          \
        "xrstor64 (%2)\n mov %5, %%eax\n mov %6, %%edx\n" text                                 \
        " (%3)\n mov $1, %%ecx\n xgetbv\n mov %%eax, %7\n"                                     \
        "mov $-1, %%eax\n mov $-1, %%edx\n xsave64 (%4)\n"                                     \
        : "+a"(low), "+d"(high)                                                                \
        : "r"(before), "r"(area), "r"(after), "m"(mask_low), "m"(mask_high), "m"(in_use)       \
        : "rcx", "memory");                                                                    \
  }

static uint64_t execute(uint32_t instruction, uint64_t mask) {
  volatile uint32_t mask_low = (uint32_t)mask, mask_high = (uint32_t)(mask >> 32), in_use = 0;
  switch (instruction) {
    case 0: STATEMENT("xsave64") break;
    case 1: STATEMENT("xsave") break;
    case 2: STATEMENT("xsaveopt64") break;
    case 3: STATEMENT("xsavec64") break;
    case 4: STATEMENT("xsavec") break;
    case 5: STATEMENT("xrstor64") break;
    case 6: STATEMENT("xrstor") break;
  }
  return in_use;
}

static void print_cpuid(void) {
  uint32_t a, b, c, d, low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  printf("xcr0 %u %u\n", low, high);
  for (uint32_t i = 0; i < 63; i++) {
    __cpuid_count(0xd, i, a, b, c, d);
    printf("%u %u %u %u %u\n", i, a, b, c, d);
  }
  __cpuid(0, a, b, c, d);
  printf("leaf0 %u %u %u %u\n", a, b, c, d);
  __cpuid(1, a, b, c, d);
  printf("leaf1 %u %u %u %u\n", a, b, c, d);
}

int main(int argc, char **argv) {
  static struct request request;
  static struct answer answer;
  (void)argv;
  /* Without permission the first tile data is SIGILL; elsewhere the call fails. */
  syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA);
  if (argc > 1) {
    print_cpuid();
    return 0;
  }
  signal(SIGSEGV, on_fault);
  signal(SIGILL, on_fault);
  while (fread(&request, sizeof request, 1, stdin) == 1) {
    memset(&answer, 0, sizeof answer);
    memset(after, 0, AREA);
    memcpy(before, request.state, AREA);
    memcpy(area, request.area, AREA);
    answer.signal = (uint32_t)sigsetjmp(fault, 1);
    if (answer.signal == 0) answer.in_use = execute(request.instruction, request.mask);
    memcpy(answer.area, area, AREA);
    memcpy(answer.state, after, AREA);
    fwrite(&answer, sizeof answer, 1, stdout);
  }
  return 0;
}
