// What the software execution of instructions works on: registers, memory and the ways in which one
// instruction can end. Needs neither KVM nor Node nor the C++ library's code, and no heap.
#pragma once

#include <cstdint>

namespace revenant::completion {

// Groups of instructions, by the bit of CPUID that announces them. A group that is not enabled is #UD.
enum Feature : std::uint64_t {
  kAvx512f = 1u << 0,
  kAvx512cd = 1u << 1,
  kAvx512bw = 1u << 2,
  kAvx512dq = 1u << 3,
  kAvx512vl = 1u << 4,
  kAvx512ifma = 1u << 5,
  kAvx512vbmi = 1u << 6,
  kAvx512vbmi2 = 1u << 7,
  kAvx512vnni = 1u << 8,
  kAvx512bitalg = 1u << 9,
  kAvx512vpopcntdq = 1u << 10,
  kAvx512bf16 = 1u << 11,
  kAvx512fp16 = 1u << 12,
  kAvx512vp2intersect = 1u << 13,
  kGfni = 1u << 14,
  kVaes = 1u << 15,
  kVpclmulqdq = 1u << 16,
  kAvx = 1u << 17,
  kAvx2 = 1u << 18,
  kFma = 1u << 19,
  kF16c = 1u << 20,
  kBmi1 = 1u << 21,
  kBmi2 = 1u << 22,
  kAes = 1u << 23,
  kPclmulqdq = 1u << 24,
  kAvxVnni = 1u << 25,
  kAmxTile = 1u << 26,
  kAmxInt8 = 1u << 27,
  kAmxBf16 = 1u << 28,
  kAmxFp16 = 1u << 29,
  kAmxComplex = 1u << 30,
  kAvxIfma = 1u << 31,
  kSse3 = 1ull << 32,
  kSsse3 = 1ull << 33,
  kSse41 = 1ull << 34,
  kSse42 = 1ull << 35,
  kSse4a = 1ull << 36,
  kPopcnt = 1ull << 37,
  kLzcnt = 1ull << 38,
  kMovbe = 1ull << 39,
  kAdx = 1ull << 40,
  kSha = 1ull << 41,
  kCmpxchg16b = 1ull << 42,
  kLahf = 1ull << 43,
  kFsgsbase = 1ull << 44,
  kClflushopt = 1ull << 45,
  kClwb = 1ull << 46,
  kClzero = 1ull << 47,
  kMovdiri = 1ull << 48,
  kMovdir64b = 1ull << 49,
  kSerialize = 1ull << 50,
  kPtwrite = 1ull << 51,
  kWaitpkg = 1ull << 52,
  kXop = 1ull << 53,
  kFma4 = 1ull << 54,
  kTbm = 1ull << 55,
  kAvxVnniInt8 = 1ull << 56,
  kAvxVnniInt16 = 1ull << 57,
  kAvxNeConvert = 1ull << 58,
  kSha512 = 1ull << 59,
  kSm3 = 1ull << 60,
  kSm4 = 1ull << 61,
  kCmpccxadd = 1ull << 62,
};

// Whose processor recorded: approximations (VRCP14, VRSQRT14, VRCPPS, VRSQRTPS) and a few encodings that the
// manual leaves undefined.
enum class Vendor : std::uint8_t { kIntel, kAmd };

// The registers of one task, as user space sees them.
struct alignas(64) State {
  std::uint8_t zmm[32][64];
  std::uint64_t k[8];
  std::uint64_t gpr[16];  // in the order of encodings: RAX RCX RDX RBX RSP RBP RSI RDI R8 to R15
  std::uint64_t rip;
  std::uint64_t rflags;
  std::uint64_t fs_base;
  std::uint64_t gs_base;
  std::uint32_t mxcsr;
  Vendor vendor;
  std::uint64_t features;  // Feature bits of the recorded processor
  // AMX: XTILECFG (64 bytes) and XTILEDATA (8 KiB) as XSAVE has them; null: there is no such state.
  std::uint8_t* tile_config;
  std::uint8_t* tile_data;
  // MMX: the low 64 bits of x87's registers R0 to R7, whatever its TOP.
  std::uint64_t mm[8];
  // An instruction on them was executed, so that TOP is 0 and all are in use; and those that were written,
  // whose upper 16 bits are ones (bit i: Ri).
  bool mmx_used;
  std::uint8_t mmx_written;
  bool x87_pending;  // x87's status word has an exception that is not masked
};

// Why memory could not be accessed.
struct MemoryFault {
  std::uint64_t address;  // what CR2 shall be
  bool write;
};

// The task's memory. Implementations do not throw, and do nothing of an access that fails.
class Memory {
 public:
  // Copies `size` bytes (1 to 64, may cross a page) at a linear address. Returns false and fills `fault` (the
  // first byte that cannot be read) when not all of them are readable.
  virtual bool read(std::uint64_t address, void* to, unsigned size, MemoryFault& fault) = 0;
  // Writes `size` bytes, all or none; false as for read().
  virtual bool write(std::uint64_t address, const void* from, unsigned size, MemoryFault& fault) = 0;
  // Whether write() of these bytes would succeed.
  virtual bool writable(std::uint64_t address, unsigned size, MemoryFault& fault) = 0;

 protected:
  ~Memory() = default;
};

enum class Verdict : std::uint8_t {
  kDone,               // executed; RIP is at the next instruction
  kNotMine,            // a valid instruction, or none, that this library does not execute: nothing changed
  kUndefined,          // #UD
  kPageFault,          // #PF at fault.address
  kGeneralProtection,  // #GP(0): not canonical, or not aligned where the instruction asks for that
  kStackFault,         // #SS(0): not canonical, through RSP or RBP
  kFloatException,     // #XM; MXCSR has the flags
  kX87Exception,       // #MF, of an MMX instruction behind a pending one
};

struct Outcome {
  Verdict verdict;
  std::uint8_t length;  // of the instruction; 0 where it could not be decoded
  MemoryFault fault;    // with kPageFault
};

// Executes the instruction whose bytes are given (those at RIP, at most 15; fewer if the rest is
// not mapped). On any verdict but kDone the registers are as before, but for what the architecture says:
// MXCSR's flags with kFloatException, elements and mask bits of a gather or scatter that were done before a
// fault.
Outcome execute(State& state, Memory& memory, const std::uint8_t* bytes, unsigned count);

// Of execute_plain.
struct Allowed {
  bool branches;  // conditional ones
  bool
      undefined_flags;  // instructions that leave flags undefined: they become what they do on this processor
};

// Executes one of the commonest instructions that every processor has: for those between instructions that it
// lacks. Returns false, with nothing changed, for any other, and for one that would fault. A repeated string
// instruction is executed once.
bool execute_plain(State& state, Memory& memory, const std::uint8_t* bytes, unsigned count, Allowed allowed);

// Whether `execute` can do the instruction of these bytes with these features: without executing anything.
// For reports.
bool executable(const std::uint8_t* bytes, unsigned count, std::uint64_t features);

// The mnemonic of an instruction in lower case, or null where the bytes are none: to say what cannot be
// executed.
const char* mnemonic(const std::uint8_t* bytes, unsigned count);

}  // namespace revenant::completion
