/* Forks 200 times with 100 MB resident. In each round the child stores into 2 MB in order and into pages here and
 * there, and ends with a sum of what it sees; then the parent stores into other 2 MB. Prints the sums' sum. */
#include <sys/mman.h>
#include <sys/syscall.h>

enum { pages = 25600, page = 4096, rounds = 200, in_order = 512, here_and_there = 64 };

static long call(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "+a"(number)
                   : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return number;
}

static volatile unsigned *memory;

static volatile unsigned *word(unsigned number) { return memory + number % pages * (page / sizeof *memory); }

static void store_in_order(unsigned first, unsigned value) {
  for (unsigned i = 0; i < in_order; i++) *word(first + i) += value;
}

static unsigned child(unsigned round) {
  store_in_order(round * 131, round);
  unsigned sum = 0;
  for (unsigned i = 0; i < here_and_there; i++) sum += *word(round * 977 + i * 397) += i;
  for (unsigned i = 0; i < in_order; i++) sum += *word(round * 131 + i);
  return sum;
}

__attribute__((force_align_arg_pointer)) void _start(void) {
  memory = (volatile unsigned *)call(SYS_mmap, 0, (long)pages * page, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (unsigned i = 0; i < pages; i++) *word(i) = i;
  unsigned sum = 0;
  for (unsigned round = 0; round < rounds; round++) {
    const long pid = call(SYS_fork, 0, 0, 0, 0, 0, 0);
    if (pid == 0) call(SYS_exit_group, child(round) & 0x7f, 0, 0, 0, 0, 0);
    int status = 0;
    call(SYS_wait4, pid, (long)&status, 0, 0, 0, 0);
    sum = sum * 31 + (unsigned)status;
    store_in_order(round * 89 + 12800, round);
  }
  char text[9];
  for (int i = 0; i < 8; i++) text[i] = "0123456789abcdef"[sum >> (28 - 4 * i) & 15];
  text[8] = '\n';
  call(SYS_write, 1, (long)text, sizeof text, 0, 0, 0);
  call(SYS_exit_group, 0, 0, 0, 0, 0, 0);
}
