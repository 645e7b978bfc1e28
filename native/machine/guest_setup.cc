#include "guest_setup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace revenant::machine {
namespace {

// docs/specs/ivshmem-spec.txt of QEMU: device 1af4:1110, BAR 2 is the shared memory.
constexpr unsigned long kIvshmemVendor = 0x1af4;
constexpr unsigned long kIvshmemDevice = 0x1110;
constexpr char kPciDevices[] = "/sys/bus/pci/devices";

unsigned long read_hex(const char* directory, const char* file) {
  char path[300], text[32] = {};
  snprintf(path, sizeof path, "%s/%s/%s", kPciDevices, directory, file);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t count = read(fd, text, sizeof text - 1);
  close(fd);
  return count > 0 ? strtoul(text, nullptr, 16) : 0;
}

// First address of the device's BAR `index`: a line of the file for each, "first last flags".
uint64_t bar_address(const char* directory, int index) {
  char path[300], line[100];
  snprintf(path, sizeof path, "%s/%s/resource", kPciDevices, directory);
  FILE* const resources = fopen(path, "re");
  if (!resources) return 0;
  uint64_t address = 0;
  for (int i = 0; i <= index && fgets(line, sizeof line, resources); ++i)
    address = strtoull(line, nullptr, 16);
  fclose(resources);
  return address;
}

// Switches the device's memory decoding on; no driver is bound that would.
void enable_device(const char* directory) {
  char path[300];
  snprintf(path, sizeof path, "%s/%s/enable", kPciDevices, directory);
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "1", 1) != 1) give_up("enabling the pool's device");
  close(fd);
}

Mapping map_resource(const char* directory) {
  char path[300];
  enable_device(directory);
  snprintf(path, sizeof path, "%s/%s/resource2", kPciDevices, directory);
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  struct stat status = {};
  if (fd < 0 || fstat(fd, &status) < 0) give_up(path);
  const size_t bytes = static_cast<size_t>(status.st_size);
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) give_up("mapping the pool");
  close(fd);
  return {static_cast<char*>(base), bytes, bar_address(directory, 2)};
}

void load_module(const char* name) {
  char path[300];
  snprintf(path, sizeof path, "/modules/%s", name);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  // 0 = no flags: a module of another kernel must be refused, not forced.
  if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)) give_up(path);
  close(fd);
}

}  // namespace

void power_off() {
  reboot(RB_AUTOBOOT);
  for (;;) pause();
}

void give_up(const char* what) {
  dprintf(STDERR_FILENO, "vcpud: %s: %s\n", what, strerror(errno));
  tcdrain(STDERR_FILENO);
  power_off();
}

void mount_file_systems() {
  // The initramfs has these folders; failures show at the first use.
  mount("dev", "/dev", "devtmpfs", 0, nullptr);
  mount("sys", "/sys", "sysfs", 0, nullptr);
  const int console = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
  if (console < 0) return;
  for (int fd = 0; fd <= 2; ++fd) dup2(console, fd);
  if (console > 2) close(console);
  termios settings = {};
  if (tcgetattr(STDIN_FILENO, &settings) == 0) {
    // Bytes are wake-ups, not lines, and must not be echoed.
    cfmakeraw(&settings);
    settings.c_oflag |= OPOST | ONLCR;
    tcsetattr(STDIN_FILENO, TCSANOW, &settings);
  }
}

void load_modules() {
  FILE* order = fopen("/modules/order", "re");
  if (!order) give_up("/modules/order");
  char line[200];
  while (fgets(line, sizeof line, order)) {
    line[strcspn(line, "\n")] = '\0';
    if (line[0] != '\0') load_module(line);
  }
  fclose(order);
}

Mapping map_pool() {
  DIR* devices = opendir(kPciDevices);
  if (!devices) give_up(kPciDevices);
  while (const dirent* entry = readdir(devices)) {
    if (entry->d_name[0] == '.') continue;
    if (read_hex(entry->d_name, "vendor") != kIvshmemVendor) continue;
    if (read_hex(entry->d_name, "device") != kIvshmemDevice) continue;
    const Mapping mapping = map_resource(entry->d_name);
    closedir(devices);
    return mapping;
  }
  errno = ENODEV;
  give_up("looking for the pool's device 1af4:1110");
}

}  // namespace revenant::machine
