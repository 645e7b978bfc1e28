// The ioctls that take a counted list. A request number contains the argument's size, and linux/kvm.h
// declares the lists with an empty struct inside, which C++ gives a byte: its numbers are wrong in C++.
#ifndef REVENANT_KVM_LIST_REQUESTS_H_
#define REVENANT_KVM_LIST_REQUESTS_H_

#include <cstdint>

#include <linux/kvm.h>

namespace revenant {

struct ListHead {
  std::uint32_t count, padding;
};

constexpr unsigned long kGetSupportedCpuid = _IOWR(KVMIO, 0x05, ListHead);
constexpr unsigned long kSetMsrs = _IOW(KVMIO, 0x89, ListHead);
constexpr unsigned long kSetCpuid2 = _IOW(KVMIO, 0x90, ListHead);
constexpr unsigned long kGetCpuid2 = _IOWR(KVMIO, 0x91, ListHead);

}  // namespace revenant

#endif
