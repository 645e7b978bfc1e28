// The sandbox of the process machine: a program without a C library whose address space becomes the recorded
// program's.
//
// It maps a copy of itself where the recorded program has nothing, unmaps everything else, locks itself up
// (filter.h) and waits in a signal handler. Running the program is returning from the handler; everything
// that stops the program is a signal, whose handler puts registers and reason into the context page as the
// ring-0 stub of a KVM guest does (native/kvm/ring0/entry.S), completes the run, and waits for the next.
// Pages are mapped by the handler when they are first touched, as the page tables in the pool say.
//
// Nothing here is trusted by the engine: a recorded program shares this address space.
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <linux/audit.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "area.h"
#include "filter.h"
#include "kernel.h"
#include "shadow.h"
#include "system.h"

extern "C" {
extern char __executable_start[], _end[], sandbox_int1[], sandbox_ready[];
[[noreturn]] void sandbox_start();
[[noreturn]] void sandbox_continue(std::uint64_t base);
void sandbox_signal(int number, const revenant::process::SignalInfo* info,
                    revenant::process::SignalFrame* frame);
void sandbox_restorer();
void* memcpy(void* to, const void* from, std::size_t count) {
  revenant::process::copy_bytes(to, from, count);
  return to;
}
void* memset(void* to, int value, std::size_t count) {
  void* at = to;
  asm volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(value) : "memory");
  return to;
}
}

namespace revenant::process {
namespace {

constexpr std::uint32_t kUndefined = 6, kNotAvailable = 7;  // #UD, #NM
constexpr std::uint32_t kDr6Step = 1 << 14;
constexpr std::uint64_t kInt1Bytes = 1;
constexpr int kSetSyscallUserDispatch = 59;
constexpr std::uint64_t kResumeFlag = 1 << 16;
constexpr std::uint64_t kPrivilege = 3;  // of a selector: 3 in all of Linux's for programs
constexpr std::uint64_t kVsyscall = 0xffff'ffff'ff60'0000;
constexpr std::uint64_t kMostMappings = 60'000;  // vm.max_map_count is 65,530 by default
// Pages of a run that is filled when it is mapped; of longer ones the program may touch little.
constexpr int kMostFilled = 16;
// Faults at one address by one instruction, all resolved, before it is given up.
constexpr int kSameFault = 4;
// EFLAGS that a signal's return does not restore: NT, ID.
constexpr std::uint64_t kFlagsOfOurs = 1 << 14 | 1 << 21;
// Offsets in the kernel's struct _fpstate and in an XSAVE area.
constexpr std::size_t kMxcsr = 24, kMxcsrMask = 28, kSoftware = 464, kSoftwareEnd = 512, kXstateBv = 512,
                      kXsaveReserved = 520, kXsaveHeaderEnd = 576;

// What LDTILECFG loads: the palette, bytes a row of each tile, rows.
constexpr std::size_t kTileConfiguration = 64, kFirstColumns = 16, kFirstRows = 48;

enum class Done { run, wait };

// The last mapping that was made for a fault, to find faults that it does not end.
struct LastFault {
  std::uint64_t address = 0, rip = 0;
  int times = 0;
};

struct State {
  std::uint64_t base = 0;
  char* ring0 = nullptr;  // the pool's first bytes
  Area* area = nullptr;
  PageTables tables = {};
  Shadow* shadow = nullptr;
  LastFault last_fault;
  // The access by which the program left with a page fault; where it did not, no address of a program's.
  std::uint64_t fault_address = kUserEnd;
  std::uint32_t fault_access = 0;
  std::uint32_t faulting = 0;
  // Some hypervisors of AMD processors report #DB of INT1 at the instruction instead of after it.
  bool int1_stays = false;
  bool started = false;
  bool has_tiles = false;
};

State state;
alignas(16) char shadow_memory[sizeof(Shadow)];
alignas(64) char large_vectors[R0_XSTATE_SIZE];  // of the signal frame that is made larger

Control* control() { return reinterpret_cast<Control*>(state.ring0); }

template <typename T>
T& context(std::size_t offset) {
  return *reinterpret_cast<T*>(state.ring0 + R0_CONTEXT + offset);
}
std::uint64_t& slot(int number) { return context<std::uint64_t>(CTX_REGISTER(number)); }

[[noreturn]] void die(Step step, long result) {
  if (state.area) {
    state.area->failed_step = step;
    state.area->failed_errno = static_cast<std::uint32_t>(-result);
  }
  for (;;) system_call(SYS_exit_group, 1);
}

std::uint64_t image_bytes() {
  return static_cast<std::uint64_t>(_end - __executable_start + 4095) & ~4095ull;
}

void futex_wake(std::atomic<std::uint32_t>& at) { system_call(SYS_futex, word(&at), FUTEX_WAKE, 1); }

// ---- Registers ---------------------------------------------------------------------------------

void save_registers(const SignalContext& from) {
  const std::uint64_t values[] = {from.r15, from.r14, from.r13, from.r12, from.rbp,
                                  from.rbx, from.r11, from.r10, from.r9,  from.r8,
                                  from.rax, from.rcx, from.rdx, from.rsi, from.rdi};
  for (int i = 0; i < 15; i++) slot(i) = values[i];
  slot(REG_RIP) = from.rip;
  slot(REG_CS) = from.cs;
  slot(REG_EFLAGS) = from.eflags;
  slot(REG_RSP) = from.rsp;
  slot(REG_SS) = from.ss;
  std::uint64_t fs_base, gs_base;
  std::uint32_t ds, es, fs, gs;
  asm volatile("rdfsbase %0\n\trdgsbase %1" : "=r"(fs_base), "=r"(gs_base));
  asm volatile("movl %%ds, %0\n\tmovl %%es, %1\n\tmovl %%fs, %2\n\tmovl %%gs, %3"
               : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
  slot(REG_FS_BASE) = fs_base;
  slot(REG_GS_BASE) = gs_base;
  slot(REG_DS) = ds;
  slot(REG_ES) = es;
  slot(REG_FS) = fs;
  slot(REG_GS) = gs;
}

void load_registers(SignalContext& into) {
  // Whatever the page says, the program gets its own flags and one of its two code segments.
  slot(REG_CS) = (slot(REG_CS) & (SEL_USER_CS & ~SEL_USER32_CS)) | SEL_USER32_CS;
  slot(REG_SS) = SEL_USER_SS;
  slot(REG_EFLAGS) = (slot(REG_EFLAGS) & EFLAGS_USER) | EFLAGS_FORCED;
  context<std::uint64_t>(CTX_ORIG_RAX) = slot(REG_ORIG_RAX);
  into.r15 = slot(0);
  into.r14 = slot(1);
  into.r13 = slot(2);
  into.r12 = slot(3);
  into.rbp = slot(4);
  into.rbx = slot(5);
  into.r11 = slot(6);
  into.r10 = slot(7);
  into.r9 = slot(8);
  into.r8 = slot(9);
  into.rax = slot(10);
  into.rcx = slot(11);
  into.rdx = slot(12);
  into.rsi = slot(13);
  into.rdi = slot(14);
  into.rip = slot(REG_RIP);
  into.cs = static_cast<std::uint16_t>(slot(REG_CS));
  into.eflags = slot(REG_EFLAGS);
  into.rsp = slot(REG_RSP);
  into.ss = SEL_USER_SS;
  asm volatile("wrfsbase %0\n\twrgsbase %1" ::"r"(slot(REG_FS_BASE)), "r"(slot(REG_GS_BASE)));
}

void fail(std::uint32_t reason, std::uint64_t detail, std::uint64_t more) {
  Control* const c = control();
  c->exit_kind = ExitKind::failed;
  c->exit_reason = reason;
  c->exit_detail[0] = detail;
  c->exit_detail[1] = more;
  c->exit_rip = slot(REG_RIP);
}

// ---- Vector state ------------------------------------------------------------------------------

FrameSoftware software_of(const char* frame) {
  FrameSoftware software;
  copy_bytes(&software, frame + kSoftware, sizeof software);
  return software;
}

// Of the recorded program's state what a frame has room for: not tiles, before they are used.
std::uint32_t vector_bytes_in(const char* frame) {
  const std::uint32_t there = software_of(frame).bytes, wanted = state.area->vector_bytes;
  return there < wanted ? there : wanted;
}

// Asks the kernel for tiles, and makes room for them in the frame that the handler will return from. False:
// the kernel refuses.
bool permit_tiles(SignalContext& registers) {
  if (state.has_tiles) return true;
  const long error = system_call(SYS_arch_prctl, kArchRequestPermission, kTileData);
  const std::uint32_t bytes = state.area->frame_bytes;
  if (error < 0 || bytes + sizeof kFrameEnd > sizeof large_vectors) {
    fail(kReasonTiles, static_cast<std::uint64_t>(-error), 0);
    return false;
  }
  state.has_tiles = true;
  state.area->tiles = 1;
  // At the first use of a tile (the instruction that configures them is none) the kernel takes memory for
  // them, and all later frames have them.
  alignas(64) char configuration[kTileConfiguration] = {};
  configuration[0] = 1;                                          // palette 1
  configuration[kFirstColumns] = configuration[kFirstRows] = 4;  // tile 0: 4 rows of 4 bytes
  asm volatile(
      ".byte 0xc4, 0xe2, 0x78, 0x49, 0x00\n\t"  // LDTILECFG (%rax)
      ".byte 0xc4, 0xe2, 0x7b, 0x49, 0xc0\n\t"  // TILEZERO tmm0
      ".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0"      // TILERELEASE
      ::"a"(configuration)
      : "memory");
  FrameSoftware software = software_of(registers.fpstate);
  if (software.bytes >= bytes) return true;
  copy_bytes(large_vectors, registers.fpstate, software.bytes);
  zero_bytes(large_vectors + software.bytes, bytes - software.bytes);
  software.components |= 1ull << kTileData;
  software.bytes = bytes;
  software.bytes_with_end = bytes + sizeof kFrameEnd;
  copy_bytes(large_vectors + kSoftware, &software, sizeof software);
  copy_bytes(large_vectors + bytes, &kFrameEnd, sizeof kFrameEnd);
  registers.fpstate = large_vectors;
  return true;
}

void save_vectors(const char* frame) {
  char* const to = state.ring0 + R0_XSTATE;
  const std::uint32_t bytes = vector_bytes_in(frame);
  copy_bytes(to, frame, kSoftware);
  zero_bytes(to + kSoftware, kSoftwareEnd - kSoftware);
  copy_bytes(to + kSoftwareEnd, frame + kSoftwareEnd, bytes - kSoftwareEnd);
  zero_bytes(to + bytes, state.area->vector_bytes - bytes);
  std::uint64_t present;
  copy_bytes(&present, to + kXstateBv, sizeof present);
  present &= state.area->components;
  copy_bytes(to + kXstateBv, &present, sizeof present);
}

enum class Loaded { yes, refused, failed };

// `refused` where XRSTOR would raise #GP.
Loaded load_vectors(SignalContext& registers) {
  const char* const from = state.ring0 + R0_XSTATE;
  char* frame = registers.fpstate;
  std::uint64_t components, reserved[(kXsaveHeaderEnd - kXsaveReserved) / 8];
  std::uint32_t mxcsr, mask;
  copy_bytes(&components, from + kXstateBv, 8);
  copy_bytes(reserved, from + kXsaveReserved, sizeof reserved);
  copy_bytes(&mxcsr, from + kMxcsr, 4);
  copy_bytes(&mask, frame + kMxcsrMask, 4);
  for (const std::uint64_t each : reserved)
    if (each != 0) return Loaded::refused;
  if (components & ~state.area->components || mxcsr & ~(mask ? mask : 0xffbf)) return Loaded::refused;
  if (components >> kTileData & 1) {
    if (!permit_tiles(registers)) return Loaded::failed;
    frame = registers.fpstate;
  }
  copy_bytes(frame, from, kMxcsrMask);
  copy_bytes(frame + kMxcsrMask + 4, from + kMxcsrMask + 4, kSoftware - kMxcsrMask - 4);
  copy_bytes(frame + kSoftwareEnd, from + kSoftwareEnd, vector_bytes_in(frame) - kSoftwareEnd);
  return Loaded::yes;
}

// ---- Memory ------------------------------------------------------------------------------------

bool is_ours(std::uint64_t address) {
  return address >= state.base - (1ull << 32) && address < state.base + kPool + state.area->pool_bytes;
}

// Maps the page of an address, and what of its neighbours lies beside it in the pool, too. False: the kernel
// refuses.
bool map_page(std::uint64_t address, const std::uint64_t* table, std::uint64_t rights, long& error) {
  if (state.shadow->mappings() > kMostMappings) state.shadow->drop();
  const std::uint64_t page = address & ~(kPageSize - 1);
  std::uint64_t* entry = state.shadow->entry(page);
  if (!entry) {
    state.shadow->drop();
    entry = state.shadow->entry(page);
  }
  const auto index = static_cast<int>(table_index(page, 1));
  const std::uint64_t wanted = mapping_of(table[index], rights);
  std::uint64_t* const shadow = entry - index;
  const auto fits = [&](int at) {
    if (at < 0 || at >= kTableEntries || shadow[at] != 0) return false;
    const std::uint64_t there = mapping_of(table[at], rights);
    return there == wanted + static_cast<std::uint64_t>(at - index) * kPageSize;
  };
  int from = index, to = index + 1;
  while (fits(to)) to++;
  while (fits(from - 1)) from--;
  const std::uint64_t start = page - static_cast<std::uint64_t>(index - from) * kPageSize;
  const std::uint64_t frame = (wanted & kFrame) - static_cast<std::uint64_t>(index - from) * kPageSize;
  std::uint64_t protection = PROT_READ;
  if (wanted & kWritable) protection |= PROT_WRITE;
  if (!(wanted & kNoExecute)) protection |= PROT_EXEC;
  // What is filled at once costs no fault in the kernel for each page.
  const int flags = MAP_SHARED | MAP_FIXED | (to - from <= kMostFilled ? MAP_POPULATE : 0);
  error = system_call(SYS_mmap, start, static_cast<std::uint64_t>(to - from) * kPageSize, protection, flags,
                      kPoolFd, frame);
  if (error < 0) return false;
  state.shadow->mapped(shadow + from, to - from,
                       wanted - static_cast<std::uint64_t>(index - from) * kPageSize);
  return true;
}

// What a TLB does that forgets a page: if the tables have it otherwise than it is mapped, it is mapped as
// they have it, which saves the next access a fault, or unmapped.
void follow_page(std::uint64_t address) {
  const std::uint64_t page = address & ~(kPageSize - 1);
  if (page >= kUserEnd || is_ours(page)) return;
  const std::uint64_t* const mapped = state.shadow->entry(page);
  if (!mapped || *mapped == 0) return;
  std::uint64_t rights;
  const std::uint64_t* const table = state.tables.leaves(page, rights);
  const std::uint64_t wanted = table ? mapping_of(table[table_index(page, 1)], rights) : 0;
  if (wanted == *mapped) return;
  long error;
  if (PageTables::fault(wanted, 0) != 0 || !map_page(page, table, rights, error))
    state.shadow->unmap_page(page);
}

// What the page tables say of an access: 0, or the error code of the page fault.
std::uint32_t fault_of(std::uint64_t address, std::uint32_t access, const std::uint64_t*& table,
                       std::uint64_t& rights) {
  table = state.tables.leaves(address, rights);
  return PageTables::fault(table ? mapping_of(table[table_index(address, 1)], rights) : 0, access);
}

// A page fault of the program: resolved here, or what the engine is told.
Done page_fault(const SignalInfo& info, std::uint64_t address, std::uint64_t error_code, std::uint64_t rip) {
  const std::uint64_t* table;
  std::uint64_t rights;
  const auto access = static_cast<std::uint32_t>(error_code) & (kFaultWrite | kFaultFetch);
  const std::uint32_t fault = fault_of(address, access, table, rights);
  context<std::uint64_t>(CTX_CR2) = address;
  // The page is there, and PKRU forbids key 0, which all pages here have. The error code of a page that the
  // kernel has not filled yet does not say so.
  const bool forbidden = fault == 0 && info.code == kSegvKey;
  if (fault != 0 || forbidden) {
    if (!forbidden) state.fault_address = address;
    state.fault_access = access;
    context<std::uint32_t>(CTX_VECTOR) = 14;
    context<std::uint64_t>(CTX_ERROR_CODE) =
        forbidden ? access | kFaultKey | kFaultUser | kFaultPresent : fault;
    return Done::wait;
  }
  LastFault& last = state.last_fault;
  last.times = last.address == address && last.rip == rip ? last.times + 1 : 0;
  last.address = address;
  last.rip = rip;
  long error = 0;
  if (last.times < kSameFault && !is_ours(address) && map_page(address, table, rights, error))
    return Done::run;
  fail(kReasonUnmappable, address, static_cast<std::uint64_t>(-error));
  return Done::wait;
}

// Before the program goes on where it left with a page fault: maps the page if the tables have it now, which
// saves a second signal. What cannot be mapped faults again.
void map_awaited() {
  const std::uint64_t address = std::exchange(state.fault_address, kUserEnd);
  const std::uint64_t* table;
  std::uint64_t rights;
  if (address >= kUserEnd || is_ours(address) || fault_of(address, state.fault_access, table, rights) != 0)
    return;
  const std::uint64_t* const mapped = state.shadow->entry(address);
  if (!mapped || *mapped == mapping_of(table[table_index(address, 1)], rights)) return;
  long error;
  map_page(address, table, rights, error);
}

// ---- Staged system calls: as ring 0's -----------------------------------------------------------

bool make_writable(std::uint64_t address) {
  const std::uint64_t* table;
  std::uint64_t rights;
  if (is_ours(address) || fault_of(address, kFaultWrite, table, rights) != 0) return false;
  const std::uint64_t* const entry = state.shadow->entry(address);
  if (entry && *entry == mapping_of(table[table_index(address, 1)], rights)) return true;
  long error;
  return map_page(address, table, rights, error);
}

bool store(std::uint64_t address, const char* bytes, std::uint64_t count) {
  while (count > 0) {
    const std::uint64_t part =
        kPageSize - address % kPageSize < count ? kPageSize - address % kPageSize : count;
    if (!make_writable(address)) {
      context<std::uint64_t>(CTX_CR2) = address;
      return false;
    }
    copy_bytes(reinterpret_cast<void*>(address), bytes, part);
    address += part;
    bytes += part;
    count -= part;
  }
  return true;
}

// Of a staged call: everything in it is aligned.
template <typename T = std::uint64_t>
T staged_word(const char* at) {
  return *reinterpret_cast<const T*>(at);
}

// Serves the next staged call if it is this one. False: the engine is to see it.
bool serve_staged() {
  const char* const at = state.ring0 + R0_STAGED + context<std::uint32_t>(CTX_STAGED_NEXT);
  constexpr int kCompared[] = {REG_RIP, REG_RAX, REG_RSP, 0,  1,  2,           3,           4,      5,     7,
                               8,       9,       12,      13, 14, REG_FS_BASE, REG_GS_BASE, REG_FS, REG_GS};
  for (const int number : kCompared)
    if (staged_word(at + STAGED_REGISTERS + 8 * number) != slot(number)) return false;
  const char* data = at + STAGED_DATA;
  for (auto writes = staged_word(at + STAGED_WRITES); writes > 0; writes--) {
    const auto size = staged_word(data + 8);
    if (!store(staged_word(data), data + 16, size)) {
      context<std::uint32_t>(CTX_VECTOR) = VECTOR_RING0 + 14;
      return false;
    }
    data += 16 + (size + 7) / 8 * 8;
  }
  slot(REG_RAX) = staged_word(at + STAGED_RAX);
  slot(REG_RCX) = staged_word(at + STAGED_RCX);
  slot(REG_R11) = staged_word(at + STAGED_R11);
  slot(REG_EFLAGS) = staged_word(at + STAGED_EFLAGS);
  slot(REG_ORIG_RAX) = staged_word(at + STAGED_ORIG_RAX);
  context<std::uint32_t>(CTX_REQUESTS) = staged_word<std::uint32_t>(at + STAGED_REQUESTS);
  context<std::uint32_t>(CTX_STAGED_NEXT) += staged_word<std::uint32_t>(at + STAGED_SIZE);
  if (--context<std::uint32_t>(CTX_STAGED_LEFT) != 0) return true;
  context<std::uint32_t>(CTX_VECTOR) = VECTOR_STAGED;
  return false;
}

// ---- Runs --------------------------------------------------------------------------------------

// Makes RDTSC and CPUID fault as the engine wants it.
void set_faulting() {
  const std::uint32_t wanted = state.area->faulting;
  if ((wanted ^ state.faulting) & kFaultingTsc)
    system_call(SYS_prctl, PR_SET_TSC, wanted & kFaultingTsc ? PR_TSC_SIGSEGV : PR_TSC_ENABLE);
  if ((wanted ^ state.faulting) & kFaultingCpuid)
    system_call(SYS_arch_prctl, kArchSetCpuid, wanted & kFaultingCpuid ? 0 : 1);
  state.faulting = wanted;
}

bool load_selectors() {
  for (const int number : {REG_DS, REG_ES, REG_FS, REG_GS}) {
    const std::uint64_t selector = slot(number), segment = selector | kPrivilege;
    if (segment != kPrivilege && segment != SEL_USER_SS && segment != SEL_USER_CS &&
        segment != SEL_USER32_CS) {
      fail(kReasonSegment, selector, 0);
      return false;
    }
  }
  const auto load = [](int number) { return static_cast<std::uint32_t>(slot(number)); };
  asm volatile("movl %0, %%ds\n\tmovl %1, %%es" ::"r"(load(REG_DS)), "r"(load(REG_ES)));
  asm volatile("movl %0, %%fs\n\tmovl %1, %%gs" ::"r"(load(REG_FS)), "r"(load(REG_GS)));
  return true;
}

// What ring 0 does at `perform_requests`. Done::wait: it ends the run again.
Done perform_requests(SignalContext& registers) {
  std::uint32_t& requests = context<std::uint32_t>(CTX_REQUESTS);
  if (requests & CTX_REQUEST_CR3) {
    state.tables.root = context<std::uint64_t>(CTX_CR3);
    state.shadow->follow(state.tables);
    state.last_fault = {};
  } else if (requests & CTX_REQUEST_FLUSH_PAGES) {
    const std::uint32_t count = context<std::uint32_t>(CTX_FLUSH_COUNT);
    for (std::uint32_t i = 0; i < count && i < CTX_FLUSH_MOST; i++)
      follow_page(context<std::uint64_t>(CTX_FLUSH + 8 * i));
    state.last_fault = {};
  }
  if (requests & CTX_REQUEST_XRSTOR) {
    const Loaded loaded = load_vectors(registers);
    if (loaded == Loaded::refused) {
      context<std::uint32_t>(CTX_VECTOR) = VECTOR_RING0 + 13;
      context<std::uint64_t>(CTX_ERROR_CODE) = 0;
    }
    if (loaded != Loaded::yes) return Done::wait;
  }
  char* const frame = registers.fpstate;
  if (requests & CTX_REQUEST_CLEAR_FIP && frame[kXstateBv] & 1) zero_bytes(frame + 8, 16);
  if (requests & CTX_REQUEST_LDT && context<std::uint32_t>(CTX_LDT) != 0) {
    fail(kReasonSegment, SEL_LDT, 1);
    return Done::wait;
  }
  if (requests & CTX_REQUEST_SEGMENTS && !load_selectors()) return Done::wait;
  const bool saves = (requests & CTX_REQUEST_XSAVE) != 0;
  requests = 0;
  if (!saves) return Done::run;
  save_vectors(frame);
  context<std::uint32_t>(CTX_VECTOR) = VECTOR_XSAVED;
  return Done::wait;
}

void complete() {
  Control* const c = control();
  c->result = 0;
  c->stub_exits = c->stub_exits + 1;
  c->complete_seq.store(c->request_seq.load(std::memory_order_relaxed), std::memory_order_seq_cst);
  if (state.area->engine_sleeps.load(std::memory_order_seq_cst) != 0) futex_wake(c->complete_seq);
}

void wait_for_request() {
  Control* const c = control();
  const auto asked = [c] {
    return c->request_seq.load(std::memory_order_seq_cst) != c->complete_seq.load(std::memory_order_relaxed);
  };
  for (std::uint32_t left = state.area->spins; left > 0; left--) {
    if (asked()) return;
    __builtin_ia32_pause();
  }
  state.area->sandbox_sleeps.store(1, std::memory_order_seq_cst);
  while (!asked())
    system_call(SYS_futex, word(&c->request_seq), FUTEX_WAIT,
                c->complete_seq.load(std::memory_order_relaxed));
  state.area->sandbox_sleeps.store(0, std::memory_order_relaxed);
}

// A call of the vsyscall page. The kernel, which would have answered it, has returned from it already; here
// it is what it is on other machines, a fetch from a page that programs do not have. RAX is lost; compilers
// have the address there.
Done vsyscall(std::uint64_t address) {
  slot(REG_RIP) = address;
  slot(REG_RSP) -= 8;
  slot(REG_RAX) = address;
  context<std::uint32_t>(CTX_VECTOR) = 14;
  context<std::uint64_t>(CTX_ERROR_CODE) = kFaultUser | kFaultFetch;
  context<std::uint64_t>(CTX_CR2) = address;
  return Done::wait;
}

// The conditions of DR6 where execution breakpoints stop the program, which the signal does not tell.
std::uint64_t execution_breakpoints() {
  const std::uint64_t dr7 = context<std::uint64_t>(CTX_DR7);
  std::uint64_t conditions = 0;
  for (int i = 0; i < 4; i++) {
    const bool executes = (dr7 >> (2 * i) & 1) != 0 && (dr7 >> (16 + 4 * i) & 3) == 0;
    if (executes && context<std::uint64_t>(CTX_DR0 + 8 * i) == slot(REG_RIP)) conditions |= 1u << i;
  }
  return conditions;
}

// Why the program stopped, into the context page; Done::run where that is nobody's business.
Done stopped(int number, const SignalInfo& info, const SignalContext& registers) {
  std::uint32_t& vector = context<std::uint32_t>(CTX_VECTOR);
  context<std::uint64_t>(CTX_ERROR_CODE) = 0;
  control()->exit_kind = ExitKind::stub;
  switch (number) {
    case kSys:
      if (info.address - kVsyscall < kPageSize) return vsyscall(info.address);
      vector = info.system_call.arch == AUDIT_ARCH_X86_64 ? VECTOR_SYSCALL : VECTOR_INT80;
      return Done::wait;
    case kUsr1:
      if (control()->kick.load(std::memory_order_acquire) == 0) return Done::run;
      vector = VECTOR_INTERRUPTED;
      control()->exit_kind = ExitKind::interrupted;
      return Done::wait;
    case kTrap:
      if (info.code == kTrapPerf || info.code == kTrapHardware) {
        vector = 1;
        context<std::uint64_t>(CTX_DR6) =
            info.code == kTrapPerf ? 1u << (info.perf_data & 3) : execution_breakpoints();
        // The kernel sets RF so that the program gets past the breakpoint; a processor does not (SDM vol.
        // 3, 18.3.1.1).
        slot(REG_EFLAGS) &= ~kResumeFlag;
        return Done::wait;
      }
      if (registers.trapno == 1) context<std::uint64_t>(CTX_DR6) = info.code == kTrapTrace ? kDr6Step : 0;
      if (registers.trapno == 1 && info.code == kTrapBreakpoint && state.int1_stays)
        slot(REG_RIP) += kInt1Bytes;
      break;
    default:
      break;
  }
  if (info.code <= 0) {
    fail(kReasonSignal, static_cast<std::uint64_t>(number), static_cast<std::uint64_t>(info.code));
    return Done::wait;
  }
  if (number == kIll) {
    // #NM, too, whose number the frame does not have: tiles (AMX) that were not asked for. To a program that
    // has none it is #UD.
    const bool has_tiles = (state.area->components >> kTileData & 1) != 0;
    vector = info.code == kIllegalOpcode && has_tiles ? kNotAvailable : kUndefined;
    return Done::wait;
  }
  if (registers.trapno == 14) return page_fault(info, registers.cr2, registers.err, registers.rip);
  vector = static_cast<std::uint32_t>(registers.trapno);
  context<std::uint64_t>(CTX_ERROR_CODE) = registers.err;
  return Done::wait;
}

void on_signal(int number, const SignalInfo& info, SignalFrame& frame) {
  SignalContext& registers = frame.registers;
  // A data breakpoint that the handler itself came upon.
  if ((info.code == kTrapPerf || info.code == kTrapHardware) && number == kTrap &&
      registers.rip - state.base < image_bytes())
    return;
  Control* const c = control();
  if (state.started) {
    save_registers(registers);
    Done done = stopped(number, info, registers);
    const Saving saving = state.area->saving;
    if (done == Done::wait && c->exit_kind == ExitKind::stub && saving != Saving::all &&
        context<std::uint32_t>(CTX_VECTOR) == VECTOR_SYSCALL &&
        context<std::uint32_t>(CTX_STAGED_LEFT) != 0 && serve_staged()) {
      done = perform_requests(registers);
      if (done == Done::run) load_registers(registers);
    }
    if (done == Done::run) return;
    const bool is_undefined = context<std::uint32_t>(CTX_VECTOR) == kUndefined;
    if (saving == Saving::all || (saving == Saving::undefined && is_undefined))
      save_vectors(registers.fpstate);
    complete();
  } else if (number == kTrap) {
    state.int1_stays = registers.rip == word(sandbox_int1);
    registers.rip = word(sandbox_ready);
    return;
  } else {
    state.started = true;
    state.area->is_ready.store(1, std::memory_order_seq_cst);
    futex_wake(state.area->is_ready);
  }
  for (;;) {
    wait_for_request();
    c->exit_kind = ExitKind::stub;
    set_faulting();
    const bool permitted = state.area->tiles == 0 || permit_tiles(registers);
    if (permitted && perform_requests(registers) == Done::run) break;
    complete();
  }
  map_awaited();
  load_registers(registers);
  // As whoever calls rt_sigreturn has them.
  std::uint64_t flags;
  asm volatile("pushfq\n\tpopq %0" : "=r"(flags));
  flags = (flags & ~kFlagsOfOurs) | (registers.eflags & kFlagsOfOurs);
  asm volatile("pushq %0\n\tpopfq" ::"r"(flags) : "cc");
}

// ---- Start -------------------------------------------------------------------------------------

void demand(Step step, long result) {
  if (result < 0) die(step, result);
}

void map_at(std::uint64_t at, std::uint64_t bytes, int protection, int flags, int fd) {
  demand(Step::map_itself,
         system_call(SYS_mmap, at, bytes, protection, flags | MAP_FIXED_NOREPLACE | MAP_NORESERVE, fd, 0));
}

// On the stack that the kernel gave, in the program that it loaded.
[[noreturn]] void start() {
  char* const first = reinterpret_cast<char*>(
      system_call(SYS_mmap, 0, R0_CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, kPoolFd, 0));
  if (reinterpret_cast<long>(first) < 0 && reinterpret_cast<long>(first) > -4096) die(Step::map_pool, -1);
  state.area = area_of(reinterpret_cast<Control*>(first));
  char byte;
  if (system_call(SYS_read, kAliveFd, word(&byte), 1) != 1) die(Step::hear_engine, 0);
  demand(Step::close_descriptors, system_call(SYS_close_range, kPoolFd + 1, ~0u, 0));
  demand(Step::close_descriptors, system_call(SYS_close_range, 0, kPoolFd - 1, 0));
  system_call(SYS_prctl, PR_SET_NAME, word("revenant-sandbox"));
  const ResourceLimit none = {0, 0};
  demand(Step::limit_core, system_call(SYS_prlimit64, 0, kRlimitCore, word(&none)));
  const std::uint64_t base = state.area->base;
  const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
  map_at(base + kImage, image_bytes(), PROT_READ | PROT_WRITE | PROT_EXEC, anonymous, -1);
  map_at(base + kStacks, 2 * kStackBytes, PROT_READ | PROT_WRITE, anonymous, -1);
  map_at(base + kRing0, R0_END, PROT_READ | PROT_WRITE, MAP_SHARED, kPoolFd);
  map_at(base + kShadow, kShadowBytes, PROT_READ | PROT_WRITE, anonymous, -1);
  map_at(base + kPool, state.area->pool_bytes, PROT_READ, MAP_SHARED, kPoolFd);
  state.base = base;
  state.ring0 = reinterpret_cast<char*>(base + kRing0);
  state.area = area_of(control());
  copy_bytes(reinterpret_cast<void*>(base + kImage), __executable_start,
             static_cast<std::size_t>(_end - __executable_start));
  const std::uint64_t entry =
      base + kImage + (word(reinterpret_cast<char*>(&sandbox_continue)) - word(__executable_start));
  asm volatile("movq %0, %%rsp\n\txorl %%ebp, %%ebp\n\tcall *%1" ::"r"(base + kStacks + 2 * kStackBytes),
               "r"(entry), "D"(base)
               : "memory");
  __builtin_unreachable();
}

// In the copy: addresses relative to the program are now the copy's.
[[noreturn]] void go_on(std::uint64_t base) {
  const std::uint64_t end = (base + kPool + state.area->pool_bytes + 0xffff'ffff) & ~0xffff'ffffull;
  demand(Step::unmap_others, system_call(SYS_munmap, 0, base));
  demand(Step::unmap_others, system_call(SYS_munmap, end, kUserEnd - end));
  state.tables = {reinterpret_cast<const char*>(base + kPool), state.area->pool_bytes, R0_PML4};
  state.shadow = new (shadow_memory) Shadow(base + kShadow, kShadowBytes, base, end);
  const SignalStack stack = {base + kStacks, 0, kStackBytes};
  demand(Step::signal_stack, system_call(SYS_sigaltstack, word(&stack)));
  for (const int number : {kSegv, kBus, kFpe, kIll, kTrap, kSys, kUsr1}) {
    // SIGTRAP is never blocked: Linux kills whom a debug exception finds with that blocked.
    const std::uint64_t flags = kSaSiginfo | kSaOnstack | kSaRestorer | (number == kTrap ? kSaNodefer : 0);
    const SignalAction action = {sandbox_signal, flags, sandbox_restorer, ~(1ull << (kTrap - 1))};
    demand(Step::signal_handlers,
           system_call(SYS_rt_sigaction, static_cast<std::uint64_t>(number), word(&action), 0, 8));
  }
  const std::uint64_t no_signals = 0;
  demand(Step::signal_mask, system_call(SYS_rt_sigprocmask, kSigSetmask, word(&no_signals), 0, 8));
  // Where the kernel has this (Linux 5.11) it comes before the filter, and before what no filter sees:
  // uprobe(2) and uretprobe(2).
  system_call(SYS_prctl, kSetSyscallUserDispatch, 1, base + kImage, image_bytes(), 0);
  demand(Step::no_new_privileges, system_call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1));
  const CapabilityHeader header = {kCapabilityVersion, 0};
  const CapabilitySets no_capabilities = {};
  demand(Step::no_capabilities, system_call(SYS_capset, word(&header), word(&no_capabilities)));
  demand(Step::filter, install_filter({base, end, static_cast<std::uint32_t>(image_bytes()), R0_END}));
  asm volatile("jmp sandbox_int1");
  __builtin_unreachable();
}

}  // namespace
}  // namespace revenant::process

extern "C" {
void sandbox_signal(int number, const revenant::process::SignalInfo* info,
                    revenant::process::SignalFrame* frame) {
  revenant::process::on_signal(number, *info, *frame);
}
[[noreturn]] void sandbox_start() { revenant::process::start(); }
[[noreturn]] void sandbox_continue(std::uint64_t base) { revenant::process::go_on(base); }
}

asm(R"(
  .text
  .globl _start
_start:
  xorl %ebp, %ebp
  andq $-16, %rsp
  call sandbox_start
  .globl sandbox_restorer
sandbox_restorer:
  movl $15, %eax
  syscall
  .globl sandbox_int1
  .globl sandbox_ready
sandbox_int1:
  .byte 0xf1
sandbox_ready:
  ud2
)");
