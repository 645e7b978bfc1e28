#include "forms.h"

#include <cstring>

namespace revenant::completion_test {
namespace {

using completion::Outcome;
using completion::State;
using completion::Verdict;

// The plainest instruction of a form: destination 1, source 2 or memory at RAX (with index 3), the given
// traits used.
void plain(Sample& sample, const Form& form, unsigned traits) {
  Random random(1);
  std::memset(&sample, 0, sizeof sample);
  std::memset(sample.bytes, 0x90, sizeof sample.bytes);
  fill_state(sample.state, random, true);
  sample.state.mxcsr = 0x1f80;
  sample.state.gpr[0] = kArenaAddress + 2 * kPage;
  if (form.prefix == Prefix::kLegacy) {
    std::uint8_t* at = sample.bytes;
    if (form.pp == 1 || form.pp >= 4) *at++ = 0x66;
    if (form.pp == 2 || form.pp == 4) *at++ = 0xf3;
    if (form.pp == 3 || form.pp == 5) *at++ = 0xf2;
    *at++ = static_cast<std::uint8_t>(0x40 | form.w << 3);
    if (form.map != 0) *at++ = 0x0f;
    if (form.map > 1) *at++ = form.map == 2 ? 0x38 : 0x3a;
    *at++ = form.opcode;
    const unsigned field = form.group != kNoGroup ? form.group : 1;
    *at++ = static_cast<std::uint8_t>(form.map == 0 ? 0x90 : (form.memory ? 0 : 0xc2) | field << 3);
    return;
  }
  const unsigned reg = form.group != kNoGroup ? form.group : 1;
  const bool evex = form.prefix == Prefix::kEvex;
  const bool source = (traits & kTraitSource) != 0;
  std::uint8_t* at = sample.bytes;
  *at++ = evex ? 0x62 : 0xc4;
  const unsigned extensions = 0x60u | ((traits & kTraitExtended) != 0 ? 0 : 0x80) |
                              (evex ? ((traits & kTraitHigh) != 0 ? 0 : 0x10) : 0);
  *at++ = static_cast<std::uint8_t>(extensions | form.map);
  const unsigned vvvv = source ? 12 : 15;
  *at++ = static_cast<std::uint8_t>(form.w << 7 | vvvv << 3 | (evex ? 4 : form.length << 2) | form.pp);
  if (evex) {
    const unsigned zeroing = (traits & kTraitZeroing) != 0 ? 0x80 : 0;
    *at++ = static_cast<std::uint8_t>(zeroing | form.length << 5 | form.b << 4 | 8 |
                                      ((traits & kTraitNoMask) != 0 ? 0 : 1));
  }
  *at++ = form.opcode;
  *at++ = static_cast<std::uint8_t>((form.memory ? 0 : 0xc0) | reg << 3 |
                                    (!form.memory       ? 2
                                     : is_indexed(form) ? 4
                                                        : 0));
  if (is_indexed(form)) *at++ = 0x18;
  *at = 0;
}

bool defined(Silicon& silicon, const Form& form, unsigned traits) {
  Sample sample;
  plain(sample, form, traits);
  return silicon.execute(sample.state, sample.bytes).verdict != Verdict::kUndefined;
}

std::uint64_t fold(std::uint64_t digest, const void* bytes, std::size_t size) {
  const auto* at = static_cast<const std::uint8_t*>(bytes);
  for (; size >= 8; size -= 8, at += 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    digest = (digest ^ word) * 0x9e3779b97f4a7c15;
    digest ^= digest >> 32;
  }
  return digest;
}

}  // namespace

bool is_legacy_candidate(const Form& form) {
  const bool group = form.group != kNoGroup;
  switch (form.map) {
    case 0:  // LAHF, SAHF
      return (form.opcode == 0x9e || form.opcode == 0x9f) && form.pp == 0 && !form.memory;
    case 1:
      // Not those that read or write segment bases, which are this process's.
      if (group && form.opcode == 0xae) return form.memory && form.pp == 1 && form.group >= 6;
      if (group && form.opcode == 0xc7) return form.memory && form.pp == 0 && form.group == 1 && form.w == 1;
      if (form.opcode == 0x38 || form.opcode == 0x3a) return false;  // the escapes of maps 2 and 3
      break;
    default:
      return true;
  }
  Sample sample;
  plain(sample, form, 0);
  return completion::executable(sample.bytes, 15, ~0ull);
}

bool learn(Silicon& silicon, Form& form) {
  if (form.prefix == Prefix::kLegacy) return defined(silicon, form, 0);
  constexpr unsigned bases[] = {kTraitNoMask, 0, kTraitNoMask | kTraitSource, kTraitSource};
  for (const unsigned base : bases) {
    if (!defined(silicon, form, base)) continue;
    unsigned traits = base & kTraitNoMask;
    if ((base & kTraitNoMask) == 0 || defined(silicon, form, base & ~kTraitNoMask)) traits |= kTraitMask;
    if ((base & kTraitSource) != 0 || defined(silicon, form, base | kTraitSource)) traits |= kTraitSource;
    if (defined(silicon, form, (base & ~kTraitNoMask) | kTraitZeroing)) traits |= kTraitZeroing;
    if (defined(silicon, form, base | kTraitHigh)) traits |= kTraitHigh;
    if (defined(silicon, form, base | kTraitExtended)) traits |= kTraitExtended;
    form.traits = static_cast<std::uint8_t>(traits);
    return true;
  }
  return false;
}

std::uint64_t seed_of(const Form& form) {
  const std::uint64_t words[] = {static_cast<std::uint64_t>(form.prefix),
                                 form.map,
                                 form.opcode,
                                 form.pp,
                                 form.w,
                                 form.length,
                                 form.b,
                                 form.memory,
                                 form.group};
  std::uint64_t seed = 0;
  for (const std::uint64_t word : words) seed = seed * 257 + word;
  return Random::mixed(seed);
}

std::uint64_t digest_of(std::uint64_t digest, const Outcome& outcome, const State& state,
                        const std::uint8_t* arena) {
  const std::uint64_t end[] = {static_cast<std::uint64_t>(outcome.verdict),
                               outcome.length,
                               outcome.fault.address,
                               outcome.fault.write,
                               state.rip,
                               state.rflags,
                               state.mxcsr};
  digest = fold(digest, end, sizeof end);
  digest = fold(digest, state.zmm, sizeof state.zmm);
  digest = fold(digest, state.k, sizeof state.k);
  digest = fold(digest, state.gpr, sizeof state.gpr);
  std::uint64_t any = 0;
  for (const std::uint64_t mm : state.mm) any |= mm;
  if (any != 0) digest = fold(digest, state.mm, sizeof state.mm);
  if (arena != nullptr) digest = fold(digest, arena, kArenaBytes);
  return digest;
}

const char* name_of(const Form& form) {
  static char text[64];
  static const char* const prefixes[] = {"np", "66", "f3", "f2", "66f3", "66f2"};
  static const char* const kinds[] = {"evex", "vex", "legacy"};
  int at = std::snprintf(text, sizeof text, "%s.%u.%s.w%u.%02x", kinds[static_cast<unsigned>(form.prefix)],
                         form.map, prefixes[form.pp], form.w, form.opcode);
  if (form.group != kNoGroup) at += std::snprintf(text + at, sizeof text - at, "/%u", form.group);
  std::snprintf(text + at, sizeof text - at, " L%u%s%s", form.length, form.b != 0 ? " b" : "",
                form.memory ? " mem" : "");
  return text;
}

bool write_answers(std::FILE* file, const char* heading, completion::Vendor vendor, std::uint64_t features,
                   const std::vector<Answer>& answers) {
  std::fprintf(file, "# %s\nvendor %u\nfeatures %llx", heading, static_cast<unsigned>(vendor),
               static_cast<unsigned long long>(features));
  char last[64] = "";
  for (const Answer& answer : answers) {
    char name[64];
    std::snprintf(name, sizeof name, "%s", name_of(answer.form));
    *std::strchr(name, ' ') = '\0';
    if (std::strcmp(name, last) != 0) {
      const Form& form = answer.form;
      std::fprintf(file, "\n%u %u %02x %u %u %u", static_cast<unsigned>(form.prefix), form.map, form.opcode,
                   form.pp, form.w, form.group);
      std::strcpy(last, name);
    }
    std::fprintf(file, " %u%u%u%02x:%016llx", answer.form.length, answer.form.b, answer.form.memory,
                 answer.form.traits, static_cast<unsigned long long>(answer.digest));
  }
  std::fprintf(file, "\n");
  return std::ferror(file) == 0;
}

bool read_answers(std::FILE* file, completion::Vendor& vendor, std::uint64_t& features,
                  std::vector<Answer>& answers, unsigned& line) {
  vendor = completion::Vendor::kAmd;
  static char text[4096];
  for (line = 1; std::fgets(text, sizeof text, file) != nullptr; line++) {
    if (text[0] == '#' || text[0] == '\n') continue;
    unsigned long long bits;
    if (std::sscanf(text, "features %llx", &bits) == 1) {
      features = bits;
      continue;
    }
    unsigned number;
    if (std::sscanf(text, "vendor %u", &number) == 1) {
      vendor = static_cast<completion::Vendor>(number);
      continue;
    }
    unsigned prefix, map, opcode, pp, w, group;
    int at = 0;
    if (std::sscanf(text, "%u %u %x %u %u %u%n", &prefix, &map, &opcode, &pp, &w, &group, &at) != 6)
      return false;
    unsigned long long digest;
    unsigned length, b, memory, traits;
    for (int used = 0; text[at] == ' '; at += used) {
      if (std::sscanf(text + at, " %1u%1u%1u%2x:%llx%n", &length, &b, &memory, &traits, &digest, &used) != 5)
        return false;
      Answer answer = {};
      answer.form = {static_cast<Prefix>(prefix),       static_cast<std::uint8_t>(map),
                     static_cast<std::uint8_t>(opcode), static_cast<std::uint8_t>(pp),
                     static_cast<std::uint8_t>(w),      static_cast<std::uint8_t>(length),
                     static_cast<std::uint8_t>(b),      memory != 0,
                     static_cast<std::uint8_t>(group),  static_cast<std::uint8_t>(traits)};
      answer.digest = digest;
      answers.push_back(answer);
    }
  }
  return true;
}

}  // namespace revenant::completion_test
