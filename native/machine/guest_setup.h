// Set-up of /init before it can serve: file systems, kernel modules, the shared pool.
#ifndef REVENANT_MACHINE_GUEST_SETUP_H
#define REVENANT_MACHINE_GUEST_SETUP_H

#include <cstddef>
#include <cstdint>

namespace revenant::machine {

struct Mapping {
  char* base = nullptr;
  size_t bytes = 0;
  uint64_t physical = 0;  // its address in the emulated machine; 0: unknown
};

// Mounts devtmpfs and sysfs and opens the console as descriptors 0, 1 and 2.
void mount_file_systems();

// Loads the modules that /modules/order names, one file name a line, in that order.
void load_modules();

// Maps resource 2 of the ivshmem device: the pool.
Mapping map_pool();

// Prints what failed (with errno) on the console and powers the machine off, which ends the emulator.
[[noreturn]] void give_up(const char* what);
[[noreturn]] void power_off();

}  // namespace revenant::machine

#endif
