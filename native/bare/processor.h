// The instructions of ring 0 that C++ has no words for.
#ifndef REVENANT_BARE_PROCESSOR_H_
#define REVENANT_BARE_PROCESSOR_H_

#include <cstddef>
#include <cstdint>

namespace revenant::bare {

inline void out8(std::uint16_t port, std::uint8_t value) {
  asm volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

inline void out32(std::uint16_t port, std::uint32_t value) {
  asm volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

inline std::uint8_t in8(std::uint16_t port) {
  std::uint8_t value;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

inline std::uint32_t in32(std::uint16_t port) {
  std::uint32_t value;
  asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

inline void write_msr(std::uint32_t index, std::uint64_t value) {
  asm volatile("wrmsr" ::"c"(index), "a"(static_cast<std::uint32_t>(value)),
               "d"(static_cast<std::uint32_t>(value >> 32))
               : "memory");
}

inline void set_xcr0(std::uint64_t value) {
  asm volatile("xsetbv" ::"c"(0), "a"(static_cast<std::uint32_t>(value)),
               "d"(static_cast<std::uint32_t>(value >> 32))
               : "memory");
}

inline std::uint64_t xcr0() {
  std::uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return std::uint64_t{high} << 32 | low;
}

inline std::uint64_t cr4() {
  std::uint64_t value;
  asm volatile("movq %%cr4, %0" : "=r"(value));
  return value;
}

inline void set_cr4(std::uint64_t value) { asm volatile("movq %0, %%cr4" ::"r"(value) : "memory"); }
inline void set_cr3(std::uint64_t value) { asm volatile("movq %0, %%cr3" ::"r"(value) : "memory"); }
inline void set_dr7(std::uint64_t value) { asm volatile("movq %0, %%dr7" ::"r"(value) : "memory"); }
inline void set_dr6(std::uint64_t value) { asm volatile("movq %0, %%dr6" ::"r"(value) : "memory"); }

struct [[gnu::packed]] TablePointer {
  std::uint16_t limit;
  std::uint64_t base;
};

inline void load_gdt(const TablePointer& table) { asm volatile("lgdt %0" ::"m"(table) : "memory"); }
inline void load_idt(const TablePointer& table) { asm volatile("lidt %0" ::"m"(table) : "memory"); }

}  // namespace revenant::bare

#endif
