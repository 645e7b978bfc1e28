#include "run.h"

#include <cstring>

#include <Zydis/Zydis.h>

namespace revenant::completion_test {
namespace {

using completion::Outcome;
using completion::State;
using completion::Verdict;

constexpr const char* kVerdicts[] = {"done", "not mine", "#UD", "#PF", "#GP", "#SS", "#XM", "#MF"};

void start_form(Bench& bench, const Form& form) {
  Random random(seed_of(form));
  fill_arena(bench.pristine, random);
  std::memcpy(bench.software_arena, bench.pristine, kArenaBytes);
  if (bench.silicon != nullptr) std::memcpy(bench.silicon->arena(), bench.pristine, kArenaBytes);
}

void make_numbered(const Bench& bench, Sample& sample, const Form& form, unsigned number) {
  Random random(seed_of(form) + 0x632be59bd9b4e019ull * (number + 1));
  make_sample(sample, form, random);
  sample.state.gpr[4] = kStackPointer;
  sample.state.rip = kInstructionAddress;
  sample.state.vendor = bench.vendor;
}

// The arena if it changed (to be restored after use), else null.
const std::uint8_t* changed(const std::uint8_t* arena, const std::uint8_t* pristine) {
  return std::memcmp(arena, pristine, kArenaBytes) == 0 ? nullptr : arena;
}

void hex(const char* title, const std::uint8_t* bytes, unsigned size) {
  std::printf("    %-10s", title);
  for (unsigned i = size; i-- > 0;) std::printf("%02x%s", bytes[i], i % 8 == 0 && i != 0 ? "'" : "");
  std::printf("\n");
}

void say_outcome(const char* who, const Outcome& outcome, const State& state) {
  std::printf("    %s: %s, length %u, mxcsr %#x", who, kVerdicts[static_cast<unsigned>(outcome.verdict)],
              outcome.length, state.mxcsr);
  if (outcome.verdict == Verdict::kPageFault)
    std::printf(", %s of %#llx", outcome.fault.write ? "write" : "read",
                static_cast<unsigned long long>(outcome.fault.address));
  std::printf("\n");
}

void say_instruction(const Sample& sample) {
  ZydisDisassembledInstruction instruction;
  std::printf("    ");
  for (unsigned i = 0; i < 11; i++) std::printf("%02x ", sample.bytes[i]);
  const bool known = ZYAN_SUCCESS(
      ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, kInstructionAddress, sample.bytes, 15, &instruction));
  std::printf(" %s\n", known ? instruction.text : "(not an instruction to Zydis)");
  if (!known) return;
  for (unsigned i = 0; i < instruction.info.operand_count_visible; i++) {
    const ZydisDecodedOperand& operand = instruction.operands[i];
    if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER) continue;
    const auto number = static_cast<unsigned>(ZydisRegisterGetId(operand.reg.value));
    const char* const name = ZydisRegisterGetString(operand.reg.value);
    if (name[1] == 'm' && number < 32) hex(name, sample.state.zmm[number], 64);
    if (name[0] == 'k')
      std::printf("    %-10s%016llx\n", name, static_cast<unsigned long long>(sample.state.k[number]));
  }
}

void say_difference(const Sample& sample, const Outcome& a, const State& x, const Outcome& b,
                    const State& y) {
  say_instruction(sample);
  std::printf("    mxcsr before %#x\n", sample.state.mxcsr);
  say_outcome("silicon ", a, x);
  say_outcome("software", b, y);
  for (unsigned i = 0; i < 32; i++) {
    if (std::memcmp(x.zmm[i], y.zmm[i], 64) == 0) continue;
    std::printf("    zmm%u\n", i);
    hex("before", sample.state.zmm[i], 64);
    hex("silicon", x.zmm[i], 64);
    hex("software", y.zmm[i], 64);
  }
  for (unsigned i = 0; i < 8; i++)
    if (x.k[i] != y.k[i])
      std::printf("    k%u before %016llx silicon %016llx software %016llx\n", i,
                  (unsigned long long)sample.state.k[i], (unsigned long long)x.k[i],
                  (unsigned long long)y.k[i]);
  for (unsigned i = 0; i < 16; i++)
    if (x.gpr[i] != y.gpr[i])
      std::printf("    gpr%u before %016llx silicon %016llx software %016llx\n", i,
                  (unsigned long long)sample.state.gpr[i], (unsigned long long)x.gpr[i],
                  (unsigned long long)y.gpr[i]);
  for (unsigned i = 0; i < 8; i++)
    if (x.mm[i] != y.mm[i])
      std::printf("    mm%u before %016llx silicon %016llx software %016llx\n", i,
                  (unsigned long long)sample.state.mm[i], (unsigned long long)x.mm[i],
                  (unsigned long long)y.mm[i]);
  if (x.rflags != y.rflags)
    std::printf("    rflags before %#llx silicon %#llx software %#llx\n",
                (unsigned long long)sample.state.rflags, (unsigned long long)x.rflags,
                (unsigned long long)y.rflags);
}

bool equal_outcome(const Outcome& a, const Outcome& b) {
  return a.verdict == b.verdict && (a.verdict != Verdict::kDone || a.length == b.length) &&
         a.fault.address == b.fault.address && a.fault.write == b.fault.write;
}

bool equal_state(const State& a, const State& b) {
  return std::memcmp(a.zmm, b.zmm, sizeof a.zmm) == 0 && std::memcmp(a.k, b.k, sizeof a.k) == 0 &&
         std::memcmp(a.mm, b.mm, sizeof a.mm) == 0 && std::memcmp(a.gpr, b.gpr, sizeof a.gpr) == 0 &&
         a.rip == b.rip && a.rflags == b.rflags && a.mxcsr == b.mxcsr;
}

Outcome in_software(Bench& bench, State& state, const std::uint8_t* bytes) {
  ArenaMemory memory(bench.software_arena);
  Outcome outcome = completion::execute(state, memory, bytes, 15);
  if (outcome.verdict != Verdict::kDone) outcome.length = 0;
  return outcome;
}

}  // namespace

std::uint64_t silicon_digest(Bench& bench, const Form& form) {
  std::uint64_t digest = 0;
  start_form(bench, form);
  for (unsigned i = 0; i < kSamplesPerForm; i++) {
    Sample sample;
    make_numbered(bench, sample, form, i);
    const Outcome outcome = bench.silicon->execute(sample.state, sample.bytes);
    const std::uint8_t* arena = changed(bench.silicon->arena(), bench.pristine);
    digest = digest_of(digest, outcome, sample.state, arena);
    if (arena != nullptr) std::memcpy(bench.silicon->arena(), bench.pristine, kArenaBytes);
  }
  return digest;
}

std::uint64_t software_digest(Bench& bench, const Form& form, std::uint64_t features) {
  std::uint64_t digest = 0;
  start_form(bench, form);
  for (unsigned i = 0; i < kSamplesPerForm; i++) {
    Sample sample;
    make_numbered(bench, sample, form, i);
    sample.state.features = features;
    const Outcome outcome = in_software(bench, sample.state, sample.bytes);
    const std::uint8_t* arena = changed(bench.software_arena, bench.pristine);
    digest = digest_of(digest, outcome, sample.state, arena);
    if (arena != nullptr) std::memcpy(bench.software_arena, bench.pristine, kArenaBytes);
  }
  return digest;
}

bool same(Bench& bench, const Sample& sample, bool say, bool& missing) {
  State hard = sample.state;
  State soft = sample.state;
  const Outcome a = bench.silicon->execute(hard, sample.bytes);
  const Outcome b = in_software(bench, soft, sample.bytes);
  missing = b.verdict == Verdict::kNotMine;
  const bool arenas = std::memcmp(bench.silicon->arena(), bench.software_arena, kArenaBytes) == 0;
  const bool equal = equal_outcome(a, b) && equal_state(hard, soft) && arenas;
  if (!equal && say) {
    say_difference(sample, a, hard, b, soft);
    if (!arenas) {
      for (unsigned i = 0; i < kArenaBytes; i += 64) {
        if (std::memcmp(bench.silicon->arena() + i, bench.software_arena + i, 64) == 0) continue;
        std::printf("    memory at %#llx\n", static_cast<unsigned long long>(kArenaAddress + i));
        hex("before", bench.pristine + i, 64);
        hex("silicon", bench.silicon->arena() + i, 64);
        hex("software", bench.software_arena + i, 64);
      }
    }
  }
  if (changed(bench.silicon->arena(), bench.pristine) != nullptr)
    std::memcpy(bench.silicon->arena(), bench.pristine, kArenaBytes);
  if (changed(bench.software_arena, bench.pristine) != nullptr)
    std::memcpy(bench.software_arena, bench.pristine, kArenaBytes);
  return equal;
}

Comparison compare(Bench& bench, const Form& form, unsigned say) {
  Comparison result = {};
  const std::uint64_t features = silicon_features();
  start_form(bench, form);
  for (unsigned i = 0; i < kSamplesPerForm; i++) {
    Sample sample;
    make_numbered(bench, sample, form, i);
    sample.state.features = features;
    bool missing;
    const bool equal = same(bench, sample, say != 0, missing);
    result.samples++;
    result.equal += equal;
    result.missing += missing;
    if (!equal && say != 0) say--;
  }
  return result;
}

}  // namespace revenant::completion_test
