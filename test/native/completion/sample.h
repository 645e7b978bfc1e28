// Samples: an instruction and the state to execute it in, made from the instruction's form and a number, the
// same on every machine. Made without a decoder, so that they are independent of the software's.
#pragma once

#include "arena.h"
#include "random.h"

namespace revenant::completion_test {

enum class Prefix : std::uint8_t { kEvex, kVex, kLegacy };

// What of an instruction's encoding stays the same in all samples of a form.
struct Form {
  Prefix prefix;
  std::uint8_t map;  // EVEX.mmm, or VEX.mmmmm; 0: one byte, without an escape
  std::uint8_t opcode;
  std::uint8_t pp;  // 0 none, 1 66, 2 F3, 3 F2; without EVEX and VEX 4: 66 F3, 5: 66 F2
  std::uint8_t w;
  std::uint8_t length;  // EVEX.L'L, or VEX.L
  std::uint8_t b;
  bool memory;          // ModRM names memory
  std::uint8_t group;   // ModRM.reg where that is a part of the opcode, else kNoGroup
  std::uint8_t traits;  // Trait bits
};
constexpr std::uint8_t kNoGroup = 8;

// What may vary in samples of a form. Learnt by trying; recorded with the answers.
enum Trait : std::uint8_t {
  kTraitSource = 1,     // vvvv other than 1111
  kTraitMask = 2,       // aaa other than 0
  kTraitNoMask = 4,     // aaa = 0
  kTraitZeroing = 8,    // z = 1
  kTraitHigh = 16,      // R' = 0: a register above 15 in ModRM.reg
  kTraitExtended = 32,  // R = 0
};

struct Sample {
  std::uint8_t bytes[16];
  completion::State state;
};

// Whether ModRM.reg belongs to the opcode.
bool is_group(Prefix prefix, std::uint8_t map, std::uint8_t opcode);

// Whether the form addresses memory by a vector of indices.
bool is_indexed(const Form& form);

// Whether its operands are MMX registers: those of other forms are zero.
bool is_mmx(const Form& form);

// Fills `bytes` (kArenaBytes) with what samples of a form find in memory.
void fill_arena(std::uint8_t* bytes, Random& random);

// The registers, with special values among them. `indices`: vector registers have numbers that fit indices.
void fill_state(completion::State& state, Random& random, bool indices);

// Leaves of the registers what processors without AVX-512 have, zero the rest.
void narrow(completion::State& state);

// Makes one sample: registers, operands, immediate and masks vary as the form's traits allow, and now and
// then further.
void make_sample(Sample& sample, const Form& form, Random& random);

}  // namespace revenant::completion_test
