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
  masks_ = addresses_ + bytes / kTable;
  leaves_ = reinterpret_cast<char*>(masks_ + bytes / kTable * kMaskWords);
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

// The mask of an entry's table, and the entry's index in both.
std::uint64_t* Shadow::mask_of(const std::uint64_t* entry, int& index) const {
  const auto offset = static_cast<std::uint64_t>(reinterpret_cast<const char*>(entry) - leaves_);
  index = static_cast<int>(offset % kTable / sizeof *entry);
  return masks_ + offset / kTable * kMaskWords;
}

void Shadow::mapped(std::uint64_t* first, int count, std::uint64_t value) {
  int index;
  std::uint64_t* const mask = mask_of(first, index);
  for (int i = 0; i < count; i++) {
    first[i] = value + static_cast<std::uint64_t>(i) * kPageSize;
    mask[(index + i) / 64] |= 1ull << ((index + i) % 64);
  }
  mappings_++;
}

void Shadow::unmap_page(std::uint64_t page) {
  std::uint64_t* const mapping = entry(page);
  if (!mapping || *mapping == 0) return;
  int index;
  std::uint64_t* const mask = mask_of(mapping, index);
  mask[index / 64] &= ~(1ull << (index % 64));
  *mapping = 0;
  unmap(page, kPageSize);
  mappings_++;  // it may have split one
}

void Shadow::follow(const PageTables& tables) {
  for (std::uint64_t at = 0; at < leaf_count_; at++) {
    auto* const entries = reinterpret_cast<std::uint64_t*>(leaves_ + at * kTable);
    std::uint64_t* const mask = masks_ + at * kMaskWords;
    std::uint64_t rights = 0;
    const std::uint64_t* const now = tables.leaves(addresses_[at], rights);
    int from = -1, to = -1;  // of what is to be unmapped; in between nothing is mapped that stays
    const auto unmap_run = [&] {
      if (from < 0) return;
      unmap(addresses_[at] + from * kPageSize, (to - from) * kPageSize);
      mappings_++;  // it may have split one
      from = -1;
    };
    for (int word = 0; word < kMaskWords; word++) {
      for (std::uint64_t left = mask[word]; left != 0; left &= left - 1) {
        const int i = word * 64 + __builtin_ctzll(left);
        if (now && entries[i] == mapping_of(now[i], rights)) {
          unmap_run();
          continue;
        }
        entries[i] = 0;
        mask[word] &= ~(1ull << (i % 64));
        if (from < 0) from = i;
        to = i + 1;
      }
    }
    unmap_run();
  }
}

void Shadow::drop() {
  unmap(0, base_);
  unmap(limit_, kUserEnd - limit_);
  zero_bytes(leaves_, leaf_count_ * kTable);
  zero_bytes(masks_, leaf_count_ * kMaskWords * sizeof *masks_);
  zero_bytes(upper_, end_ - upper_);
  leaf_count_ = mappings_ = 0;
  upper_ = end_;
  root_ = take_upper();
}

}  // namespace revenant::process
