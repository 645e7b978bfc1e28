// A pool of guest memory that this process makes.
#ifndef REVENANT_TRANSPORT_POOL_MEMORY_H_
#define REVENANT_TRANSPORT_POOL_MEMORY_H_

#include <cstddef>

#include "../kvm/scoped.h"

namespace revenant {

struct PoolMemory {
  ScopedFd file;
  ScopedMapping mapping;

  // A sparse pool of zeros, whose size nobody can change. `bytes` is a multiple of the page size. 0 or
  // -errno.
  int open(std::size_t bytes);
};

}  // namespace revenant

#endif
