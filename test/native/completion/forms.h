// All forms of EVEX and VEX instructions that a processor has, found by asking it; and its answers to the
// samples of each, kept as digests in a file.
#pragma once

#include <cstdio>
#include <vector>

#include "sample.h"
#include "silicon.h"

namespace revenant::completion_test {

// What samples of a form came to.
struct Answer {
  Form form;
  std::uint64_t digest;
};

constexpr unsigned kSamplesPerForm = 128;

// Without EVEX and VEX, the opcodes of maps 0 and 1 that this software is for; of the other maps all may be
// tried.
bool is_legacy_candidate(const Form& form);

// Calls `visit(Form)` with every encoding that there could be, whether defined or not: traits are 0.
template <class Visit>
void each_candidate(Visit visit) {
  for (unsigned map = 0; map <= 3; map++) {
    for (unsigned opcode = 0; opcode < 256; opcode++) {
      const bool group =
          is_group(Prefix::kLegacy, static_cast<std::uint8_t>(map), static_cast<std::uint8_t>(opcode));
      for (unsigned rest = 0; rest < (group ? 192u : 24u); rest++) {
        Form form = {};
        form.prefix = Prefix::kLegacy;
        form.map = static_cast<std::uint8_t>(map);
        form.opcode = static_cast<std::uint8_t>(opcode);
        form.memory = (rest & 1) != 0;
        form.w = rest >> 1 & 1;
        form.pp = static_cast<std::uint8_t>(rest / 4 % 6);
        form.group = group ? static_cast<std::uint8_t>(rest / 24) : kNoGroup;
        if (is_legacy_candidate(form)) visit(form);
      }
    }
  }
  for (const Prefix prefix : {Prefix::kEvex, Prefix::kVex}) {
    const bool evex = prefix == Prefix::kEvex;
    for (unsigned map = 1; map <= (evex ? 7u : 3u); map++) {
      for (unsigned opcode = 0; opcode < 256; opcode++) {
        const bool group =
            is_group(prefix, static_cast<std::uint8_t>(map), static_cast<std::uint8_t>(opcode));
        for (unsigned rest = 0; rest < (group ? 1024 : 128); rest++) {
          Form form = {};
          form.prefix = prefix;
          form.map = static_cast<std::uint8_t>(map);
          form.opcode = static_cast<std::uint8_t>(opcode);
          form.length = rest & 3;
          form.b = rest >> 2 & 1;
          form.memory = (rest >> 3 & 1) != 0;
          form.pp = rest >> 4 & 3;
          form.w = rest >> 6 & 1;
          form.group = group ? rest >> 7 & 7 : kNoGroup;
          if (evex || (form.b == 0 && form.length < 2)) visit(form);
        }
      }
    }
  }
}

// Finds out by trying whether this processor has the form, and its traits. Returns false where it is #UD
// throughout.
bool learn(Silicon& silicon, Form& form);

// The number that the samples of a form are made from.
std::uint64_t seed_of(const Form& form);

// Folds the result of a sample into a digest. `arena`: kArenaBytes if it changed, else null.
std::uint64_t digest_of(std::uint64_t digest, const completion::Outcome& outcome,
                        const completion::State& state, const std::uint8_t* arena);

// Writes answers as text, a line for each opcode, with the processor's vendor and Feature bits. Returns false
// when that fails.
bool write_answers(std::FILE* file, const char* heading, completion::Vendor vendor, std::uint64_t features,
                   const std::vector<Answer>& answers);

// Reads what write_answers() wrote; on a malformed line returns false, with its number in `line`.
bool read_answers(std::FILE* file, completion::Vendor& vendor, std::uint64_t& features,
                  std::vector<Answer>& answers, unsigned& line);

// A short text that names a form, like "evex.2.66.w1.88 L2 b mem".
const char* name_of(const Form& form);

}  // namespace revenant::completion_test
