#include "translations.h"

#include <endian.h>
#include <sys/io.h>
#include <algorithm>
#include <cstring>

namespace revenant::machine {
namespace {

// docs/specs/fw_cfg.rst of QEMU. All numbers are big-endian.
constexpr unsigned short kSignaturePort = 0x514, kAddressHighPort = 0x514, kAddressLowPort = 0x518;
constexpr unsigned kPorts = 8;
constexpr char kSignature[] = "QEMU CFG";
constexpr uint32_t kError = 1, kRead = 2, kSelect = 8;
// No machine has an item of this number; QEMU selects "none" for it.
constexpr uint32_t kNoItem = 0x3fff;

constexpr uint64_t kChunk = 4096;
// Every word is stored to, which drops all translations in it. Below this many bytes stores cost less than
// the device.
constexpr uint64_t kFewBytes = 64;

void store_over(char* bytes, uint64_t length) {
  volatile char* at = bytes;
  for (; length > 0 && reinterpret_cast<uintptr_t>(at) % 8 != 0; --length, ++at) *at = *at;
  for (; length >= 8; length -= 8, at += 8) {
    auto* const word = reinterpret_cast<volatile uint64_t*>(at);
    *word = *word;
  }
  for (; length > 0; --length, ++at) *at = *at;
}

}  // namespace

Translations::Translations(const Mapping& pool)
    : pool_(pool), transfer_(&reinterpret_cast<MachineArea*>(pool.base + kAreaOffset)->transfer) {
  has_device_ = try_device();
}

bool Translations::try_device() {
  if (pool_.physical == 0 || ioperm(kSignaturePort, kPorts, 1) != 0) return false;
  const uint32_t signature[] = {inl(kSignaturePort), inl(kSignaturePort + 4)};
  if (std::memcmp(signature, kSignature, sizeof signature) != 0) return false;
  transfer_->trial = ~0u;
  const uint64_t trial = kAreaOffset + offsetof(MachineArea, transfer) + offsetof(DeviceTransfer, trial);
  return zero_by_device(trial, sizeof transfer_->trial) &&
         *const_cast<volatile uint32_t*>(&transfer_->trial) == 0;
}

bool Translations::zero_by_device(uint64_t gpa, uint64_t length) {
  transfer_->length = htobe32(static_cast<uint32_t>(length));
  transfer_->address = htobe64(pool_.physical + gpa);
  __atomic_store_n(&transfer_->control, htobe32(kNoItem << 16 | kSelect | kRead), __ATOMIC_RELEASE);
  const uint64_t at = pool_.physical + kAreaOffset + offsetof(MachineArea, transfer);
  outl(htobe32(static_cast<uint32_t>(at >> 32)), kAddressHighPort);
  outl(htobe32(static_cast<uint32_t>(at)), kAddressLowPort);  // performs it
  return __atomic_load_n(&transfer_->control, __ATOMIC_ACQUIRE) == 0;
}

void Translations::drop(uint64_t gpa, uint64_t length) {
  if (!has_device_ || length <= kFewBytes) return store_over(pool_.base + gpa, length);
  alignas(16) static char kept[kChunk];
  for (uint64_t done = 0; done < length;) {
    const uint64_t count = std::min(kChunk, length - done);
    char* const bytes = pool_.base + gpa + done;
    std::memcpy(kept, bytes, count);
    const bool dropped = zero_by_device(gpa + done, count);
    std::memcpy(bytes, kept, count);
    if (!dropped) store_over(bytes, count);
    done += count;
  }
}

void Translations::clear(uint64_t gpa, uint64_t length) {
  if (has_device_ && zero_by_device(gpa, length)) return;
  std::memset(pool_.base + gpa, 0, length);
}

}  // namespace revenant::machine
