#include "fuzz.h"

#include <cstring>
#include <ctime>

namespace revenant::completion_test {
namespace {

using completion::Outcome;
using completion::State;
using completion::Verdict;

// Bytes that begin as EVEX or VEX, of VEX often as an opmask instruction; sometimes with a prefix, and with
// bits flipped in an instruction.
void random_bytes(std::uint8_t* bytes, Random& random) {
  for (unsigned i = 0; i < 16; i += 8) {
    const std::uint64_t word = random.next();
    std::memcpy(bytes + i, &word, 8);
  }
  unsigned at = 0;
  if (random.one_in(16)) {
    constexpr std::uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
                                         0x67, 0x66, 0xf2, 0xf3, 0xf0, 0x48};
    bytes[at++] = prefixes[random.below(sizeof prefixes)];
  }
  if (random.one_in(8)) {
    // Without EVEX and VEX: behind the escapes, or one of a few in map 1.
    if (random.one_in(2)) bytes[at++] = static_cast<std::uint8_t>(0x40 | random.below(16));
    bytes[at++] = 0x0f;
    constexpr std::uint8_t opcodes[] = {0x38, 0x38, 0x38, 0x3a, 0x3a, 0xb8,
                                        0xbc, 0xbd, 0x52, 0x53, 0x12, 0x7c};
    bytes[at] = opcodes[random.below(sizeof opcodes)];
    return;
  }
  if (random.one_in(8)) {
    const bool three = random.one_in(2);
    bytes[at++] = three ? 0xc4 : 0xc5;
    if (random.one_in(2)) {
      if (three) bytes[at] = static_cast<std::uint8_t>((bytes[at] & 0xe0) | (1 + random.below(3)));
      return;
    }
    if (three) {
      const bool logic = !random.one_in(3);
      bytes[at] = static_cast<std::uint8_t>((bytes[at] & 0xe0) | (logic ? 1 : 3));
      at += 2;
      bytes[at] = static_cast<std::uint8_t>(!logic             ? 0x30 | (bytes[at] & 3)
                                            : bytes[at] & 0x80 ? 0x90 | (bytes[at] & 11)
                                                               : 0x40 | (bytes[at] & 15));
    } else {
      at += 1;
      bytes[at] =
          static_cast<std::uint8_t>(bytes[at] & 0x80 ? 0x90 | (bytes[at] & 11) : 0x40 | (bytes[at] & 15));
    }
    // 40 is CMOV's row, and some of 4x and 9x are nothing.
    return;
  }
  if (random.one_in(8)) {
    // XOP, or one of VEX that Zydis does not know: in map 2 or 3 with registers that are there.
    const bool xop = random.one_in(2);
    bytes[at] = xop ? 0x8f : 0xc4;
    bytes[at + 1] =
        static_cast<std::uint8_t>((bytes[at + 1] & 0xe0) | (xop ? 8 + random.below(3) : 2 + random.below(2)));
    if (random.one_in(2)) bytes[at + 2] |= 0x78;
    if (xop) {
      if (!random.one_in(8)) bytes[at + 2] &= 0xfc;
      return;
    }
    constexpr std::uint8_t opcodes[] = {0x50, 0x51, 0x5c, 0x6c, 0x72, 0xb0, 0xb1, 0xb4, 0xb5, 0xcb,
                                        0xcc, 0xcd, 0xd2, 0xd3, 0xda, 0xde, 0xe0, 0xe5, 0xef};
    bytes[at + 3] = opcodes[random.below(sizeof opcodes)];
    return;
  }
  bytes[at] = 0x62;
  // Mostly what must be so for an instruction.
  bytes[at + 1] = static_cast<std::uint8_t>(
      random.one_in(16) ? bytes[at + 1] : (bytes[at + 1] & 0xf0) | (1 + random.below(3)));
  if (!random.one_in(16)) bytes[at + 2] |= 4;
  if (random.one_in(2)) {
    bytes[at + 2] |= 0x78;
    bytes[at + 3] |= 8;
  }
  if (random.one_in(2)) bytes[at + 1] |= 0x90;
  if (!random.one_in(8)) bytes[at + 3] &= 0x6f;
  if (!random.one_in(8)) bytes[at + 3] &= 0xdf;
  if (random.one_in(2)) bytes[at + 3] &= 0xf8;
  if (random.one_in(2)) bytes[at + 2] = static_cast<std::uint8_t>((bytes[at + 2] & 0xfc) | 1);
}

// AMX's, from one instruction to the next; behind the tiles what no row of any size may reach.
constexpr unsigned kTileBytes = 8192, kGuardBytes = 1 << 16;
std::uint8_t tile_config[64], tile_data[kTileBytes + kGuardBytes];

// An instruction on tiles, with a configuration that LDTILECFG would refuse: who shares the memory of a
// machine, or damages a trace, makes any.
void damage_tiles(std::uint8_t* bytes, Random& random) {
  constexpr std::uint8_t opcodes[] = {0x49, 0x4b, 0x4b, 0x5c, 0x5e};
  bytes[0] = 0xc4;
  bytes[1] = 0xe2;
  bytes[3] = opcodes[random.below(sizeof opcodes)];
  const bool in_memory = bytes[3] == 0x4b;
  bytes[2] = static_cast<std::uint8_t>((in_memory ? 0x78 : bytes[2] & 0x78) | random.below(4));
  bytes[4] = static_cast<std::uint8_t>(in_memory ? 0x04 | random.below(8) << 3 : 0xc0 | random.below(64));
  tile_config[0] = 1;
  for (unsigned at = 1; at < sizeof tile_config; at++)
    if (random.one_in(4)) tile_config[at] = static_cast<std::uint8_t>(random.next());
}

bool inside(std::uint64_t address, std::uint64_t start, std::uint64_t size) { return address - start < size; }

}  // namespace

bool fuzz(Bench& bench, std::uint64_t count, std::uint64_t seed) {
  std::uint64_t executed = 0, undefined = 0, faulted = 0, missing = 0, wrong = 0;
  const std::uint64_t features = bench.silicon != nullptr ? silicon_features() : ~0ull;
  Random arena_random(seed);
  fill_arena(bench.pristine, arena_random);
  std::memcpy(bench.software_arena, bench.pristine, kArenaBytes);
  if (bench.silicon != nullptr) std::memcpy(bench.silicon->arena(), bench.pristine, kArenaBytes);
  for (std::uint64_t i = 0; i < count; i++) {
    Random random(seed + 0x632be59bd9b4e019ull * (i + 1));
    Sample sample;
    fill_state(sample.state, random, random.one_in(4));
    for (auto& general : sample.state.gpr)
      if (random.one_in(2)) general = kArenaAddress + 2 * kPage + random.below(kPage);
    if (bench.silicon != nullptr && !has_avx512()) narrow(sample.state);
    sample.state.gpr[4] = kStackPointer;
    sample.state.rip = kInstructionAddress;
    sample.state.vendor = bench.vendor;
    sample.state.features = features;
    sample.state.tile_config = tile_config;
    sample.state.tile_data = tile_data;
    random_bytes(sample.bytes, random);
    if (bench.silicon == nullptr && random.one_in(16)) damage_tiles(sample.bytes, random);
    State state = sample.state;
    ArenaMemory memory(bench.software_arena);
    const Outcome outcome = completion::execute(state, memory, sample.bytes, 15);
    executed += outcome.verdict == Verdict::kDone;
    undefined += outcome.verdict == Verdict::kUndefined;
    missing += outcome.verdict == Verdict::kNotMine;
    faulted += outcome.verdict > Verdict::kUndefined;
    if (std::memcmp(bench.software_arena, bench.pristine, kArenaBytes) != 0)
      std::memcpy(bench.software_arena, bench.pristine, kArenaBytes);
    if (bench.silicon == nullptr || outcome.verdict == Verdict::kNotMine) continue;
    // The code's own pages are there for the silicon only, and segments have other bases.
    if (outcome.verdict == Verdict::kPageFault && inside(outcome.fault.address, kCodeAddress, kCodeBytes))
      continue;
    if (sample.bytes[0] == 0x64 || sample.bytes[0] == 0x65) continue;
    bool unused;
    if (!same(bench, sample, wrong < 20, unused)) wrong++;
  }
  for (unsigned at = kTileBytes; at < sizeof tile_data; at++) wrong += tile_data[at] != 0;
  std::printf(
      "%llu random instructions: %llu executed, %llu undefined, %llu faults, %llu not executed in software; ",
      (unsigned long long)count, (unsigned long long)executed, (unsigned long long)undefined,
      (unsigned long long)faulted, (unsigned long long)missing);
  std::printf(bench.silicon != nullptr ? "%llu differ from this processor\n"
                                       : "%llu bytes behind the tiles written\n",
              (unsigned long long)wrong);
  return wrong == 0;
}

bool measure(Bench& bench) {
  struct Case {
    const char* name;
    std::uint8_t bytes[7];
  };
  constexpr Case cases[] = {
      {"vpaddd zmm1, zmm2, zmm3", {0x62, 0xf1, 0x6d, 0x48, 0xfe, 0xcb, 0}},
      {"vmovdqu64 zmm1, [rax]", {0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x08, 0}},
      {"vmovdqu8 [rax]{k1}, zmm1", {0x62, 0xf1, 0x7f, 0x49, 0x7f, 0x08, 0}},
      {"vpcmpub k1, zmm1, zmm2, 1", {0x62, 0xf3, 0x75, 0x48, 0x3e, 0xca, 1}},
      {"vaddps zmm1, zmm2, zmm3", {0x62, 0xf1, 0x6c, 0x48, 0x58, 0xcb, 0}},
      {"vfmadd213pd zmm1, zmm2, zmm3", {0x62, 0xf2, 0xed, 0x48, 0xa8, 0xcb, 0}},
      {"vdivpd zmm1, zmm2, zmm3", {0x62, 0xf1, 0xed, 0x48, 0x5e, 0xcb, 0}},
      {"vpermb zmm1, zmm2, zmm3", {0x62, 0xf2, 0x6d, 0x48, 0x8d, 0xcb, 0}},
      {"kortestq k1, k2", {0xc4, 0xe1, 0xf8, 0x98, 0xca, 0, 0}},
  };
  Random random(1);
  for (const Case& one : cases) {
    State state;
    fill_state(state, random, false);
    state.mxcsr = 0x1f80;
    state.features = ~0ull;
    state.gpr[0] = kArenaAddress;
    ArenaMemory memory(bench.software_arena);
    std::uint8_t bytes[15] = {};
    std::memcpy(bytes, one.bytes, sizeof one.bytes);
    constexpr unsigned times = 200000;
    const std::clock_t start = std::clock();
    for (unsigned i = 0; i < times; i++)
      if (completion::execute(state, memory, bytes, 15).verdict != Verdict::kDone) return false;
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    std::printf("%-32s %6.0f ns, %.1f million a second\n", one.name, seconds / times * 1e9,
                times / seconds / 1e6);
  }
  return true;
}

}  // namespace revenant::completion_test
