/* Prints the processor's number by RDPID, twice, and leaves it in no register. */
#include <sys/syscall.h>

static char text[] = "000 000\n";

static void put(char* at, unsigned long number) {
  for (int i = 2; i >= 0; i--, number /= 10) at[i] = (char)('0' + number % 10);
}

__attribute__((noinline)) static void write_numbers(void) {
  unsigned long low, high;
  __asm__ volatile("rdpid %%rax" : "=a"(low));
  __asm__ volatile("rdpid %%r9\n\tmov %%r9, %0" : "=r"(high) : : "r9");
  put(text, low);
  put(text + 4, high);
}

void _start(void) {
  write_numbers();
  long number = SYS_write;
  __asm__ volatile(
      "xor %%ebx, %%ebx\n\txor %%ecx, %%ecx\n\txor %%r8d, %%r8d\n\txor %%r9d, %%r9d\n\txor %%r10d, %%r10d\n\t"
      "xor %%r11d, %%r11d\n\txor %%r12d, %%r12d\n\txor %%r13d, %%r13d\n\txor %%r14d, %%r14d\n\txor %%r15d, "
      "%%r15d\n\t"
      "syscall"
      : "+a"(number)
      : "D"(1L), "S"(text), "d"(sizeof text - 1)
      : "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory");
  number = SYS_exit_group;
  __asm__ volatile("syscall" : "+a"(number) : "D"(0L) : "rcx", "r11", "memory");
}
