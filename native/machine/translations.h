// The emulator's translations of code in the pool.
//
// QEMU keeps translations by page of its memory. A store of its own processor drops those that have one of
// the stored bytes in them (accel/tcg/cputlb.c, notdirty_write), and does so slowly: while a page has any
// left, each store takes locks and walks the list of all of them. A transfer by a device drops those of a
// whole range at once (softmmu/physmem.c, invalidate_and_set_dirty). The one device that every PC of QEMU has
// for that is the firmware's configuration, docs/specs/fw_cfg.rst: it copies items into memory, and zeros for
// an item that does not exist. A page of a program's code takes some 10 us this way and some milliseconds
// with stores.
#ifndef REVENANT_MACHINE_TRANSLATIONS_H
#define REVENANT_MACHINE_TRANSLATIONS_H

#include <cstdint>

#include "guest_setup.h"
#include "machine_area.h"

namespace revenant::machine {

class Translations {
 public:
  // Tries the device once; without it everything is done by stores.
  explicit Translations(const Mapping& pool);

  // Drops the translations of these bytes of the pool, which do not change. No other access may
  // happen in the meantime: they are zero for a moment.
  void drop(uint64_t gpa, uint64_t length);

  // The same, and leaves zeros.
  void clear(uint64_t gpa, uint64_t length);

 private:
  bool try_device();
  bool zero_by_device(uint64_t gpa, uint64_t length);

  const Mapping pool_;
  DeviceTransfer* const transfer_;
  bool has_device_ = false;
};

}  // namespace revenant::machine

#endif
