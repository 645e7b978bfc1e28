#include "devices.h"

#include "layout.h"
#include "processor.h"

namespace revenant::bare {
namespace {

// 16550 UART.
constexpr std::uint16_t kLine = 0x3f8, kLineInterrupts = kLine + 1, kLineFifo = kLine + 2,
                        kLineControl = kLine + 3, kLineModem = kLine + 4, kLineStatus = kLine + 5;
constexpr std::uint8_t kEightBits = 3, kReadyOutputs = 0x0b, kDataReady = 1;
// 8259A interrupt controllers.
constexpr std::uint16_t kPic = 0x20, kPicSecond = 0xa0;
constexpr std::uint8_t kPicInit = 0x11, kPicAutoEnd = 3, kPicLine = 1 << 4;

// docs/specs/fw_cfg.rst of QEMU. All numbers are big-endian.
constexpr std::uint16_t kAddressHigh = 0x514, kAddressLow = 0x518;
constexpr std::uint32_t kRead = 2, kSelect = 8;
// No machine has an item of this number; QEMU selects "none" for it.
constexpr std::uint32_t kNoItem = 0x3fff;

struct Transfer {
  std::uint32_t control, length;
  std::uint64_t address;
};
volatile Transfer transfer;

}  // namespace

void start_devices() {
  out8(kPic, kPicInit);
  out8(kPic + 1, BARE_VECTORS);
  out8(kPic + 1, 1 << 2);
  out8(kPic + 1, kPicAutoEnd);
  out8(kPic + 1, static_cast<std::uint8_t>(~kPicLine));
  out8(kPicSecond + 1, 0xff);
  out8(kLineControl, kEightBits);
  out8(kLineFifo, 0);
  out8(kLineModem, kReadyOutputs);
  out8(kLineInterrupts, 1);
}

void drain_line() {
  while (in8(kLineStatus) & kDataReady) in8(kLine);
}

void zero_by_device(std::uint64_t physical, std::uint32_t length) {
  transfer.length = __builtin_bswap32(length);
  transfer.address = __builtin_bswap64(physical);
  transfer.control = __builtin_bswap32(kNoItem << 16 | kSelect | kRead);
  const std::uint64_t at = BARE_MEMORY_PHYSICAL + (reinterpret_cast<std::uint64_t>(&transfer) - BARE_MEMORY);
  out32(kAddressHigh, __builtin_bswap32(static_cast<std::uint32_t>(at >> 32)));
  out32(kAddressLow, __builtin_bswap32(static_cast<std::uint32_t>(at)));  // performs it
}

}  // namespace revenant::bare
