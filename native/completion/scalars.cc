// Instructions on general registers and memory that have no VEX encodings, and SSE4A.
#include <bit>

#include "flags.h"
#include "row.h"

namespace revenant::completion {
namespace {

using namespace flags;

unsigned bytes_of(const Operation& op, unsigned index) { return op.operand(index).size / 8u; }

// A register or memory operand.
bool value_of(Operation& op, unsigned index, U64& to) {
  to = 0;
  if (op.is_memory(index)) return op.read(index, op.address(index), &to, bytes_of(op, index));
  const ZydisRegister name = op.operand(index).reg.value;
  if (name >= ZYDIS_REGISTER_AH && name <= ZYDIS_REGISTER_BH)
    to = op.state().gpr[name - ZYDIS_REGISTER_AH] >> 8 & 0xff;
  else if (name >= ZYDIS_REGISTER_SPL && name <= ZYDIS_REGISTER_R15B)
    to = op.state().gpr[name - ZYDIS_REGISTER_SPL + 4] & 0xff;
  else
    to = op.general(index);
  return true;
}

// 16 bits leave the rest of the register as it is, 32 zero it.
void put_general(Operation& op, unsigned index, U64 value) {
  U64& to = op.state().gpr[op.number(index)];
  const unsigned size = op.operand(index).size;
  to = size == 16 ? (to & ~0xffffull) | (value & 0xffff) : size == 32 ? value & 0xffffffff : value;
}

void set_flags(Operation& op, U64 which, U64 flags) {
  op.state().rflags = (op.state().rflags & ~which) | flags;
}

bool count_ones(Operation& op) {
  U64 a;
  if (!value_of(op, 1, a)) return false;
  put_general(op, 0, static_cast<U64>(std::popcount(a)));
  set_flags(op, kArithmetic, a == 0 ? kZero : 0);
  return true;
}

// LZCNT, TZCNT. The manuals define the carry and zero flags only. Zen 4 keeps OF and clears the others,
// Golden Cove clears all.
template <bool leading>
bool count_zeros(Operation& op) {
  U64 a;
  if (!value_of(op, 1, a)) return false;
  const unsigned size = op.operand(0).size;
  const auto zeros = static_cast<unsigned>(leading ? std::countl_zero(a) - 64 + static_cast<int>(size)
                                                   : std::countr_zero(a));
  const unsigned count = a == 0 ? size : zeros;
  put_general(op, 0, count);
  const U64 changed = op.state().vendor == Vendor::kAmd ? kArithmetic & ~kOverflow : kArithmetic;
  set_flags(op, changed, (a == 0 ? kCarry : 0) | (count == 0 ? kZero : 0));
  return true;
}

bool move_reversed(Operation& op) {
  U64 value;
  if (!value_of(op, 1, value)) return false;
  const unsigned bytes = bytes_of(op, 0);
  value = __builtin_bswap64(value) >> (64 - 8 * bytes);
  if (op.is_memory(0)) return op.write(0, op.address(0), &value, bytes);
  put_general(op, 0, value);
  return true;
}

// ADCX, ADOX: with the carry in one flag, and no others.
template <U64 flag>
bool add_with(Operation& op) {
  U64 b;
  if (!value_of(op, 1, b)) return false;
  const unsigned size = op.operand(0).size;
  const U128 sum = U128{op.general(0)} + b + ((op.state().rflags & flag) != 0 ? 1 : 0);
  put_general(op, 0, static_cast<U64>(sum));
  set_flags(op, flag, (sum >> size & 1) != 0 ? flag : 0);
  return true;
}

// CRC-32C, reflected: the polynomial 11EDC6F41.
bool checksum(Operation& op) {
  U64 data;
  if (!value_of(op, 1, data)) return false;
  auto sum = static_cast<U32>(op.general(0));
  for (unsigned i = 0; i < bytes_of(op, 1); i++) {
    sum ^= static_cast<U8>(data >> 8 * i);
    for (unsigned bit = 0; bit < 8; bit++) sum = sum >> 1 ^ ((sum & 1) != 0 ? 0x82f63b78 : 0);
  }
  op.state().gpr[op.number(0)] = sum;
  return true;
}

// CMPXCHG16B: stores in any case, and so faults where it may not.
bool exchange(Operation& op) {
  U64 value[2];
  const U64 at = op.address(0);
  U64* const general = op.state().gpr;
  if (!op.writable(0, at, 16) || !op.read(0, at, value, 16)) return false;
  const bool equal = value[0] == general[0] && value[1] == general[2];
  if (equal) {
    value[0] = general[3];
    value[1] = general[1];
  }
  if (!op.write(0, at, value, 16)) return false;
  if (!equal) {
    general[0] = value[0];
    general[2] = value[1];
  }
  set_flags(op, kZero, equal ? kZero : 0);
  return true;
}

bool load_flags(Operation& op) {
  U64& a = op.state().gpr[0];
  a = (a & ~0xff00ull) | ((op.state().rflags & 0xd5) | 2) << 8;
  return true;
}

bool store_flags(Operation& op) {
  set_flags(op, 0xd5, op.state().gpr[0] >> 8 & 0xd5);
  return true;
}

bool store_direct(Operation& op) {
  const U64 value = op.general(1);
  return op.write(0, op.address(0), &value, bytes_of(op, 0));
}

// MOVDIR64B: to the address that is the first operand, in ES.
bool store_line(Operation& op) {
  U8 line[64];
  U64 to = op.general(0);
  if ((to & 63) != 0) return op.fault(Verdict::kGeneralProtection);
  return op.read(1, op.address(1), line, 64) && op.write(0, to, line, 64);
}

// CLZERO: the line that RAX is in.
bool zero_line(Operation& op) {
  constexpr U8 zeros[64] = {};
  U64 at = op.state().gpr[0];
  if (op.instruction().address_width == 32) at &= 0xffffffff;
  if ((op.instruction().attributes & ZYDIS_ATTRIB_HAS_SEGMENT_FS) != 0) at += op.state().fs_base;
  if ((op.instruction().attributes & ZYDIS_ATTRIB_HAS_SEGMENT_GS) != 0) at += op.state().gs_base;
  return op.write(0, at & ~63ull, zeros, 64);
}

// What has no effect but that a byte must be readable: cache lines written back, an address watched.
bool touch(Operation& op) {
  U8 unused;
  return op.read(0, op.is_memory(0) ? op.address(0) : op.general(0), &unused, 1);
}

// PTWRITE: into a trace that is not made.
bool read_only(Operation& op) {
  U64 unused;
  return value_of(op, 0, unused);
}

bool nothing(Operation&) { return true; }

template <bool gs>
bool read_base(Operation& op) {
  op.set_general(0, gs ? op.state().gs_base : op.state().fs_base);
  return true;
}

template <bool gs>
bool write_base(Operation& op) {
  const U64 base = op.general(0);
  const std::int64_t sign = static_cast<std::int64_t>(base) >> 47;
  if (sign != 0 && sign != -1) return op.fault(Verdict::kGeneralProtection);
  (gs ? op.state().gs_base : op.state().fs_base) = base;
  return true;
}

// SSE4A. A field's length (0: 64 bits) and first bit: of immediates, or of the second source's bytes.
struct Field {
  unsigned length, start;
  U64 mask() const { return length == 0 ? ~0ull : (1ull << length) - 1; }
};

Field field_of(Operation& op, const Vector& by, unsigned at) {
  const auto& immediates = op.instruction().raw.imm;
  if (immediates[0].size != 0)
    return {static_cast<unsigned>(immediates[0].value.u & 63),
            static_cast<unsigned>(immediates[1].value.u & 63)};
  return {by.bytes[at] & 63u, by.bytes[at + 1] & 63u};
}

bool extract_bits(Operation& op) {
  Vector a = op.old(), by = a;
  if (op.operands() > 1) by = *reinterpret_cast<const Vector*>(op.vector_register(1));
  const Field field = field_of(op, by, 0);
  a.set<U64>(0, a.get<U64>(0) >> field.start & field.mask());
  a.set<U64>(1, 0);
  return op.finish(a, 16, 8);
}

bool insert_bits(Operation& op) {
  Vector a = op.old();
  const Vector b = *reinterpret_cast<const Vector*>(op.vector_register(1));
  const Field field = field_of(op, b, 8);
  const U64 mask = field.mask();
  a.set<U64>(0, (a.get<U64>(0) & ~(mask << field.start)) | (b.get<U64>(0) & mask) << field.start);
  a.set<U64>(1, 0);
  return op.finish(a, 16, 8);
}

bool store_scalar(Operation& op) {
  return op.write(0, op.address(0), op.vector_register(1), bytes_of(op, 0));
}

#define ROW(name, function, flags) \
  { ZYDIS_MNEMONIC_##name, function, 8, kScalar | flags }
constexpr Row rows[] = {
    ROW(POPCNT, count_ones, 0),
    ROW(LZCNT, count_zeros<true>, 0),
    ROW(TZCNT, count_zeros<false>, 0),
    ROW(MOVBE, move_reversed, 0),
    ROW(ADCX, add_with<kCarry>, 0),
    ROW(ADOX, add_with<kOverflow>, 0),
    ROW(CRC32, checksum, 0),
    ROW(CMPXCHG16B, exchange, kAligned),
    ROW(LAHF, load_flags, 0),
    ROW(SAHF, store_flags, 0),
    ROW(MOVDIRI, store_direct, 0),
    ROW(MOVDIR64B, store_line, 0),
    ROW(CLZERO, zero_line, 0),
    ROW(CLFLUSHOPT, touch, 0),
    ROW(CLWB, touch, 0),
    ROW(PTWRITE, read_only, 0),
    ROW(UMONITOR, touch, 0),
    ROW(SERIALIZE, nothing, 0),
    ROW(RDFSBASE, read_base<false>, 0),
    ROW(RDGSBASE, read_base<true>, 0),
    ROW(WRFSBASE, write_base<false>, 0),
    ROW(WRGSBASE, write_base<true>, 0),
    ROW(EXTRQ, extract_bits, 0),
    ROW(INSERTQ, insert_bits, 0),
    ROW(MOVNTSS, store_scalar, 0),
    ROW(MOVNTSD, store_scalar, 0),
};

}  // namespace

Rows scalar_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
