#include "keeper_options.h"

#include <cstdlib>
#include <cstring>

namespace revenant::machine {
namespace {

struct TextOption {
  const char* name;
  std::string KeeperOptions::*field;
};
struct NumberOption {
  const char* name;
  uint64_t KeeperOptions::*field;
};

constexpr TextOption kTexts[] = {
    {"--name", &KeeperOptions::name},
    {"--qemu", &KeeperOptions::qemu},
    {"--image", &KeeperOptions::image},
    {"--cpu", &KeeperOptions::cpu},
};
constexpr NumberOption kNumbers[] = {
    {"--pool-mib", &KeeperOptions::pool_mib},
    {"--idle-seconds", &KeeperOptions::idle_seconds},
    {"--boot-seconds", &KeeperOptions::boot_seconds},
};

bool set_option(const char* name, const char* value, KeeperOptions* options) {
  for (const TextOption& option : kTexts) {
    if (strcmp(name, option.name) != 0) continue;
    options->*option.field = value;
    return true;
  }
  for (const NumberOption& option : kNumbers) {
    if (strcmp(name, option.name) != 0) continue;
    char* end = nullptr;
    options->*option.field = strtoull(value, &end, 10);
    return *value != '\0' && *end == '\0';
  }
  return false;
}

}  // namespace

std::string parse_options(int argc, char** argv, KeeperOptions* options) {
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 >= argc) return std::string(argv[i]) + " needs a value";
    if (!set_option(argv[i], argv[i + 1], options)) return std::string("bad option ") + argv[i];
  }
  for (const TextOption& option : kTexts) {
    if ((options->*option.field).empty()) return std::string(option.name) + " is missing";
  }
  const uint64_t pool = options->pool_mib;
  if (pool < 64 || pool > (1u << 20) || (pool & (pool - 1)) != 0) return "--pool-mib must be a power of two";
  return "";
}

}  // namespace revenant::machine
