/* Repeated string instructions whose last iteration writes memory that a debugger may watch: upwards, and downwards. */
#include <sys/syscall.h>

static const char text[] = "eight ba";
volatile char copy[16];
volatile unsigned long filled[4];

__attribute__((noinline)) void written(void) { __asm__ volatile(""); }

void _start(void) {
  const void *from = text;
  volatile void *to = copy;
  unsigned long count = 8;
  __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
  written();
  to = filled + 3;
  count = 3;
  __asm__ volatile("std\n\trep stosq\n\tcld" : "+D"(to), "+c"(count) : "a"(7L) : "memory");
  written();
  long number = SYS_exit_group;
  __asm__ volatile("syscall" : "+a"(number) : "D"((long)(copy[7] + filled[1])) : "rcx", "r11", "memory");
}
