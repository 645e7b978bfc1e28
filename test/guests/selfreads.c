// A program that reads its own code: it sums it, and runs a copy of it elsewhere. What it prints is the same every time.
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define WORK(n) \
  __attribute__((noinline, used, section(".work"))) int work##n(int x) { return x * n + 1; }
WORK(1)
WORK(2)
WORK(3)
WORK(4)
WORK(5)
WORK(6)
WORK(7)
WORK(8)
WORK(9)
WORK(10)
static int (*const all[])(int) = {work1, work2, work3, work4, work5, work6, work7, work8, work9, work10};

static unsigned sum(const unsigned char* from, const unsigned char* to) {
  unsigned sum = 0;
  for (; from < to; from++) sum = sum * 31 + *from;
  return sum;
}

int main(void) {
  const unsigned char* from = (const unsigned char*)all[0];
  unsigned before = sum(from, from + 10 * 16);
  unsigned char* copy = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(copy, from, 10 * 16);
  int total = 0;
  for (int i = 0; i < 10; i++) {
    total += all[i](3);
    total -= ((int (*)(int))(copy + ((const unsigned char*)all[i] - from)))(3);
  }
  printf("sum %u total %d\n", before, total);
  return 0;
}
