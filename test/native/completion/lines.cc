#include "lines.h"

#include <initializer_list>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "arena.h"

namespace revenant::completion_test {
namespace {

using completion::State;
using completion::Vendor;
using completion::Verdict;

constexpr const char* kVerdicts[] = {"done", "missing", "#UD", "#PF", "#GP", "#SS", "#XM", "#MF"};
constexpr unsigned kTileConfig = 64, kTileData = 8192;

struct All {
  State state;
  std::uint8_t tile_config[kTileConfig], tile_data[kTileData], memory[kArenaBytes];
};
All all, before;

// Where a name's bytes are, and how many.
struct Place {
  std::uint8_t* at;
  unsigned size;
};

Place place_of(All& where, const char* name) {
  State& state = where.state;
  const auto bytes = [](auto& field) { return Place{reinterpret_cast<std::uint8_t*>(&field), sizeof field}; };
  const auto numbered = [&](const char* kind, auto& array) -> Place {
    const std::size_t length = std::strlen(kind);
    if (std::strncmp(name, kind, length) != 0) return {nullptr, 0};
    char* end;
    const unsigned long number = std::strtoul(name + length, &end, 10);
    if (end == name + length || *end != '\0' || number >= sizeof array / sizeof array[0]) return {nullptr, 0};
    return bytes(array[number]);
  };
  for (const Place place : {numbered("zmm", state.zmm), numbered("mm", state.mm), numbered("gpr", state.gpr),
                            numbered("k", state.k)})
    if (place.at != nullptr) return place;
  if (std::strcmp(name, "mxcsr") == 0) return bytes(state.mxcsr);
  if (std::strcmp(name, "rflags") == 0) return bytes(state.rflags);
  if (std::strcmp(name, "features") == 0) return bytes(state.features);
  if (std::strcmp(name, "vendor") == 0) return bytes(state.vendor);
  if (std::strcmp(name, "tileconfig") == 0) return bytes(where.tile_config);
  if (std::strcmp(name, "tiledata") == 0) return bytes(where.tile_data);
  if (std::strcmp(name, "memory") == 0) return bytes(where.memory);
  return {nullptr, 0};
}

bool read_hex(const char* text, Place to) {
  const std::size_t length = std::strlen(text);
  if (to.at == nullptr || length % 2 != 0 || length / 2 > to.size) return false;
  std::memset(to.at, 0, to.size);
  for (std::size_t i = 0; i < length / 2; i++) {
    const char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
    char* end;
    to.at[i] = static_cast<std::uint8_t>(std::strtoul(digits, &end, 16));
    if (end != digits + 2) return false;
  }
  return true;
}

void say(const char* name) {
  const Place now = place_of(all, name), then = place_of(before, name);
  if (std::memcmp(now.at, then.at, now.size) == 0) return;
  std::printf(" %s=", name);
  for (unsigned i = 0; i < now.size; i++) std::printf("%02x", now.at[i]);
}

void say_changes() {
  char name[16];
  const auto numbered = [&](const char* kind, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
      std::snprintf(name, sizeof name, "%s%u", kind, i);
      say(name);
    }
  };
  numbered("zmm", 32);
  numbered("k", 8);
  numbered("mm", 8);
  numbered("gpr", 16);
  for (const char* const one : {"mxcsr", "rflags", "tileconfig", "tiledata", "memory"}) say(one);
}

bool execute_line(char* line) {
  std::uint8_t code[16] = {};
  for (char* word = std::strtok(line, " \n"); word != nullptr; word = std::strtok(nullptr, " \n")) {
    char* const value = std::strchr(word, '=');
    if (value == nullptr) return false;
    *value = '\0';
    const Place to = std::strcmp(word, "code") == 0 ? Place{code, 15} : place_of(all, word);
    if (!read_hex(value + 1, to)) return false;
  }
  all.state.tile_config = all.tile_config;
  all.state.tile_data = all.tile_data;
  all.state.rip = kInstructionAddress;
  before = all;
  ArenaMemory memory(all.memory);
  const completion::Outcome outcome = completion::execute(all.state, memory, code, 15);
  std::printf("%s", kVerdicts[static_cast<unsigned>(outcome.verdict)]);
  if (outcome.verdict == Verdict::kDone) std::printf(" length=%02x", outcome.length);
  say_changes();
  std::printf("\n");
  return true;
}

}  // namespace

bool execute_lines() {
  static char line[1 << 17];
  all.state.features = ~0ull;
  all.state.vendor = Vendor::kIntel;
  all.state.mxcsr = 0x1f80;
  all.state.rflags = 0x202;
  for (unsigned number = 1; std::fgets(line, sizeof line, stdin) != nullptr; number++) {
    if (execute_line(line)) continue;
    std::fprintf(stderr, "completion-tests: line %u is not understood\n", number);
    return false;
  }
  return true;
}

}  // namespace revenant::completion_test
