// CPUID of the processor that this runs on, in the form of KVM_GET_SUPPORTED_CPUID.
#ifndef REVENANT_KVM_CPUID_LIST_H_
#define REVENANT_KVM_CPUID_LIST_H_

#include <cpuid.h>

#include "control.h"

namespace revenant {

class CpuidList {
 public:
  // `components`: of XCR0, what programs can have. Leaf 0xD has no others.
  CpuidList(CpuidPayload& list, std::uint64_t components) : list_(list), components_(components) {
    list_.count = 0;
    const std::uint32_t last = range(0);
    for (std::uint32_t leaf = 0; leaf <= last; leaf++) add_leaf(leaf);
    const std::uint32_t extended = range(0x8000'0000);
    for (std::uint32_t leaf = 0x8000'0000; leaf <= extended; leaf++) add_leaf(leaf);
  }

 private:
  static std::uint32_t range(std::uint32_t first) {
    std::uint32_t eax = 0, ebx, ecx, edx;
    __cpuid_count(first, 0, eax, ebx, ecx, edx);
    return eax >= first && eax < first + 0x100 ? eax : first;
  }

  CpuidEntry* add(std::uint32_t leaf, std::uint32_t index, bool indexed) {
    if (list_.count >= kMaxCpuidEntries) return nullptr;
    CpuidEntry& entry = list_.entries[list_.count++];
    entry = {leaf, index, indexed ? 1u : 0u, 0, 0, 0, 0, {}};
    __cpuid_count(leaf, index, entry.eax, entry.ebx, entry.ecx, entry.edx);
    return &entry;
  }

  void add_leaf(std::uint32_t leaf) {
    switch (leaf) {
      case 0xd:
        return add_xsave();
      case 7:
      case 0x14:
      case 0x17:
      case 0x18:
      case 0x1d:
      case 0x20: {
        const CpuidEntry* const first = add(leaf, 0, true);
        const std::uint32_t last = first ? first->eax : 0;
        for (std::uint32_t index = 1; index <= last && index < 32; index++) add(leaf, index, true);
        return;
      }
      case 4:
      case 0xb:
      case 0x1f:
      case 0x8000'001d:
        for (std::uint32_t index = 0; index < 32; index++) {
          const CpuidEntry* const entry = add(leaf, index, true);
          const std::uint32_t kind = !entry                             ? 0
                                     : leaf == 4 || leaf == 0x8000'001d ? entry->eax & 31
                                                                        : entry->ecx >> 8 & 255;
          if (kind == 0) return;
        }
        return;
      default:
        add(leaf, 0, false);
    }
  }

  void add_xsave() {
    if (CpuidEntry* const root = add(0xd, 0, true)) {
      root->eax = static_cast<std::uint32_t>(components_);
      root->edx = static_cast<std::uint32_t>(components_ >> 32);
    }
    add(0xd, 1, true);
    for (std::uint32_t bit = 2; bit < 63; bit++)
      if (components_ >> bit & 1) add(0xd, bit, true);
  }

  CpuidPayload& list_;
  const std::uint64_t components_;
};

}  // namespace revenant

#endif
