/*
 * Preloaded into a gdb that debugs a live program. gdb 13 reads and writes a task's XSAVE area (NT_X86_XSTATE) by
 * buffers of 2,696 bytes; where the processor has AMX, the kernel's area is longer, and it answers a shorter write with
 * EFAULT (arch/x86/kernel/fpu/regset.c, xstateregs_set), so that gdb can set no register and call no function. This
 * lengthens such a write by what the task's area holds past gdb's part.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

typedef long ptrace_function(enum __ptrace_request, ...);

/* Longer than any component layout that exists; XTILEDATA ends at 11,008. */
static __thread unsigned char area[16384];

long ptrace(enum __ptrace_request request, ...) {
  static ptrace_function *next;
  if (!next) *(void **)&next = dlsym(RTLD_NEXT, "ptrace");
  va_list list;
  va_start(list, request);
  const long task = va_arg(list, long);
  void *address = va_arg(list, void *);
  void *data = va_arg(list, void *);
  va_end(list);
  const long result = next(request, task, address, data);
  const int extended = request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE;
  if (result == 0 || errno != EFAULT || !extended) return result;
  const struct iovec *given = data;
  struct iovec whole = {area, sizeof area};
  if (next(PTRACE_GETREGSET, task, address, &whole) != 0 || whole.iov_len <= given->iov_len) {
    errno = EFAULT;
    return result;
  }
  memcpy(area, given->iov_base, given->iov_len);
  return next(request, task, address, &whole);
}
