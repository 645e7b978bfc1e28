// Errors of the native layer are values: 0 or -errno, as the kernel's own.
#ifndef REVENANT_KVM_ERROR_H_
#define REVENANT_KVM_ERROR_H_

#include <cerrno>

namespace revenant {

// The result of a system call that returns -1 and sets errno, as a value >= 0 or -errno.
template <typename T>
constexpr T or_errno(T result) {
  return result == static_cast<T>(-1) ? -errno : result;
}

}  // namespace revenant

#endif
