// Instructions that Zydis 4.0 does not know. Each is decoded as another one that has the same operands.
#pragma once

#include "row.h"

namespace revenant::completion {

// VEX's fields that choose an instruction.
struct VexOpcode {
  std::uint8_t map, pp, w, opcode;
};

// What a newer instruction's ModRM may name.
enum class Place : std::uint8_t { kEither, kMemory, kRegister };

struct Newer {
  const char* name;
  VexOpcode code;        // with VEX.W kAnyW where it is the operands' size
  std::uint8_t lengths;  // bit VEX.L is set where that is allowed
  Place place;
  VexOpcode as;  // what Zydis decodes instead; with kAnyW VEX.W stays
  std::uint64_t features;
  // Executed by the row of this mnemonic, if it is one, else by `row`.
  ZydisMnemonic twin;
  Row row;
};

constexpr std::uint8_t kAnyW = 2;

// The instruction that begins with these bytes, or null; `as`: the bytes to decode in its place, as many.
const Newer* newer_instruction(const std::uint8_t* bytes, unsigned count, std::uint8_t* as);

// AMX-FP16, AMX-COMPLEX: in tiles.cc, with their kin.
bool tile_dot_fp16(Operation& op);
bool tile_complex_imaginary(Operation& op);
bool tile_complex_real(Operation& op);

}  // namespace revenant::completion
