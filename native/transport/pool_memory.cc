#include "pool_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kvm/error.h"

namespace revenant {

int PoolMemory::open(std::size_t bytes) {
  file.reset(memfd_create("revenant-pool", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file || ftruncate(file.get(), static_cast<off_t>(bytes)) < 0) return -errno;
  // Who else has the file cannot make us fault by shrinking it.
  if (fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) return -errno;
  void* const data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.get(), 0);
  if (data == MAP_FAILED) return -errno;
  mapping = ScopedMapping(data, bytes);
  return 0;
}

}  // namespace revenant
