// The emulated machine's only program: performs, in ring 0 and without an operating system, the commands that
// a client outside writes into the pool's control block.
//
// It spins for a moment after a command and then sleeps; a byte on the serial line, which keeper and client
// write where `asleep` says so, wakes it. The same byte interrupts a program that runs. There is no timer: a
// machine that nobody uses takes no time.

#include <cstdint>

#include "../kvm/ring0/image.h"
#include "../machine/machine_area.h"
#include "devices.h"
#include "layout.h"
#include "vcpu.h"

namespace revenant::bare {
namespace {

using machine::kMaxClear;
using machine::kMaxStale;
using machine::MachineArea;
using machine::PoolRange;

constexpr std::uint64_t kPage = 4096;
// Some 400 us: longer than the client needs for most frames.
constexpr int kSpins = 100'000;

char* const pool = reinterpret_cast<char*>(BARE_POOL);
MachineArea* const area = reinterpret_cast<MachineArea*>(pool + machine::kAreaOffset);

class Server {
 public:
  // Reports that the machine is ready, then serves until it ends.
  [[noreturn]] void serve();

 private:
  bool work();
  bool is_wanted() const;
  void rest();
  void clear_ranges();
  void drop_stale();
  std::uint64_t length_in_pool(const PoolRange& range) const;

  Vcpu vcpu_{pool, machine::kPoolPhysical};
};

// The range's length limited to the pool, 0 outside of it: the words are untrusted.
std::uint64_t Server::length_in_pool(const PoolRange& range) const {
  const std::uint64_t bytes = std::uint64_t{area->pool_mib} << 20;
  if (range.gpa < machine::kControlBlockBytes || range.gpa >= bytes) return 0;
  return range.length < bytes - range.gpa ? range.length : bytes - range.gpa;
}

void Server::clear_ranges() {
  const std::uint32_t count = area->clear_count < kMaxClear ? area->clear_count : kMaxClear;
  for (std::uint32_t i = 0; i < count; i++) {
    const PoolRange range = area->clear[i];
    // The keeper's ranges are shorter than 4 GiB.
    zero_by_device(machine::kPoolPhysical + range.gpa, static_cast<std::uint32_t>(length_in_pool(range)));
  }
  __atomic_store_n(&area->clear_done, area->clear_request, __ATOMIC_RELEASE);
}

// The bytes do not change, but are zero for a moment.
void drop(std::uint64_t at, std::uint64_t length) {
  static std::uint64_t kept[kPage / 8];
  while (length > 0) {
    const std::uint64_t count = length < kPage ? length : kPage;
    __builtin_memcpy(kept, pool + at, count);
    zero_by_device(machine::kPoolPhysical + at, static_cast<std::uint32_t>(count));
    __builtin_memcpy(pool + at, kept, count);
    at += count;
    length -= count;
  }
}

void Server::drop_stale() {
  const std::uint32_t count = area->stale_count < kMaxStale ? area->stale_count : kMaxStale;
  for (std::uint32_t i = 0; i < count; i++) drop(area->stale[i].gpa, length_in_pool(area->stale[i]));
  __atomic_store_n(&area->stale_count, 0, __ATOMIC_RELEASE);
}

// Performs a requested command; false if there is none.
bool Server::work() {
  Control* const c = vcpu_.control();
  const std::uint32_t request = c->request_seq.load(std::memory_order_acquire);
  if (request != c->complete_seq.load(std::memory_order_relaxed)) {
    if (__atomic_load_n(&area->stale_count, __ATOMIC_ACQUIRE) != 0) drop_stale();
    c->result = vcpu_.execute();
    c->complete_seq.store(request, std::memory_order_release);
    return true;
  }
  if (__atomic_load_n(&area->clear_request, __ATOMIC_ACQUIRE) != area->clear_done) {
    clear_ranges();
    return true;
  }
  return false;
}

bool Server::is_wanted() const {
  const Control* const c = vcpu_.control();
  return c->request_seq.load(std::memory_order_acquire) != c->complete_seq.load(std::memory_order_relaxed) ||
         __atomic_load_n(&area->clear_request, __ATOMIC_ACQUIRE) != area->clear_done;
}

// Who requests something looks at `asleep` afterwards, and this looks for requests after it has set it; both
// with a barrier in between.
void Server::rest() {
  area->asleep.store(1, std::memory_order_relaxed);
  drain_line();
  if (!is_wanted()) wait_for_line();
  area->asleep.store(0, std::memory_order_relaxed);
  drain_line();
}

void Server::serve() {
  start_devices();
  vcpu_.leave_pool();
  __atomic_store_n(&area->ready, machine::kReadyMagic, __ATOMIC_RELEASE);
  for (int idle = 0;; idle++) {
    if (work()) idle = 0;
    if (idle < kSpins) continue;
    rest();
    idle = 0;
  }
}

}  // namespace
}  // namespace revenant::bare

extern "C" {

[[noreturn]] void bare_main() { revenant::bare::Server().serve(); }

// Where a program goes on that a byte on the line has interrupted: the stub's exit if it is to end, else
// itself.
std::uint64_t bare_after_interrupt() {
  using namespace revenant;
  bare::drain_line();
  const auto* const control = reinterpret_cast<const Control*>(bare::pool);
  const bool ends = control->kick.load(std::memory_order_acquire) != 0;
  return ends ? ring0::bare_entries().leave : ring0::entries().resume;
}

// The compiler's.
void* memcpy(void* to, const void* from, std::size_t count) {
  void* at = to;
  asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(count)::"memory");
  return to;
}

void* memset(void* to, int value, std::size_t count) {
  void* at = to;
  asm volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(value) : "memory");
  return to;
}
}
