// Saves and restores extended state with every instruction of the XSAVE family that CPUID announces, and looks for
// each component where CPUID says that it is. What it prints is the same for every layout.
#include <cpuid.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static unsigned char area[4096] __attribute__((aligned(64)));
static unsigned char before[4096];
static unsigned offset[64], size[64], aligned[64];
static uint64_t xcr0;

#define OPERATE(name, instruction)                                                              \
  static void name(uint64_t mask) {                                                             \
    __asm__ volatile(instruction " %0" : "+m"(area) : "a"((unsigned)mask), "d"((unsigned)(mask >> 32)) : "memory"); \
  }
OPERATE(xsave, "xsave64")
OPERATE(xsaveopt, "xsaveopt64")
OPERATE(xsavec, "xsavec64")
OPERATE(xrstor, "xrstor64")

// All components are in use when they are saved: what XINUSE says of others differs from processor to processor.
static void set_ymm(uint64_t value) {
  __asm__ volatile("fninit\n\tfld1" ::: "st");
  uint64_t lanes[4] = {value, value + 1, value + 2, value + 3};
  if (xcr0 & 4) __asm__ volatile("vmovdqu %0, %%ymm7" ::"m"(lanes) : "xmm7");
  else __asm__ volatile("movdqu %0, %%xmm7" ::"m"(lanes) : "xmm7");
}

static uint64_t get_ymm(int lane) {
  uint64_t lanes[4] = {0};
  if (xcr0 & 4) __asm__ volatile("vmovdqu %%ymm7, %0" : "=m"(lanes));
  else __asm__ volatile("movdqu %%xmm7, %0" : "=m"(lanes));
  return lanes[lane];
}

static void set_pkru(unsigned value) {
  if (xcr0 & 0x200) __asm__ volatile("wrpkru" ::"a"(value), "c"(0), "d"(0) : "memory");
}

static unsigned get_pkru(void) {
  unsigned value = 0, high;
  if (xcr0 & 0x200) __asm__ volatile("rdpkru" : "=a"(value), "=d"(high) : "c"(0));
  return value;
}

static uint64_t at(unsigned place) {
  uint64_t value;
  memcpy(&value, area + place, 8);
  return value;
}

// Where a component lies in an area whose XCOMP_BV is `compaction` (0: the standard form).
static unsigned place(int component, uint64_t compaction) {
  if (!compaction) return offset[component];
  unsigned end = 576;
  for (int i = 2; i < 63; i++) {
    if (!(compaction >> i & 1)) continue;
    if (aligned[i]) end = (end + 63) & ~63u;
    if (i == component) return end;
    end += size[i];
  }
  return 0;
}

static void show(const char *name) {
  uint64_t bv = at(512), compaction = at(520);
  int changed = 0;
  for (unsigned i = 0; i < sizeof area; i += 8) changed += memcmp(area + i, before + i, 8) != 0;
  printf("%s: XSTATE_BV %lx XCOMP_BV %lx, %d words changed", name, bv, compaction, changed);
  printf(", xmm7 %lx", at(160 + 16 * 7));
  if (xcr0 & 4) printf(", ymm7 %lx", at(place(2, compaction) + 16 * 7));
  if (xcr0 & 0x200) printf(", pkru %lx", at(place(9, compaction)) & 0xffffffff);
  printf("\n");
}

static void clear(unsigned char with) {
  memset(area, with, sizeof area);
  memset(area + 512, 0, 64);
  memcpy(before, area, sizeof area);
}

static void restore(const char *name, uint64_t mask) {
  set_ymm(0);
  set_pkru(0x55555550);
  xrstor(mask);
  uint64_t low = get_ymm(0), high = get_ymm(2);
  printf("%s, mask %lx: xmm7 %lx, ymm7 %lx, pkru %x\n", name, mask, low, high, get_pkru());
}

static void cycle(const char *name, void (*save)(uint64_t), uint64_t mask, unsigned char with) {
  set_ymm(0x1111222233334444);
  set_pkru(0x55555554);
  clear(with);
  save(mask);
  show(name);
  uint64_t compaction = at(520), other = 0x5555666677778888;
  if (mask & 4 & xcr0) memcpy(area + place(2, compaction) + 16 * 7, &other, 8);
  restore(name, mask);
  restore(name, 4);
  restore(name, 0x203);
}

int main(void) {
  unsigned a, b, c, d, features;
  __cpuid(1, a, b, c, d);
  if (!(c >> 27 & 1)) return 1;
  __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  xcr0 = (uint64_t)d << 32 | a;
  for (int i = 2; i < 63; i++) {
    __cpuid_count(0xd, i, a, b, c, d);
    size[i] = a, offset[i] = b, aligned[i] = c >> 1 & 1;
  }
  __cpuid_count(0xd, 0, a, b, c, d);
  unsigned end = 576;
  for (int i = 2; i < 63; i++)
    if (xcr0 >> i & 1 && offset[i] + size[i] > end) end = offset[i] + size[i];
  printf("the area ends where CPUID says: %d\n", b == end);
  __cpuid_count(0xd, 1, features, b, c, d);
  cycle("xsave", xsave, ~0ull, 0x33);
  cycle("xsave of SSE and AVX", xsave, 6, 0xcc);
  if (features & 1) cycle("xsaveopt", xsaveopt, ~0ull, 0x33);
  if (features & 2) cycle("xsavec", xsavec, ~0ull, 0x33);
  return 0;
}
