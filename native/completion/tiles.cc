// AMX: tiles of up to 16 rows of 64 bytes, and their dot products (SDM volume 1, chapter 18; volume 2,
// TILELOADD and kin). The state is XSAVE's: XTILECFG as LDTILECFG reads it, XTILEDATA with the rows of TMM0
// to TMM7 side by side.
#include <cstring>

#include "float.h"
#include "newer.h"

namespace revenant::completion {
namespace {

// Palette 1, the only one there is.
constexpr unsigned kTiles = 8, kRows = 16, kRowBytes = 64, kConfigBytes = 64;
constexpr unsigned kPalette = 0, kStartRow = 1, kReserved = 2, kColumns = 16, kColumnsEnd = 32,
                   kRowCounts = 48, kRowCountsEnd = 56;

// The configuration as it is in memory and in XTILECFG.
struct Config {
  std::uint8_t* bytes;

  bool configured() const { return bytes[kPalette] != 0; }
  unsigned rows(unsigned tile) const { return bytes[kRowCounts + tile]; }
  // Bytes of a row.
  unsigned columns(unsigned tile) const {
    return bytes[kColumns + 2 * tile] | static_cast<unsigned>(bytes[kColumns + 2 * tile + 1]) << 8;
  }
  // LDTILECFG takes no larger tile; the state of a damaged trace may have one.
  bool valid(unsigned tile) const {
    return configured() && tile < kTiles && rows(tile) != 0 && rows(tile) <= kRows &&
           columns(tile) <= kRowBytes;
  }
};

Config config_of(Operation& op) { return {op.state().tile_config}; }

bool undefined(Operation& op) { return op.fault(Verdict::kUndefined); }

std::uint8_t* row_of_tile(Operation& op, unsigned tile, unsigned row) {
  return op.state().tile_data + (tile * kRows + row) * kRowBytes;
}

// What every write of a tile ends with: rows that the configuration leaves out are zero, and the next one
// starts at row 0.
void end_tile(Operation& op, unsigned tile) {
  const unsigned rows = config_of(op).rows(tile);
  if (rows < kRows) std::memset(row_of_tile(op, tile, rows), 0, (kRows - rows) * kRowBytes);
  config_of(op).bytes[kStartRow] = 0;
}

void write_row(Operation& op, unsigned tile, unsigned row, const std::uint8_t* from) {
  const unsigned columns = config_of(op).columns(tile);
  std::uint8_t* const to = row_of_tile(op, tile, row);
  std::memcpy(to, from, columns);
  std::memset(to + columns, 0, kRowBytes - columns);
}

void zero_tiles(Operation& op) { std::memset(op.state().tile_data, 0, kTiles * kRows * kRowBytes); }

bool is_zero(const std::uint8_t* from, const std::uint8_t* to) {
  std::uint8_t any = 0;
  for (; from != to; from++) any |= *from;
  return any == 0;
}

// Whether LDTILECFG takes it.
bool is_config(const std::uint8_t* bytes) {
  if (bytes[kPalette] == 0) return true;
  if (bytes[kPalette] > 1 || !is_zero(bytes + kReserved, bytes + kColumns) ||
      !is_zero(bytes + kColumnsEnd, bytes + kRowCounts) ||
      !is_zero(bytes + kRowCountsEnd, bytes + kConfigBytes))
    return false;
  for (unsigned i = 0; i < kTiles; i++) {
    const unsigned rows = bytes[kRowCounts + i];
    const unsigned columns = bytes[kColumns + 2 * i] | static_cast<unsigned>(bytes[kColumns + 2 * i + 1])
                                                           << 8;
    if (rows > kRows || columns > kRowBytes || (rows == 0) != (columns == 0)) return false;
  }
  return true;
}

bool load_config(Operation& op) {
  if (op.state().tile_config == nullptr) return undefined(op);
  std::uint8_t bytes[kConfigBytes];
  if (!op.read(0, op.address(0), bytes, kConfigBytes)) return false;
  if (!is_config(bytes)) return op.fault(Verdict::kGeneralProtection);
  if (bytes[kPalette] == 0) std::memset(bytes, 0, kConfigBytes);
  std::memcpy(op.state().tile_config, bytes, kConfigBytes);
  zero_tiles(op);
  return true;
}

bool store_config(Operation& op) {
  if (op.state().tile_config == nullptr) return undefined(op);
  return op.write(0, op.address(0), op.state().tile_config, kConfigBytes);
}

bool release(Operation& op) {
  if (op.state().tile_config == nullptr) return undefined(op);
  std::memset(op.state().tile_config, 0, kConfigBytes);
  zero_tiles(op);
  return true;
}

bool has_tile(Operation& op, unsigned index) {
  return op.state().tile_config != nullptr && config_of(op).valid(op.number(index));
}

bool zero(Operation& op) {
  if (!has_tile(op, 0)) return undefined(op);
  const unsigned tile = op.number(0);
  std::memset(row_of_tile(op, tile, 0), 0, kRows * kRowBytes);
  end_tile(op, tile);
  return true;
}

// Where a row is: the index register, scaled, is the distance from one to the next. A fault leaves the row in
// start_row, to go on there.
template <bool stores>
bool transfer(Operation& op) {
  constexpr unsigned register_at = stores ? 1 : 0, memory_at = stores ? 0 : 1;
  if (!has_tile(op, register_at)) return undefined(op);
  const unsigned tile = op.number(register_at);
  const Config config = config_of(op);
  for (unsigned row = config.bytes[kStartRow]; row < config.rows(tile); row++) {
    std::uint8_t bytes[kRowBytes];
    const std::uint64_t at = op.row_address(memory_at, row);
    const bool good = stores ? op.write(memory_at, at, row_of_tile(op, tile, row), config.columns(tile))
                             : op.read(memory_at, at, bytes, config.columns(tile));
    if (!good) {
      config.bytes[kStartRow] = static_cast<std::uint8_t>(row);
      return false;
    }
    if (!stores) write_row(op, tile, row, bytes);
  }
  if (stores)
    config.bytes[kStartRow] = 0;
  else
    end_tile(op, tile);
  return true;
}

// Whether the three tiles of a product fit together: rows by columns of the result, by a row's 4-byte groups.
bool multiplicable(Operation& op) {
  for (unsigned i = 0; i < 3; i++)
    if (!has_tile(op, i)) return false;
  const Config config = config_of(op);
  const unsigned to = op.number(0), a = op.number(1), b = op.number(2);
  if (to == a || a == b || to == b) return false;
  return config.columns(to) % 4 == 0 && config.columns(a) % 4 == 0 && config.columns(b) % 4 == 0 &&
         config.rows(to) == config.rows(a) && config.columns(to) == config.columns(b) &&
         config.columns(a) / 4 == config.rows(b);
}

std::uint32_t word_of(const std::uint8_t* row, unsigned index) {
  std::uint32_t word;
  std::memcpy(&word, row + 4 * index, 4);
  return word;
}

template <class A, class B>
bool dot_bytes(Operation& op) {
  if (!multiplicable(op)) return undefined(op);
  const Config config = config_of(op);
  const unsigned to = op.number(0), a = op.number(1), b = op.number(2);
  for (unsigned m = 0; m < config.rows(to); m++) {
    std::uint32_t sums[kRowBytes / 4];
    std::memcpy(sums, row_of_tile(op, to, m), kRowBytes);
    for (unsigned k = 0; k < config.columns(a) / 4; k++) {
      for (unsigned n = 0; n < config.columns(to) / 4; n++) {
        const std::uint32_t x = word_of(row_of_tile(op, a, m), k), y = word_of(row_of_tile(op, b, k), n);
        for (unsigned i = 0; i < 32; i += 8)
          sums[n] += static_cast<std::uint32_t>(static_cast<A>(x >> i) * static_cast<B>(y >> i));
      }
    }
    write_row(op, to, m, reinterpret_cast<const std::uint8_t*>(sums));
  }
  end_tile(op, to);
  return true;
}

// Which products make the two sums of an element: of low and high halves of the pairs, or crosswise; the
// second one negated or not.
enum class Pairing { kStraight, kNegated, kCrosswise };

// Denormals are zeros, to nearest, without exceptions, whatever MXCSR says. The two sums of products are
// added last.
template <auto convert, Pairing pairing>
bool dot_pairs(Operation& op) {
  if (!multiplicable(op)) return undefined(op);
  Environment env(op);
  env.rounding = kNearest;
  env.denormals_are_zero = env.flush_to_zero = env.underflow_masked = env.overflow_masked = true;
  const Config config = config_of(op);
  const unsigned to = op.number(0), a = op.number(1), b = op.number(2);
  for (unsigned m = 0; m < config.rows(to); m++) {
    U32 sums[kRowBytes / 4], even[kRowBytes / 4] = {}, odd[kRowBytes / 4] = {};
    std::memcpy(sums, row_of_tile(op, to, m), kRowBytes);
    for (unsigned n = 0; n < config.columns(to) / 4; n++) {
      for (unsigned k = 0; k < config.columns(a) / 4; k++) {
        const U32 x = word_of(row_of_tile(op, a, m), k), y = word_of(row_of_tile(op, b, k), n);
        const U32 low_x = convert(env, static_cast<U16>(x)), high_x = convert(env, static_cast<U16>(x >> 16));
        const U32 low_y = convert(env, static_cast<U16>(y)), high_y = convert(env, static_cast<U16>(y >> 16));
        constexpr bool crosses = pairing == Pairing::kCrosswise;
        even[n] = float_fused<Single>(env, crosses ? high_x : low_x, low_y, even[n], false, false);
        odd[n] = float_fused<Single>(env, crosses ? low_x : high_x, high_y, odd[n],
                                     pairing == Pairing::kNegated, false);
      }
      sums[n] = float_add<Single>(env, sums[n], float_add<Single>(env, even[n], odd[n]));
    }
    write_row(op, to, m, reinterpret_cast<const std::uint8_t*>(sums));
  }
  end_tile(op, to);
  return true;
}

#define ROW(name, function) \
  { ZYDIS_MNEMONIC_##name, function, 1, 0 }
constexpr Row rows[] = {
    ROW(LDTILECFG, load_config),       ROW(STTILECFG, store_config),
    ROW(TILERELEASE, release),         ROW(TILEZERO, zero),
    ROW(TILELOADD, transfer<false>),   ROW(TILELOADDT1, transfer<false>),
    ROW(TILESTORED, transfer<true>),   ROW(TDPBSSD, (dot_bytes<S8, S8>)),
    ROW(TDPBSUD, (dot_bytes<S8, U8>)), ROW(TDPBUSD, (dot_bytes<U8, S8>)),
    ROW(TDPBUUD, (dot_bytes<U8, U8>)), ROW(TDPBF16PS, (dot_pairs<single_of_brief, Pairing::kStraight>)),
};

}  // namespace

bool tile_dot_fp16(Operation& op) { return dot_pairs<single_of_half, Pairing::kStraight>(op); }
bool tile_complex_imaginary(Operation& op) { return dot_pairs<single_of_half, Pairing::kCrosswise>(op); }
bool tile_complex_real(Operation& op) { return dot_pairs<single_of_half, Pairing::kNegated>(op); }

Rows tile_rows() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace revenant::completion
