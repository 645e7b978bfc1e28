#include "guest_pages.h"

#include <cstring>

#include "ring0/layout.h"

namespace revenant {
namespace {

constexpr unsigned kPage = kPageSize;

std::uint64_t word(const char* at) {
  std::uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace

GuestPages::GuestPages(char* pool, std::uint64_t pool_bytes, const char* context, std::uint32_t pkru,
                       std::uint64_t physical)
    : pool_(pool),
      tables_{pool, pool_bytes, word(context + CTX_CR3), physical},
      originals_{pool, pool_bytes, word(context + CTX_ORIGINALS)},
      pkru_(pkru),
      dr7_(word(context + CTX_DR7)) {
  for (unsigned i = 0; i < 4; i++) breakpoints_[i] = word(context + CTX_DR0 + 8 * i);
}

char* GuestPages::page(std::uint64_t address, Access access) {
  Found& found = found_[static_cast<unsigned>(access)];
  const std::uint64_t wanted = address >> kPageBits;
  if (found.page == wanted) return found.at;
  char* const at = walk(address, access);
  if (at != nullptr) found = {wanted, at};
  return at;
}

// Null: error_code_ says why.
char* GuestPages::walk(std::uint64_t address, Access access) {
  const std::uint32_t kind = access == Access::write   ? kFaultWrite
                             : access == Access::fetch ? kFaultFetch
                                                       : 0;
  std::uint64_t rights;
  const std::uint64_t* const leaves = tables_.leaves(address, rights);
  const std::uint64_t entry =
      leaves ? PageTables::effective(PageTables::read(leaves + table_index(address, 1)), rights) : 0;
  error_code_ = PageTables::fault(entry, kind);
  if (error_code_ != 0) return nullptr;
  if (pkru_ != 0 && access != Access::fetch) {
    const std::uint32_t key = pkru_ >> (2 * (entry >> 59 & 15));
    if ((key & 1) != 0 || ((key & 2) != 0 && access == Access::write)) {
      error_code_ = kind | kFaultUser | kFaultPresent | kFaultKey;
      return nullptr;
    }
  }
  std::uint64_t frame = tables_.offset(entry);
  if (access == Access::fetch && (entry & kHides) != 0 && originals_.root != 0) {
    const std::uint64_t* const there = originals_.leaves(frame, rights);
    if (there != nullptr && there[table_index(frame, 1)] != 0) frame = there[table_index(frame, 1)] & kFrame;
  }
  return frame <= tables_.pool_bytes - kPageSize ? pool_ + frame : nullptr;
}

// Calls each(page's bytes, offset in the operand, how many) after all pages were found accessible.
template <class Each>
bool GuestPages::each_page(std::uint64_t address, unsigned size, Access access,
                           completion::MemoryFault& fault, Each each) {
  const unsigned in_page = static_cast<unsigned>(address) & (kPage - 1);
  const unsigned first = size < kPage - in_page ? size : kPage - in_page;
  char* const low = page(address, access);
  if (low == nullptr) {
    fault = {address, access == Access::write};
    return false;
  }
  if (first < size) {
    char* const high = page(address + first, access);
    if (high == nullptr) {
      fault = {address + first, access == Access::write};
      return false;
    }
    each(high, first, size - first);
  }
  each(low + in_page, 0u, first);
  return true;
}

bool GuestPages::read(std::uint64_t address, void* to, unsigned size, completion::MemoryFault& fault) {
  note(address, size, false);
  return each_page(address, size, Access::read, fault, [to](const char* from, unsigned at, unsigned count) {
    std::memcpy(static_cast<char*>(to) + at, from, count);
  });
}

bool GuestPages::write(std::uint64_t address, const void* from, unsigned size,
                       completion::MemoryFault& fault) {
  note(address, size, true);
  return each_page(address, size, Access::write, fault, [from](char* to, unsigned at, unsigned count) {
    std::memcpy(to, static_cast<const char*>(from) + at, count);
  });
}

bool GuestPages::writable(std::uint64_t address, unsigned size, completion::MemoryFault& fault) {
  return each_page(address, size, Access::write, fault, [](char*, unsigned, unsigned) {});
}

unsigned GuestPages::fetch(std::uint64_t address, std::uint8_t* to, unsigned size) {
  unsigned done = 0;
  while (done < size) {
    const char* const from = page(address + done, Access::fetch);
    if (from == nullptr) break;
    const unsigned in_page = static_cast<unsigned>(address + done) & (kPage - 1);
    const unsigned count = size - done < kPage - in_page ? size - done : kPage - in_page;
    std::memcpy(to + done, from + in_page, count);
    done += count;
  }
  return done;
}

// SDM vol. 3, 17.2.4: the kind of breakpoint n in bits 16 + 4n, its length in bits 18 + 4n of DR7.
void GuestPages::note(std::uint64_t address, unsigned size, bool write) {
  if ((dr7_ & 0xff) == 0) return;
  constexpr unsigned kLengths[4] = {1, 2, 8, 4};
  for (unsigned i = 0; i < 4; i++) {
    const auto kind = static_cast<unsigned>(dr7_ >> (16 + 4 * i) & 3);
    if ((dr7_ >> (2 * i) & 3) == 0 || (kind != 3 && (kind != 1 || !write))) continue;
    const unsigned length = kLengths[dr7_ >> (18 + 4 * i) & 3];
    const std::uint64_t start = breakpoints_[i] & ~std::uint64_t{length - 1};
    if (start < address + size && address < start + length) hits_ |= 1u << i;
  }
}

std::uint32_t GuestPages::take_hits() {
  const std::uint32_t hits = hits_;
  hits_ = 0;
  return hits;
}

bool GuestPages::stops_at(std::uint64_t address) const {
  for (unsigned i = 0; i < 4; i++) {
    const bool armed = (dr7_ >> (2 * i) & 3) != 0 && (dr7_ >> (16 + 4 * i) & 3) == 0;
    if (armed && breakpoints_[i] == address) return true;
  }
  return false;
}

}  // namespace revenant
