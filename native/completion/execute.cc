#include <initializer_list>

#include <cstring>

#include "legacy.h"
#include "newer.h"
#include "state.h"

namespace revenant::completion {
namespace {

constexpr std::uint64_t kNever = 1ull << 63;

// The Feature bits that a group of Zydis's needs: all of them.
std::uint64_t features_of(ZydisISASet set) {
  const auto with_length = [set](ZydisISASet narrow, ZydisISASet wide, ZydisISASet whole,
                                 std::uint64_t feature) {
    if (set == whole) return feature;
    return set == narrow || set == wide ? feature | kAvx512vl : 0;
  };
#define VL(name, feature)                                                                             \
  if (const std::uint64_t found = with_length(ZYDIS_ISA_SET_##name##_128, ZYDIS_ISA_SET_##name##_256, \
                                              ZYDIS_ISA_SET_##name##_512, feature))                   \
    return found;
  VL(AVX512F, kAvx512f)
  VL(AVX512BW, kAvx512bw)
  VL(AVX512CD, kAvx512cd)
  VL(AVX512DQ, kAvx512dq)
  VL(AVX512_BF16, kAvx512bf16)
  VL(AVX512_BITALG, kAvx512bitalg)
  VL(AVX512_FP16, kAvx512fp16)
  VL(AVX512_GFNI, kGfni)
  VL(AVX512_IFMA, kAvx512ifma)
  VL(AVX512_VAES, kVaes)
  VL(AVX512_VBMI2, kAvx512vbmi2)
  VL(AVX512_VBMI, kAvx512vbmi)
  VL(AVX512_VNNI, kAvx512vnni)
  VL(AVX512_VP2INTERSECT, kAvx512vp2intersect)
  VL(AVX512_VPCLMULQDQ, kVpclmulqdq)
  VL(AVX512_VPOPCNTDQ, kAvx512vpopcntdq)
#undef VL
  switch (set) {
    case ZYDIS_ISA_SET_AVX512F_128N:
    case ZYDIS_ISA_SET_AVX512F_SCALAR:
    case ZYDIS_ISA_SET_AVX512F_KOP:
      return kAvx512f;
    case ZYDIS_ISA_SET_AVX512BW_128N:
    case ZYDIS_ISA_SET_AVX512BW_KOP:
      return kAvx512bw;
    case ZYDIS_ISA_SET_AVX512DQ_128N:
    case ZYDIS_ISA_SET_AVX512DQ_SCALAR:
    case ZYDIS_ISA_SET_AVX512DQ_KOP:
      return kAvx512dq;
    case ZYDIS_ISA_SET_AVX512_FP16_128N:
    case ZYDIS_ISA_SET_AVX512_FP16_SCALAR:
      return kAvx512fp16;
    case ZYDIS_ISA_SET_AVX:
      return kAvx;
    case ZYDIS_ISA_SET_AVX2:
    case ZYDIS_ISA_SET_AVX2GATHER:
      return kAvx2;
    case ZYDIS_ISA_SET_AMX_TILE:
      return kAmxTile;
    case ZYDIS_ISA_SET_AMX_INT8:
      return kAmxTile | kAmxInt8;
    case ZYDIS_ISA_SET_AMX_BF16:
      return kAmxTile | kAmxBf16;
    case ZYDIS_ISA_SET_AVXAES:
      return kAvx | kAes;
    case ZYDIS_ISA_SET_AVX_VNNI:
      return kAvx | kAvxVnni;
    case ZYDIS_ISA_SET_FMA:
      return kFma;
    case ZYDIS_ISA_SET_XOP:
      return kAvx | kXop;
    case ZYDIS_ISA_SET_FMA4:
      return kAvx | kFma4;
    case ZYDIS_ISA_SET_TBM:
      return kTbm;
    case ZYDIS_ISA_SET_F16C:
      return kF16c;
    case ZYDIS_ISA_SET_BMI1:
      return kBmi1;
    case ZYDIS_ISA_SET_BMI2:
      return kBmi2;
    case ZYDIS_ISA_SET_AVX_GFNI:
      return kAvx | kGfni;
    case ZYDIS_ISA_SET_VAES:
      return kAvx | kVaes;
    case ZYDIS_ISA_SET_VPCLMULQDQ:
      return kAvx | kVpclmulqdq;
    // Every processor has them.
    case ZYDIS_ISA_SET_SSE:
    case ZYDIS_ISA_SET_SSE2:
      return 0;
    case ZYDIS_ISA_SET_SSE3:
      return kSse3;
    case ZYDIS_ISA_SET_SSSE3:
    case ZYDIS_ISA_SET_SSSE3MMX:
      return kSsse3;
    case ZYDIS_ISA_SET_SSE4:
      return kSse41;
    case ZYDIS_ISA_SET_SSE42:
      return kSse42;
    case ZYDIS_ISA_SET_SSE4A:
      return kSse4a;
    case ZYDIS_ISA_SET_AES:
      return kAes;
    case ZYDIS_ISA_SET_PCLMULQDQ:
      return kPclmulqdq;
    case ZYDIS_ISA_SET_GFNI:
      return kGfni;
    case ZYDIS_ISA_SET_SHA:
      return kSha;
    case ZYDIS_ISA_SET_POPCNT:
      return kPopcnt;
    case ZYDIS_ISA_SET_LZCNT:
      return kLzcnt;
    case ZYDIS_ISA_SET_MOVBE:
      return kMovbe;
    case ZYDIS_ISA_SET_ADOX_ADCX:
      return kAdx;
    case ZYDIS_ISA_SET_CMPXCHG16B:
      return kCmpxchg16b;
    case ZYDIS_ISA_SET_LAHF:
      return kLahf;
    case ZYDIS_ISA_SET_RDWRFSGS:
      return kFsgsbase;
    case ZYDIS_ISA_SET_CLFLUSHOPT:
      return kClflushopt;
    case ZYDIS_ISA_SET_CLWB:
      return kClwb;
    case ZYDIS_ISA_SET_CLZERO:
      return kClzero;
    case ZYDIS_ISA_SET_SERIALIZE:
      return kSerialize;
    case ZYDIS_ISA_SET_PT:
      return kPtwrite;
    case ZYDIS_ISA_SET_WAITPKG:
      return kWaitpkg;
    default:
      return kNever;
  }
}

// Those of an instruction: Zydis has MOVDIRI and MOVDIR64B in one group.
std::uint64_t features_of(const ZydisDecodedInstruction& instruction) {
  if (instruction.mnemonic == ZYDIS_MNEMONIC_MOVDIRI) return kMovdiri;
  if (instruction.mnemonic == ZYDIS_MNEMONIC_MOVDIR64B) return kMovdir64b;
  std::uint64_t features = features_of(instruction.meta.isa_set);
  if (instruction.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) features |= kAvx512f;
  return features;
}

struct Decoder {
  ZydisDecoder decoder;
  const Row* rows[ZYDIS_MNEMONIC_MAX_VALUE + 1];
  const Row* mmx[ZYDIS_MNEMONIC_MAX_VALUE + 1];
  Row twins[kMaxTwins];

  Decoder() : rows{}, mmx{}, twins{} {
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (const Rows group :
         {move_rows(),          permute_rows(),    integer_rows(), multiply_rows(), shift_rows(),
          bit_rows(),           compare_rows(),    mask_rows(),    narrow_rows(),   memory_rows(),
          cipher_rows(),        arithmetic_rows(), fused_rows(),   convert_rows(),  special_rows(),
          approximation_rows(), avx_rows(),        general_rows(), scalar_rows(),   hash_rows(),
          tile_rows(),          xop_rows()})
      for (unsigned i = 0; i < group.count; i++) rows[group.first[i].mnemonic] = &group.first[i];
    const Rows on_mmx = mmx_rows();
    for (unsigned i = 0; i < on_mmx.count; i++) mmx[on_mmx.first[i].mnemonic] = &on_mmx.first[i];
    const Twins names = legacy_twins();
    for (unsigned i = 0; i < names.count; i++) {
      const Twin& twin = names.first[i];
      const Row& row = *rows[twin.vex];
      twins[i] = {twin.legacy, row.run, row.width, static_cast<std::uint8_t>(row.flags | twin.flags)};
      rows[twin.legacy] = &twins[i];
    }
  }
};

const Decoder& decoder() {
  static const Decoder once;
  return once;
}

// The row of an instruction that Zydis knows, or null.
const Row* row_of(const ZydisDecodedInstruction& instruction) {
  const bool is_mmx = instruction.meta.isa_set == ZYDIS_ISA_SET_SSSE3MMX;
  return (is_mmx ? decoder().mmx : decoder().rows)[instruction.mnemonic];
}

const Row* row_of(const Newer& newer) {
  return newer.twin == ZYDIS_MNEMONIC_INVALID ? &newer.row : decoder().rows[newer.twin];
}

bool is_executed(ZydisInstructionEncoding encoding) {
  return encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY || encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ||
         encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX || encoding == ZYDIS_INSTRUCTION_ENCODING_XOP;
}

struct Decoded {
  ZydisDecodedInstruction instruction;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

bool decoded(const std::uint8_t* bytes, unsigned count, Decoded& to) {
  return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder().decoder, bytes, count, &to.instruction, to.operands));
}

// Makes of bytes that the manual, and so Zydis, calls undefined the instruction that Zen 4 executes for them,
// if it does. Measured: it takes no notice of
// - EVEX.z without a mask, where the instruction has no masking at all, no mask as an operand, and does not
// store;
// - EVEX.b where the second source is a register and the instruction has neither rounding nor SAE, but would
// have
//   broadcast from memory;
// - VEX.W of VPERMQ and VPERMPD by an immediate;
// - the highest bits of VEX.R and VEX.vvvv where they name a mask register.
bool normalized(const std::uint8_t* bytes, unsigned count, std::uint8_t* plain) {
  if (count > ZYDIS_MAX_INSTRUCTION_LENGTH) return false;
  const auto is_prefix = [](std::uint8_t byte) {
    return (byte & 0xe7) == 0x26 || byte == 0x64 || byte == 0x65 || byte == 0x67;
  };
  unsigned at = 0;
  while (at < count && is_prefix(bytes[at])) at++;
  if (at + 4 > count) return false;
  std::memcpy(plain, bytes, count);
  Decoded as;
  std::uint8_t* const start = plain + at;
  if (*start == 0x62 && at + 6 <= count) {
    const bool zeroing = (start[3] & 0x87) == 0x80;
    if (zeroing) start[3] &= 0x7f;
    if ((start[3] & 0x10) != 0 && start[5] >= 0xc0) {
      const std::uint8_t modrm = start[5];
      start[5] &= 0x38;  // from memory at RAX
      if (decoded(plain, count, as) && as.instruction.avx.broadcast.mode != ZYDIS_BROADCAST_MODE_INVALID)
        start[3] &= 0xef;
      start[5] = modrm;
    }
    if (zeroing) {
      start[3] |= 1;
      if (decoded(plain, count, as)) return false;
      start[3] &= 0xfe;
      if (!decoded(plain, count, as) || as.operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY) return false;
      for (const ZydisDecodedOperand& operand : as.operands) {
        if (&operand == as.operands + as.instruction.operand_count) break;
        const bool is_mask = operand.type == ZYDIS_OPERAND_TYPE_REGISTER &&
                             operand.encoding != ZYDIS_OPERAND_ENCODING_MASK &&
                             operand.reg.value >= ZYDIS_REGISTER_K0 && operand.reg.value <= ZYDIS_REGISTER_K7;
        if (is_mask) return false;
      }
    }
    return true;
  }
  if (*start != 0xc4 && *start != 0xc5) return false;
  const bool three = *start == 0xc4;
  const unsigned map = three ? start[1] & 31 : 1, opcode = start[three ? 3 : 2];
  if (three && map == 3 && opcode <= 1 && count > at + 4) {
    start[2] |= 0x80;
    return decoded(plain, count, as);
  }
  const bool with_source = map == 1 && opcode >= 0x41 && opcode <= 0x4b && opcode != 0x44;
  if (!with_source && !(map == 1 && opcode == 0x44) && !(map == 1 && (opcode & 0xf4) == 0x90) &&
      !(map == 3 && (opcode & 0xfc) == 0x30))
    return false;
  start[1] |= 0x80;
  if (with_source) start[three ? 2 : 1] |= 0x40;
  return true;
}

bool has_mmx(const ZydisDecodedInstruction& instruction, const ZydisDecodedOperand* operands) {
  for (unsigned i = 0; i < instruction.operand_count; i++)
    if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER && operands[i].reg.value >= ZYDIS_REGISTER_MM0 &&
        operands[i].reg.value <= ZYDIS_REGISTER_MM7)
      return true;
  return false;
}

// CMPPS and kin with a predicate that only VEX has; here its upper bits are ignored.
bool has_long_predicate(const ZydisDecodedInstruction& instruction) {
  switch (instruction.mnemonic) {
    case ZYDIS_MNEMONIC_CMPPS:
    case ZYDIS_MNEMONIC_CMPPD:
    case ZYDIS_MNEMONIC_CMPSS:
    case ZYDIS_MNEMONIC_CMPSD:
      return instruction.raw.imm[0].value.u >= 8;
    default:
      return false;
  }
}

// The rows zero what lies above a vector that they write, as VEX does: here it stays. PCMPxSTRM write XMM0.
void run_legacy(Operation& operation, const Row& row) {
  State& state = operation.state();
  unsigned number = 0;
  if (operation.operands() != 0 && operation.operand(0).type == ZYDIS_OPERAND_TYPE_REGISTER &&
      operation.operand(0).reg.value >= ZYDIS_REGISTER_XMM0)
    number = operation.number(0);
  std::uint8_t above[2][48];
  std::memcpy(above[0], state.zmm[0] + 16, 48);
  std::memcpy(above[1], state.zmm[number] + 16, 48);
  if (row.run(operation)) state.rip += operation.instruction().length;
  std::memcpy(state.zmm[0] + 16, above[0], 48);
  std::memcpy(state.zmm[number] + 16, above[1], 48);
}

}  // namespace

Outcome execute(State& state, Memory& memory, const std::uint8_t* bytes, unsigned count) {
  Outcome outcome = {};
  outcome.verdict = Verdict::kUndefined;
  ZydisDecodedInstruction instruction;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  ZydisDecoderContext context;
  std::uint8_t plain[ZYDIS_MAX_INSTRUCTION_LENGTH] = {};
  const auto decodes = [&](const std::uint8_t* from) {
    return ZYAN_SUCCESS(
        ZydisDecoderDecodeInstruction(&decoder().decoder, &context, from, count, &instruction));
  };
  const Newer* newer = nullptr;
  if (!decodes(bytes)) {
    newer = newer_instruction(bytes, count, plain);
    if (newer == nullptr && (state.vendor != Vendor::kAmd || !normalized(bytes, count, plain)))
      return outcome;
    if (!decodes(plain)) return outcome;
  }
  const bool evex = instruction.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
  const bool legacy = instruction.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
  const Row* const row = newer != nullptr ? row_of(*newer) : row_of(instruction);
  const std::uint64_t needed = newer != nullptr ? newer->features : features_of(instruction);
  if (!evex && (needed == kNever || !is_executed(instruction.encoding) || (legacy && row == nullptr))) {
    outcome.verdict = Verdict::kNotMine;
    return outcome;
  }
  if ((state.features & needed) != needed) return outcome;
  if (row == nullptr) {
    outcome.verdict = Verdict::kNotMine;
    return outcome;
  }
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeOperands(&decoder().decoder, &context, &instruction, operands,
                                               instruction.operand_count)))
    return outcome;
  const bool on_mmx = instruction.meta.isa_set != ZYDIS_ISA_SET_SSSE3MMX && has_mmx(instruction, operands);
  if (legacy && (on_mmx || has_long_predicate(instruction))) {
    outcome.verdict = Verdict::kNotMine;
    return outcome;
  }
  Operation operation(state, memory, outcome, instruction, operands, *row);
  outcome.length = instruction.length;
  outcome.verdict = Verdict::kDone;
  // Where no element is accessed, none is misaligned (Zen 4).
  if ((row->flags & kAligned) != 0 && operation.mask() != 0) {
    for (unsigned i = 0; i < operation.operands(); i++)
      if (operation.is_memory(i) && !operation.aligned(i)) return outcome;
  }
  if (!legacy) {
    if (row->run(operation)) state.rip += instruction.length;
    return outcome;
  }
  // Zen 4 does not ask it of SHA; the manuals do.
  const bool anywhere = instruction.meta.isa_set == ZYDIS_ISA_SET_SHA && state.vendor == Vendor::kAmd;
  if ((row->flags & (kUnaligned | kScalar)) == 0 && !anywhere) {
    for (unsigned i = 0; i < operation.operands(); i++)
      if (operation.is_memory(i) && operation.operand(i).size == 128 && !operation.aligned(i)) return outcome;
  }
  run_legacy(operation, *row);
  return outcome;
}

bool executable(const std::uint8_t* bytes, unsigned count, std::uint64_t features) {
  ZydisDecodedInstruction instruction;
  std::uint8_t unused[ZYDIS_MAX_INSTRUCTION_LENGTH];
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder().decoder, nullptr, bytes, count, &instruction))) {
    const Newer* const newer = newer_instruction(bytes, count, unused);
    return newer != nullptr && (features & newer->features) == newer->features;
  }
  const std::uint64_t needed = features_of(instruction);
  return needed != kNever && (features & needed) == needed && row_of(instruction) != nullptr;
}

const char* mnemonic(const std::uint8_t* bytes, unsigned count) {
  ZydisDecodedInstruction instruction;
  std::uint8_t unused[ZYDIS_MAX_INSTRUCTION_LENGTH];
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder().decoder, nullptr, bytes, count, &instruction))) {
    const Newer* const newer = newer_instruction(bytes, count, unused);
    return newer != nullptr ? newer->name : nullptr;
  }
  return ZydisMnemonicGetString(instruction.mnemonic);
}

}  // namespace revenant::completion
