#include "shadow.h"

#include "system.h"

namespace revenant::process {
namespace {

constexpr std::uint64_t kTable = kPageSize;
constexpr std::uint64_t kLeafSpan = kTableEntries * kPageSize;

void unmap(std::uint64_t address, std::uint64_t bytes) { system_call(SYS_munmap, address, bytes); }

}  // namespace

Shadow::Shadow(std::uint64_t memory, std::uint64_t bytes, std::uint64_t base, std::uint64_t end)
    : base_(base), limit_(end) {
  addresses_ = reinterpret_cast<std::uint64_t*>(memory);
  leaves_ = reinterpret_cast<char*>(memory + bytes / kTable * sizeof(std::uint64_t));
  upper_ = end_ = reinterpret_cast<char*>(memory + bytes);
  root_ = take_upper();
}

std::uint64_t* Shadow::take_upper() {
  if (leaves_ + (leaf_count_ + 1) * kTable > upper_ - kTable) return nullptr;
  upper_ -= kTable;
  return reinterpret_cast<std::uint64_t*>(upper_);
}

std::uint64_t* Shadow::entry(std::uint64_t address) {
  std::uint64_t* table = root_;
  for (int level = 4; level > 1; level--) {
    std::uint64_t& slot = table[table_index(address, level)];
    if (slot == 0 && level > 2) {
      std::uint64_t* const made = take_upper();
      if (!made) return nullptr;
      slot = word(made);
    } else if (slot == 0) {
      char* const leaf = leaves_ + leaf_count_ * kTable;
      if (leaf + kTable > upper_) return nullptr;
      addresses_[leaf_count_++] = address & ~(kLeafSpan - 1);
      slot = word(leaf);
    }
    table = reinterpret_cast<std::uint64_t*>(slot);
  }
  return &table[table_index(address, 1)];
}

void Shadow::follow(const PageTables& tables) {
  for (std::uint64_t at = 0; at < leaf_count_; at++) {
    auto* const entries = reinterpret_cast<std::uint64_t*>(leaves_ + at * kTable);
    std::uint64_t rights;
    const std::uint64_t* const now = tables.leaves(addresses_[at], rights);
    int from = -1;  // of a run to be unmapped
    for (int i = 0; i <= kTableEntries; i++) {
      const bool stale =
          i < kTableEntries && entries[i] != 0 && (!now || entries[i] != mapping_of(now[i], rights));
      if (stale) {
        entries[i] = 0;
        if (from < 0) from = i;
      } else if (from >= 0) {
        unmap(addresses_[at] + from * kPageSize, (i - from) * kPageSize);
        mappings_++;  // it may have split one
        from = -1;
      }
    }
  }
}

void Shadow::drop() {
  unmap(0, base_);
  unmap(limit_, kUserEnd - limit_);
  zero_bytes(leaves_, leaf_count_ * kTable);
  zero_bytes(upper_, end_ - upper_);
  leaf_count_ = mappings_ = 0;
  upper_ = end_;
  root_ = take_upper();
}

}  // namespace revenant::process
