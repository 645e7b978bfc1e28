// The keeper's command line.
#ifndef REVENANT_MACHINE_KEEPER_OPTIONS_H
#define REVENANT_MACHINE_KEEPER_OPTIONS_H

#include <cstdint>
#include <string>

namespace revenant::machine {

struct KeeperOptions {
  std::string name;   // abstract socket name, without the leading NUL
  std::string qemu;   // qemu-system-x86_64
  std::string image;  // native/bare, as firmware
  std::string cpu;    // -cpu of QEMU
  uint64_t pool_mib = 4096;
  uint64_t idle_seconds = 120;  // exit after this time without a lease
  uint64_t boot_seconds = 120;  // not ready after so long: fail
};

// Parses `--option value` pairs. Returns an empty string or an error.
std::string parse_options(int argc, char** argv, KeeperOptions* options);

}  // namespace revenant::machine

#endif
