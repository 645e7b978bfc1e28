// Reports what the processor and the operating system say about extended state,
// and dispatches on it as optimised libraries do: on XGETBV, not only on CPUID.
#include <cpuid.h>
#include <stdint.h>
#include <stdio.h>

static uint64_t xgetbv0(void) {
  uint32_t lo, hi;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return (uint64_t)hi << 32 | lo;
}

int main(void) {
  uint32_t a, b, c, d;
  __cpuid_count(0, 0, a, b, c, d);
  printf("vendor %.4s%.4s%.4s\n", (char*)&b, (char*)&d, (char*)&c);
  __cpuid_count(1, 0, a, b, c, d);
  printf("signature %08x osxsave %d avx %d\n", a, c >> 27 & 1, c >> 28 & 1);
  uint64_t x = (c >> 27 & 1) ? xgetbv0() : 0;
  printf("xcr0 %#llx\n", (unsigned long long)x);
  __cpuid_count(0xd, 0, a, b, c, d);
  printf("xsave area enabled %u max %u\n", b, c);
  for (unsigned i = 2; i < 20; i++) {
    __cpuid_count(0xd, i, a, b, c, d);
    if (a) printf("component %u size %u offset %u%s\n", i, a, b, x >> i & 1 ? " enabled" : "");
  }
  if ((x & 0xe6) == 0xe6)
    puts("path avx512");
  else if ((x & 6) == 6)
    puts("path avx");
  else
    puts("path sse");
  if (x >> 9 & 1) puts("protection keys on");
  return 0;
}
