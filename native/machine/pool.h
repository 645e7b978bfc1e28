// The keeper's guest-physical pool: a memfd shared with the emulator and with the client.
#ifndef REVENANT_MACHINE_POOL_H
#define REVENANT_MACHINE_POOL_H

#include <cstdint>

#include "machine_area.h"

namespace revenant::machine {

// Owns the memfd; maps only the control block.
class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  // Makes a sparse pool. Returns 0 or a positive errno.
  int create(uint64_t bytes);

  int fd() const { return fd_; }
  uint64_t bytes() const { return bytes_; }
  void* control() const { return control_; }
  MachineArea* area() const;

  // Writes up to `max` ranges of pages in use at or above `from` (control block excluded) and returns
  // their count; *next is where to go on, or bytes() at the end.
  uint32_t ranges_in_use(uint64_t from, PoolRange* ranges, uint32_t max, uint64_t* next) const;

  // Frees all memory except the control block; it reads as zeros afterwards.
  int discard();

 private:
  int fd_ = -1;
  uint64_t bytes_ = 0;
  void* control_ = nullptr;
};

}  // namespace revenant::machine

#endif
