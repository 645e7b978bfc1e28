// Native tests that need neither KVM nor Node: descriptors, exit decoding, the ring-0 image.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include <linux/kvm.h>

#include "../../native/kvm/ring0/descriptors.h"
#include "../../native/kvm/ring0/image.h"
#include "../../native/kvm/vcpu_exit.h"

namespace {

using revenant::decode_exit;
using revenant::VcpuExit;
namespace ring0 = revenant::ring0;

int failures = 0;

void check(const char* what, std::uint64_t expected, std::uint64_t seen) {
  if (expected == seen) return;
  failures++;
  std::printf("FAIL  %s: expected %#llx, seen %#llx\n", what, static_cast<unsigned long long>(expected),
              static_cast<unsigned long long>(seen));
}

std::uint64_t word(const void* base, std::size_t offset) {
  std::uint64_t value;
  std::memcpy(&value, static_cast<const char*>(base) + offset, sizeof value);
  return value;
}

// Against the values that Linux's GDT has (arch/x86/kernel/cpu/common.c).
void test_gdt() {
  unsigned char gdt[CTX_GDT_SIZE];
  ring0::write_gdt(gdt, 0xffffffff80012680, 0x12345);
  check("null descriptor", 0, word(gdt, 0));
  check("kernel code", 0x00af9b000000ffff, word(gdt, 0x10));
  check("kernel data", 0x00cf93000000ffff, word(gdt, 0x18));
  check("32-bit user code", 0x00cffb000000ffff, word(gdt, 0x20));
  check("user data", 0x00cff3000000ffff, word(gdt, 0x28));
  check("user code", 0x00affb000000ffff, word(gdt, 0x30));
  check("TSS, low half", 0x8000890126800067, word(gdt, 0x40));
  check("TSS, high half", 0xffffffff, word(gdt, 0x48));
  check("CPU number: limit", 0x12345, (word(gdt, 0x78) & 0xffff) | (word(gdt, 0x78) >> 32 & 0xf0000));
  check("CPU number: present, DPL 3, read-only, expand-down data", 0xf5, word(gdt, 0x78) >> 40 & 0xff);
}

void test_idt() {
  unsigned char idt[16 * CTX_IDT_COUNT];
  ring0::write_idt(idt, 0xffffffff80010000, 0xffffffff80010400);
  check("#PF gate", 0x80018e0000100000 | 14 * 32, word(idt, 16 * 14));
  check("#PF gate, high half", 0xffffffff, word(idt, 16 * 14 + 8));
  check("#BP can be raised by programs", 0xee, word(idt, 16 * 3) >> 40 & 0xff);
  check("#DB has its own stack", IST_DEBUG, word(idt, 16 * 1) >> 32 & 7);
  check("#GP has the fault stack", IST_FAULT, word(idt, 16 * 13) >> 32 & 7);
  check("#PF has none", 0, word(idt, 16 * 14) >> 32 & 7);
  check("int $0x80", 0x8001ee0000100400, word(idt, 16 * 0x80));
  check("int $0x21 is absent", 0, word(idt, 16 * 0x21));
}

void test_tss() {
  unsigned char tss[CTX_TSS_SIZE];
  ring0::write_tss(tss);
  const std::uint64_t rsp0 = word(tss, 4);
  check("RSP0: after ss", R0_BASE + R0_CONTEXT + CTX_REGISTERS + 8 * 21, rsp0);
  check("RSP0: aligned", 0, rsp0 % 16);
  check("first interrupt stack", R0_BASE + R0_STACKS + IST_STACK_SIZE, word(tss, 0x24));
  check("no I/O ports", CTX_TSS_SIZE, tss[0x66] | tss[0x67] << 8);
}

void test_page_tables() {
  std::vector<unsigned char> pool(R0_END, 0xff);
  ring0::write_page_tables(pool.data(), 0);
  const auto pte = [&](std::uint64_t gpa) { return word(pool.data(), R0_PT + gpa / 0x1000 * 8); };
  check("user half is empty", 0, word(pool.data(), R0_PML4));
  check("slot 511", R0_PDPT | 0x23, word(pool.data(), R0_PML4 + 8 * 511));
  check("the control block is not mapped", 0, pte(0) | pte(R0_CONTROL_SIZE - 1));
  check("nor are the page tables", 0, pte(R0_PML4) | pte(R0_PT));
  check("code: read-only, executable", R0_CODE | 0x161, pte(R0_CODE));
  check("context: writable, not executable", R0_CONTEXT | 0x163 | 1ull << 63, pte(R0_CONTEXT));
  check("nothing is for user mode", 0, (pte(R0_CODE) | pte(R0_CONTEXT) | pte(R0_XSTATE)) & 4);
}

void test_image() {
  std::vector<unsigned char> pool(R0_END + 8, 0x77);
  ring0::write_image(pool.data(), CTX_FEATURE_XSAVE, 1);
  check("features", CTX_FEATURE_XSAVE, pool[R0_CONTEXT + CTX_FEATURES]);
  check("control block untouched", 0x77, pool[0x1000]);
  check("free memory untouched", 0x77, pool[R0_END]);
  const ring0::Entries entries = ring0::entries();
  for (const std::uint64_t entry : {entries.syscall, entries.syscall_compat, entries.int80, entries.resume}) {
    check("entries lie in the code", 1,
          entry >= R0_BASE + R0_CODE && entry < R0_BASE + R0_CODE + R0_CODE_SIZE);
  }
  check("SYSCALL enters LSTAR aligned", 0, entries.syscall % 32);
}

void test_exits() {
  kvm_run run = {};
  run.exit_reason = KVM_EXIT_IO;
  run.io.port = R0_EXIT_PORT;
  run.io.direction = KVM_EXIT_IO_OUT;
  check("our out", 0, static_cast<unsigned>(decode_exit(0, run).kind));
  run.io.port = 0x70;
  const VcpuExit other = decode_exit(0, run);
  check("another port", static_cast<unsigned>(VcpuExit::Kind::unsupported),
        static_cast<unsigned>(other.kind));
  check("another port: which", 0x70, other.detail[0]);
  run.io.port = R0_EXIT_PORT;
  run.io.direction = KVM_EXIT_IO_IN;
  check("in", static_cast<unsigned>(VcpuExit::Kind::unsupported),
        static_cast<unsigned>(decode_exit(0, run).kind));
  check("a signal", static_cast<unsigned>(VcpuExit::Kind::interrupted),
        static_cast<unsigned>(decode_exit(-EINTR, run).kind));
  check("a failed ioctl", 0xffff0000u | EFAULT, decode_exit(-EFAULT, run).reason);
  run.exit_reason = KVM_EXIT_INTERNAL_ERROR;
  run.internal.suberror = 1;
  check("suberror", 1, decode_exit(0, run).detail[0]);
  run.exit_reason = 12345;
  check("an unknown reason", 12345, decode_exit(0, run).reason);
}

}  // namespace

int main() {
  test_gdt();
  test_idt();
  test_tss();
  test_page_tables();
  test_image();
  test_exits();
  std::printf("%d failed\n", failures);
  return failures > 0;
}
