// System calls of a program without a C library.
#ifndef REVENANT_PROCESS_SYSTEM_H_
#define REVENANT_PROCESS_SYSTEM_H_

#include <cstddef>
#include <cstdint>

#include <sys/syscall.h>

namespace revenant::process {

// What the kernel returns: -errno, or a result.
inline long system_call(long number, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
                        std::uint64_t d = 0, std::uint64_t e = 0, std::uint64_t f = 0) {
  register std::uint64_t r10 asm("r10") = d;
  register std::uint64_t r8 asm("r8") = e;
  register std::uint64_t r9 asm("r9") = f;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

template <typename T>
std::uint64_t word(T* pointer) {
  return reinterpret_cast<std::uint64_t>(pointer);
}

inline void copy_bytes(void* to, const void* from, std::size_t count) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count)::"memory");
}

inline void zero_bytes(void* to, std::size_t count) {
  asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0) : "memory");
}

}  // namespace revenant::process

#endif
