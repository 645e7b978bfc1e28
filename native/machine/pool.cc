#include "pool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>

namespace revenant::machine {
namespace {

// The machine clears one range between two polls of the keeper.
constexpr uint64_t kMaxRangeBytes = 64ull << 20;

}  // namespace

Pool::~Pool() {
  if (control_) munmap(control_, kControlBlockBytes);
  if (fd_ >= 0) close(fd_);
}

int Pool::create(uint64_t bytes) {
  fd_ = memfd_create("revenant-pool", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd_ < 0 || ftruncate(fd_, static_cast<off_t>(kPoolFileOffset + bytes)) < 0) return errno;
  // A client cannot make the emulator or us fault by shrinking the file.
  if (fcntl(fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) return errno;
  void* mapped = mmap(nullptr, kControlBlockBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, kPoolFileOffset);
  if (mapped == MAP_FAILED) return errno;
  control_ = mapped;
  bytes_ = bytes;
  area()->pool_mib = static_cast<uint32_t>(bytes >> 20);
  return 0;
}

MachineArea* Pool::area() const {
  return reinterpret_cast<MachineArea*>(static_cast<char*>(control_) + kAreaOffset);
}

uint32_t Pool::ranges_in_use(uint64_t from, PoolRange* ranges, uint32_t max, uint64_t* next) const {
  uint32_t count = 0;
  uint64_t at = std::max<uint64_t>(from, kControlBlockBytes);
  while (count < max && at < bytes_) {
    const off_t start = lseek(fd_, static_cast<off_t>(kPoolFileOffset + at), SEEK_DATA);
    if (start < 0) {  // ENXIO: nothing above
      at = bytes_;
      break;
    }
    const off_t hole = lseek(fd_, start, SEEK_HOLE);
    if (hole <= start) {
      at = bytes_;
      break;
    }
    const uint64_t length = std::min<uint64_t>(static_cast<uint64_t>(hole - start), kMaxRangeBytes);
    const uint64_t gpa = static_cast<uint64_t>(start) - kPoolFileOffset;
    ranges[count++] = {gpa, length};
    at = gpa + length;
  }
  *next = at;
  return count;
}

int Pool::discard() {
  const off_t from = kPoolFileOffset + kControlBlockBytes;
  const off_t length = static_cast<off_t>(bytes_ - kControlBlockBytes);
  return fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, length) < 0 ? errno : 0;
}

}  // namespace revenant::machine
