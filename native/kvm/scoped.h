// Owners of one file descriptor or one mapping.
#ifndef REVENANT_KVM_SCOPED_H_
#define REVENANT_KVM_SCOPED_H_

#include <cstddef>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

namespace revenant {

class ScopedFd {
 public:
  ScopedFd() = default;
  explicit ScopedFd(int fd) : fd_(fd) {}
  ScopedFd(ScopedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ScopedFd& operator=(ScopedFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~ScopedFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

class ScopedMapping {
 public:
  ScopedMapping() = default;
  // Takes what mmap returned; MAP_FAILED makes an empty one.
  ScopedMapping(void* data, std::size_t size)
      : data_(data == MAP_FAILED ? nullptr : data), size_(data_ ? size : 0) {}
  ScopedMapping(ScopedMapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  ScopedMapping& operator=(ScopedMapping&& other) noexcept {
    if (this != &other) {
      reset();
      data_ = std::exchange(other.data_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  ~ScopedMapping() { reset(); }

  void* data() const { return data_; }
  std::size_t size() const { return size_; }
  explicit operator bool() const { return data_ != nullptr; }
  void reset() {
    if (data_) munmap(data_, size_);
    data_ = nullptr;
    size_ = 0;
  }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace revenant

#endif
