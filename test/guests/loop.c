// Reads how often to turn (eight bytes from standard input), turns, says so. Nothing but the number of turns is
// different from one length to another: neither registers nor memory show it afterwards.
// Compiled with -nostdlib -static.
static long call(long number, long a, const void *b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

void _start(void) {
  unsigned long turns = 0;
  call(0, 0, &turns, sizeof turns);
  __asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(turns)::"cc");
  *(volatile unsigned long *)&turns = 0;
  call(1, 1, "turned\n", 7);
  call(231, 0, 0, 0);
}
