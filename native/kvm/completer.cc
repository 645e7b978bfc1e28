#include "completer.h"

#include <cerrno>
#include <cstring>

#include "../completion/state.h"
#include "guest_pages.h"
#include "ring0/layout.h"

namespace revenant {
namespace {

constexpr unsigned kX87 = 0, kSse = 1, kAvx = 2, kOpmask = 5, kZmmHigh = 6, kHighZmm = 7, kPkru = 9,
                   kTileConfig = 17, kTileData = 18;
constexpr std::uint32_t kMxcsr = 24, kXmm = 160, kHeader = 512, kExtended = 576;
// x87 in the area: control and status word, which registers are in use, the registers from ST0.
constexpr std::uint32_t kX87Status = 2, kX87InUse = 4, kX87Registers = 32, kX87RegisterBytes = 16;
constexpr std::uint16_t kX87Control = 0x37f, kX87ErrorSummary = 0x80, kX87Top = 0x3800;
constexpr unsigned kX87TopShift = 11;
constexpr std::uint32_t kSizes[kXstateComponents] = {0, 0, 256, 0, 0, 64, 512, 1024, 0,    8,
                                                     0, 0, 0,   0, 0, 0,  0,   64,   8192, 128};

#ifdef REVENANT_COMPLETION

constexpr std::uint64_t kTrapFlag = 1 << 8, kResumeFlag = 1 << 16;
constexpr std::uint64_t kDr6Nothing = 0xffff0ff0, kDr6Step = 1 << 14;
constexpr unsigned kMaxLength = 15;
// Instructions executed in one visit, before somebody looks at the clock.
constexpr unsigned kMaxVisit = 4000;
// Others in a row before the processor goes on: about as many as take as long as a visit.
constexpr unsigned kMaxPlain = 32;
// Scores of a Continuation: a loop's end costs it less than a few turns give.
constexpr std::uint32_t kFirstScore = 4, kLeastScore = 2, kHighestScore = 12, kFailure = 3, kSkips = 64;
constexpr std::uint32_t kUndefined = 6, kDebug = 1, kStackFault = 12, kProtection = 13, kPageFault = 14,
                        kFloat = 19, kX87Fault = 16;

constexpr std::uint64_t bit(unsigned component) { return 1ull << component; }

std::uint64_t get64(const char* at) {
  std::uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

void put64(char* at, std::uint64_t value) { std::memcpy(at, &value, sizeof value); }
void put32(char* at, std::uint32_t value) { std::memcpy(at, &value, sizeof value); }

// Slots of the context page for the registers in the order of encodings.
constexpr unsigned kSlots[16] = {REG_RAX, REG_RCX, 12, 5, REG_RSP, 4, 13, 14, 9, 8, 7, REG_R11, 3, 2, 1, 0};

// The state between the pool and `completion::State`.
class Registers {
 public:
  Registers(const CompletionPayload& layout, bool switches, char* pool)
      : layout_(layout), switches_(switches), context_(pool + R0_CONTEXT), area_(pool + R0_XSTATE) {}

  // Whether AVX is the processor's, which knows nothing of these upper halves.
  bool is_split(const completion::State& state) const {
    return !switches_ && has(kAvx) && !has(kZmmHigh) && dirty(state);
  }

  void load(completion::State& state) {
    xcr0_ = get64(context_ + CTX_XCR0);
    present_ = get64(area_ + kHeader);
    for (unsigned i = 0; i < 16; i++) state.gpr[i] = get64(slot(kSlots[i]));
    state.rip = get64(slot(REG_RIP));
    state.rflags = get64(slot(REG_EFLAGS));
    state.fs_base = get64(slot(REG_FS_BASE));
    state.gs_base = get64(slot(REG_GS_BASE));
    std::memcpy(&state.mxcsr, area_ + kMxcsr, sizeof state.mxcsr);
    state.vendor = static_cast<completion::Vendor>(layout_.vendor);
    state.features = layout_.features;
    // What the processor has itself does not come here.
    tile_config_at_ = has(kTileConfig) ? nullptr : stored(kTileConfig);
    state.tile_data = has(kTileData) ? nullptr : reinterpret_cast<std::uint8_t*>(stored(kTileData));
    if (state.tile_data == nullptr) tile_config_at_ = nullptr;
    // A copy: who shares the area may change it while sizes in it are used.
    if (tile_config_at_ != nullptr) std::memcpy(tile_config_, tile_config_at_, sizeof tile_config_);
    state.tile_config = tile_config_at_ != nullptr ? tile_config_ : nullptr;
    const char* const low = (present_ & bit(kSse)) != 0 ? area_ + kXmm : nullptr;
    const char *const middle = stored(kAvx), *const high = stored(kZmmHigh);
    for (unsigned i = 0; i < 16; i++) {
      part(state.zmm[i], low, 16, i);
      part(state.zmm[i] + 16, middle, 16, i);
      part(state.zmm[i] + 32, high, 32, i);
    }
    part(state.zmm[16], stored(kHighZmm), 1024, 0);
    part(state.k, stored(kOpmask), 64, 0);
    load_mmx(state);
    before_ = state;
  }

  void store(const completion::State& state) {
    for (unsigned i = 0; i < 16; i++) put64(slot(kSlots[i]), state.gpr[i]);
    put64(slot(REG_RIP), state.rip);
    put64(slot(REG_EFLAGS), state.rflags);
    if (state.fs_base != before_.fs_base || state.gs_base != before_.gs_base) {
      put64(slot(REG_FS_BASE), state.fs_base);
      put64(slot(REG_GS_BASE), state.gs_base);
      request(CTX_REQUEST_FS_GS_BASE);
    }
    const bool off = switches_ && !has(kZmmHigh) && dirty(state);
    const std::uint64_t wanted = off ? layout_.xcr0 & ~bit(kAvx) : layout_.xcr0;
    const bool moves = ((wanted ^ xcr0_) & bit(kAvx)) != 0;
    bool restore = moves && (wanted & bit(kAvx)) != 0;
    xcr0_ = wanted;
    put64(context_ + CTX_XCR0, wanted);
    if (state.mxcsr != before_.mxcsr) {
      std::memcpy(area_ + kMxcsr, &state.mxcsr, sizeof state.mxcsr);
      restore = true;
    }
    bool low = false, middle = moves, high = false;
    for (unsigned i = 0; i < 16; i++) {
      low |= differ(state.zmm[i], before_.zmm[i], 16);
      middle |= differ(state.zmm[i] + 16, before_.zmm[i] + 16, 16);
      high |= differ(state.zmm[i] + 32, before_.zmm[i] + 32, 32);
    }
    if (low) {
      for (unsigned i = 0; i < 16; i++) std::memcpy(area_ + kXmm + 16 * i, state.zmm[i], 16);
      present_ |= bit(kSse);
      restore = true;
    }
    if (middle) restore |= put(kAvx, state.zmm[0] + 16, 16, 64);
    if (high) restore |= put(kZmmHigh, state.zmm[0] + 32, 32, 64);
    if (differ(state.zmm[16], before_.zmm[16], 1024)) restore |= put(kHighZmm, state.zmm[16], 1024, 0);
    if (differ(state.k, before_.k, 64))
      restore |= put(kOpmask, reinterpret_cast<const std::uint8_t*>(state.k), 64, 0);
    if (state.mmx_used) {
      store_mmx(state);
      restore = true;
    }
    if (tile_config_at_ != nullptr) std::memcpy(tile_config_at_, tile_config_, sizeof tile_config_);
    // XRSTOR refuses bits that XCR0 has not.
    present_ &= xcr0_;
    put64(area_ + kHeader, present_);
    if (restore) request(CTX_REQUEST_XRSTOR);
  }

  std::uint32_t pkru() const {
    if (layout_.protection_keys == 0 || !has(kPkru) || (present_ & bit(kPkru)) == 0) return 0;
    std::uint32_t value;
    std::memcpy(&value, area_ + layout_.offsets[kPkru], sizeof value);
    return value;
  }

 private:
  char* slot(unsigned number) { return context_ + CTX_REGISTER(number); }
  void request(std::uint32_t what) {
    std::uint32_t requests;
    std::memcpy(&requests, context_ + CTX_REQUESTS, sizeof requests);
    put32(context_ + CTX_REQUESTS, requests | what);
  }
  // Whether the processor has the component itself, at this time.
  bool has(unsigned component) const { return (xcr0_ & bit(component)) != 0; }

  // Where the component's value is, or null for zeros.
  char* stored(unsigned component) const {
    if (layout_.offsets[component] == 0 || (layout_.components & bit(component)) == 0) return nullptr;
    if (has(component) && (present_ & bit(component)) == 0) return nullptr;
    return area_ + layout_.offsets[component];
  }

  static void part(void* to, const char* from, unsigned size, unsigned index) {
    if (from != nullptr)
      std::memcpy(to, from + size * index, size);
    else
      std::memset(to, 0, size);
  }

  // Where R`index` is in the area, which has ST0 first.
  char* x87_register(unsigned index, unsigned top) const {
    return area_ + kX87Registers + kX87RegisterBytes * ((index - top) & 7);
  }

  void load_mmx(completion::State& state) const {
    state.mmx_used = false;
    state.mmx_written = 0;
    state.x87_pending = false;
    std::memset(state.mm, 0, sizeof state.mm);
    if ((present_ & bit(kX87)) == 0) return;
    std::uint16_t status;
    std::memcpy(&status, area_ + kX87Status, sizeof status);
    state.x87_pending = (status & kX87ErrorSummary) != 0;
    for (unsigned i = 0; i < 8; i++) state.mm[i] = get64(x87_register(i, status >> kX87TopShift & 7));
  }

  // As an MMX instruction leaves x87: TOP 0, all registers in use.
  void store_mmx(const completion::State& state) {
    std::uint16_t status = 0;
    if ((present_ & bit(kX87)) == 0) {
      std::memset(area_, 0, kMxcsr);
      std::memset(area_ + kX87Registers, 0, 8 * kX87RegisterBytes);
      std::memcpy(area_, &kX87Control, sizeof kX87Control);
      present_ |= bit(kX87);
    } else {
      std::memcpy(&status, area_ + kX87Status, sizeof status);
    }
    char registers[8][kX87RegisterBytes];
    for (unsigned i = 0; i < 8; i++) {
      std::memcpy(registers[i], x87_register(i, status >> kX87TopShift & 7), kX87RegisterBytes);
      if ((state.mmx_written >> i & 1) == 0) continue;
      std::memset(registers[i], 0xff, 10);
      std::memcpy(registers[i], &state.mm[i], 8);
    }
    std::memcpy(area_ + kX87Registers, registers, sizeof registers);
    status &= static_cast<std::uint16_t>(~kX87Top);
    std::memcpy(area_ + kX87Status, &status, sizeof status);
    area_[kX87InUse] = static_cast<char>(0xff);
  }

  static bool differ(const void* a, const void* b, unsigned size) { return std::memcmp(a, b, size) != 0; }

  static bool dirty(const completion::State& state) {
    std::uint64_t any = 0;
    for (const auto& zmm : state.zmm) {
      if (&zmm == state.zmm + 16) break;
      for (unsigned at = 32; at < 64; at += 8) any |= get64(reinterpret_cast<const char*>(zmm) + at);
    }
    return any != 0;
  }

  // Stores a component of registers of `size` bytes, `stride` from one to the next (0: one register). Returns
  // whether the processor has to load it.
  bool put(unsigned component, const std::uint8_t* from, unsigned size, unsigned stride) {
    if (layout_.offsets[component] == 0 || (layout_.components & bit(component)) == 0) return false;
    char* const to = area_ + layout_.offsets[component];
    const unsigned count = stride == 0 ? 1 : 16;
    for (unsigned i = 0; i < count; i++) std::memcpy(to + size * i, from + stride * i, size);
    if (!has(component)) return false;
    std::uint8_t any = 0;
    for (unsigned i = 0; i < size * count; i++) any |= static_cast<std::uint8_t>(to[i]);
    present_ = any != 0 ? present_ | bit(component) : present_ & ~bit(component);
    return true;
  }

  const CompletionPayload& layout_;
  const bool switches_;
  char* const context_;
  char* const area_;
  completion::State before_;
  char* tile_config_at_ = nullptr;
  std::uint8_t tile_config_[64];
  std::uint64_t xcr0_ = 0;
  std::uint64_t present_ = 0;
};

// How many bytes are prefixes of the instruction, and the byte behind them; 0 where there is none.
unsigned prefixes(const std::uint8_t* bytes, unsigned count) {
  unsigned at = 0;
  const auto is_prefix = [](std::uint8_t byte) {
    return (byte & 0xf0) == 0x40 || (byte >= 0x64 && byte <= 0x67) || (byte & 0xfe) == 0xf2 ||
           (byte & 0xe7) == 0x26 || byte == 0xf0;
  };
  while (at < count && is_prefix(bytes[at])) at++;
  return at;
}

std::uint8_t opcode_of(const std::uint8_t* bytes, unsigned count) {
  const unsigned at = prefixes(bytes, count);
  return at < count ? bytes[at] : std::uint8_t{0};
}

// EVEX, VEX, or XOP, which has a map from 8 on where POP has ModRM.reg 0.
bool is_vector(const std::uint8_t* bytes, unsigned count) {
  const unsigned at = prefixes(bytes, count);
  if (at == count) return false;
  if (bytes[at] == 0x8f) return at + 1 < count && (bytes[at + 1] & 0x1f) >= 8;
  return bytes[at] == 0x62 || bytes[at] == 0xc4 || bytes[at] == 0xc5;
}

// Whether the bytes may begin an instruction that a visit goes on with: EVEX, VEX, XOP, or behind an escape
// 0F one that newer processors have; before them any prefixes.
bool goes_on(const std::uint8_t* bytes, unsigned count) {
  const unsigned at = prefixes(bytes, count);
  if (is_vector(bytes, count)) return true;
  if (at == count || bytes[at] != 0x0f) return false;
  const unsigned next = at + 1 < count ? bytes[at + 1] : 0;
  // 38 and 3A; POPCNT, TZCNT, LZCNT; RSQRT, RCP.
  return (next & 0xfd) == 0x38 || next == 0xb8 || (next & 0xfe) == 0xbc || (next & 0xfe) == 0x52;
}

// One of SSE, which every processor has. False, with nothing changed, for any other, and for one that would
// fault.
bool execute_vector(completion::State& state, GuestPages& pages, const std::uint8_t* bytes, unsigned count) {
  if (opcode_of(bytes, count) != 0x0f) return false;
  const std::uint32_t mxcsr = state.mxcsr;
  if (completion::execute(state, pages, bytes, count).verdict == completion::Verdict::kDone) return true;
  state.mxcsr = mxcsr;
  return false;
}

// POPF, IRET.
bool loads_flags(std::uint8_t opcode) { return opcode == 0x9d || opcode == 0xcf; }

#endif

}  // namespace

int Completer::configure(const CompletionPayload& shared) {
  payload_ = {};
  // A process that shares it may change it meanwhile.
  CompletionPayload payload;
  std::memcpy(&payload, &shared, sizeof payload);
  asm volatile("" ::"r"(&payload) : "memory");
#ifdef REVENANT_COMPLETION
  for (unsigned i = 0; i < kXstateComponents; i++) {
    const std::uint32_t at = payload.offsets[i];
    if (at != 0 && (at < kExtended || at + kSizes[i] > R0_X87 - R0_XSTATE)) return -EINVAL;
  }
  payload_ = payload;
  return 0;
#else
  return payload.features == 0 ? 0 : -EOPNOTSUPP;
#endif
}

#ifdef REVENANT_COMPLETION

bool Completer::Continuation::is_worthwhile() {
  if (score >= kLeastScore) return true;
  if (++skipped < kSkips) return false;
  skipped = 0;
  score = kLeastScore;
  return true;
}

void Completer::Continuation::note(bool led) {
  if (led)
    score = score < kHighestScore ? score + 1 : score;
  else
    score = score < kFailure ? 0 : score - kFailure;
}

Completer::Continuation& Completer::continuation(std::uint64_t rip) {
  Continuation& found = continuations_[(rip ^ rip >> 8) % kContinuations];
  if (found.rip != rip) found = {rip, kFirstScore, 0};
  return found;
}

bool Completer::is_due(const void* pool) const {
  const std::uint32_t at = payload_.offsets[kZmmHigh];
  if (switches_ || !enabled() || at == 0 || (payload_.xcr0 & bit(kAvx)) == 0) return false;
  if ((payload_.xcr0 & bit(kZmmHigh)) != 0 || (payload_.components & bit(kZmmHigh)) == 0) return false;
  const char* const upper = static_cast<const char*>(pool) + R0_XSTATE + at;
  std::uint64_t any = 0;
  for (unsigned i = 0; i < kSizes[kZmmHigh]; i += 8) any |= get64(upper + i);
  return any != 0;
}

Visit Completer::visit(void* pool, std::uint64_t pool_bytes, bool undefined, bool branches,
                       std::uint64_t& completed) {
  char* const base = static_cast<char*>(pool);
  char* const context = base + R0_CONTEXT;
  if (get64(context + CTX_REGISTER(REG_CS)) != SEL_USER_CS) return undefined ? Visit::exit : Visit::processor;
  Registers registers(payload_, switches_, base);
  completion::State state;
  registers.load(state);
  GuestPages pages(base, pool_bytes, context, registers.pkru(), physical_);
  const std::uint64_t resume_flag = undefined ? state.rflags & kResumeFlag : kResumeFlag;
  const auto leave = [&](std::uint32_t vector, std::uint64_t error_code, std::uint64_t address) {
    registers.store(state);
    put32(context + CTX_VECTOR, vector);
    put64(context + CTX_ERROR_CODE, error_code);
    put64(context + CTX_CR2, address);
    return Visit::exit;
  };
  // Behind a plain instruction what is not executed here, and what faults, is the processor's again.
  unsigned plain = 0;
  Continuation* begun = nullptr;
  bool split = registers.is_split(state);
  for (unsigned done = 0; done < kMaxVisit; done++) {
    std::uint8_t bytes[kMaxLength];
    const unsigned count = pages.fetch(state.rip, bytes, kMaxLength);
    const bool is_first = done == 0 && undefined;
    const bool resumes = done == 0 && (state.rflags & kResumeFlag) != 0;
    if (!is_first && !resumes && pages.stops_at(state.rip)) break;
    pages.take_hits();
    const std::uint64_t flags = state.rflags;
    if (!is_first && !goes_on(bytes, count)) {
      if (plain == 0 && !split) {
        Continuation& from = continuation(state.rip);
        if (!from.is_worthwhile()) break;
        begun = &from;
      }
      if (plain++ == kMaxPlain && !split) break;
      if (!completion::execute_plain(state, pages, bytes, count, {branches, split}) &&
          !(split && execute_vector(state, pages, bytes, count)))
        break;
    } else {
      const completion::Outcome outcome = completion::execute(state, pages, bytes, count);
      // Faults find the flag as the processor leaves it for them.
      if (outcome.verdict != completion::Verdict::kDone && !is_first) state.rflags |= resume_flag;
      switch (outcome.verdict) {
        case completion::Verdict::kDone:
          break;
        case completion::Verdict::kNotMine:
        case completion::Verdict::kUndefined:
          if (is_first) return Visit::exit;
          // As with AVX off.
          if (split && is_vector(bytes, count)) return leave(kUndefined, 0, get64(context + CTX_CR2));
          state.rflags = flags;
          registers.store(state);
          return split ? Visit::step : Visit::processor;
        case completion::Verdict::kPageFault:
          return leave(kPageFault, pages.error_code(), outcome.fault.address);
        case completion::Verdict::kGeneralProtection:
          return leave(kProtection, 0, 0);
        case completion::Verdict::kStackFault:
          return leave(kStackFault, 0, 0);
        case completion::Verdict::kFloatException:
          return leave(kFloat, 0, 0);
        case completion::Verdict::kX87Exception:
          return leave(kX87Fault, 0, 0);
      }
      completed++;
      plain = 0;
      if (begun != nullptr) begun->note(true);
      begun = nullptr;
      split = registers.is_split(state);
    }
    state.rflags &= ~kResumeFlag;
    const std::uint32_t hits = pages.take_hits();
    // POPF that clears the flag is still stepped.
    const bool step = (flags & kTrapFlag) != 0;
    if (hits == 0 && !step) continue;
    put64(context + CTX_DR6, kDr6Nothing | hits | (step ? kDr6Step : 0));
    return leave(kDebug, 0, get64(context + CTX_CR2));
  }
  if (begun != nullptr) begun->note(false);
  registers.store(state);
  if (!split) return Visit::processor;
  std::uint8_t next[kMaxLength];
  return loads_flags(opcode_of(next, pages.fetch(state.rip, next, kMaxLength))) ? Visit::step_loads_flags
                                                                                : Visit::step;
}

#else

bool Completer::is_due(const void*) const { return false; }

Visit Completer::visit(void*, std::uint64_t, bool undefined, bool, std::uint64_t&) {
  return undefined ? Visit::exit : Visit::processor;
}

#endif

}  // namespace revenant
