import type { Gpa, Gva } from '../base/address.js';
import { highWord, lowWord } from '../base/address.js';
import { REGISTERS_BYTES, type RegisterWords } from '../base/registers.js';
import { ContextOffset, ContextRequest, EngineSelector, MOST_FLUSHED, Ring0 } from './layout.js';

const REQUESTS = ContextOffset.requests / 4;
const VECTOR = ContextOffset.vector / 4;
const ERROR_CODE = ContextOffset.errorCode / 4;
const CR2 = ContextOffset.cr2 / 4;
const DR6 = ContextOffset.dr6 / 4;
const CR3 = ContextOffset.cr3 / 4;
const DR0 = ContextOffset.dr0 / 4;
const DR7 = ContextOffset.dr7 / 4;
const LDT = ContextOffset.ldt / 4;
const XCR0 = ContextOffset.xcr0 / 4;
const ORIGINALS = ContextOffset.originals / 4;
const FLUSH_COUNT = ContextOffset.flushCount / 4;
const FLUSH = ContextOffset.flush / 4;
const GDT = ContextOffset.gdt / 4;
/** Word ranges of `saveStop`: vector to DR6, and the debug registers. */
const STOP_RANGES = [
  [VECTOR, CR3],
  [DR0, DR7 + 2],
] as const;
/** DR7's bit that is always one; `1 << 2 * index` enables execution breakpoint `index` (SDM vol. 3, 17.2.4). */
const DR7_FIXED = 0x400;

/** Ring 0's address of the local descriptor table, as the two words of a base. */
const LDT_BASE_LOW = (0x8000_0000 + Ring0.ldt) >>> 0;
const LDT_BASE_HIGH = 0xffff_ffff;
/** Access byte of a local descriptor table's descriptor: present, type 2 (SDM vol. 3, 8.2.3). */
const LDT_ACCESS = 0x82 << 8;

/**
 * What the ring-0 stub saves on the way out and loads on the way in: typed-array views over the pool,
 * without allocation. Valid between runs only.
 *
 * The stub forces cs, ss and eflags to values that are valid for a program. It saves ds, es, fs and gs on
 * every exit, and fs_base and gs_base where CR4.FSGSBASE is on (else they stay as last set here).
 */
export class ContextPage {
  /** The program's registers, in user_regs_struct order. `orig_rax` is the engine's own. */
  readonly registers: RegisterWords;
  /** XSAVE area of 16 KiB, standard form, the hardware's layout. */
  readonly xstate: Uint8Array;
  private readonly words: Uint32Array;
  private readonly localDescriptors: Uint32Array;
  /** What was set last: tables are never changed in place. */
  private local: Uint32Array | null = null;
  private thread: Uint32Array | null = null;
  /** Debug registers that `setBreakpoint` has taken, a bit each. */
  private claimed = 0;

  /** @param poolHigh of the pool's guest-physical address: see poolHighWord() */
  constructor(
    pool: ArrayBuffer,
    private readonly poolHigh = 0,
  ) {
    this.words = new Uint32Array(pool, Ring0.context, 1024);
    this.registers = new Uint32Array(pool, Ring0.context + ContextOffset.registers, REGISTERS_BYTES / 4);
    this.xstate = new Uint8Array(pool, Ring0.xstate, Ring0.xstateSize);
    this.localDescriptors = new Uint32Array(pool, Ring0.ldt, Ring0.ldtSize / 4);
  }

  /** Why the guest left: an exception's vector (0 to 31, 0x80), or a value of layout.ts `Vector`. */
  get vector(): number {
    return this.words[VECTOR];
  }
  set vector(value: number) {
    this.words[VECTOR] = value;
  }

  /** The processor's error code; 0 for exceptions without one. */
  get errorCode(): number {
    return this.words[ERROR_CODE];
  }

  /** The address of the last page fault. */
  get cr2Low(): number {
    return this.words[CR2];
  }
  get cr2High(): number {
    return this.words[CR2 + 1];
  }

  /** After vector 1: bits 0-3 = breakpoints reached, bit 14 = single step. */
  get dr6(): number {
    return this.words[DR6];
  }

  /** What the next entry will do besides loading registers: ContextRequest bits. */
  get requests(): number {
    return this.words[REQUESTS];
  }

  /** Loads another page-table root on the next entry, which flushes the TLB. */
  requestCr3(root: Gpa): void {
    this.words[CR3] = lowWord(root);
    this.words[CR3 + 1] = this.poolHigh + highWord(root);
    this.words[REQUESTS] |= ContextRequest.cr3;
  }

  /** Flushes the TLB on the next entry: page tables of the current root changed. */
  requestFlush(): void {
    this.words[REQUESTS] |= ContextRequest.cr3;
  }

  /** The same for one page; for all, where there is no room for more. */
  requestFlushPage(address: Gva): void {
    const { words } = this;
    const count = words[REQUESTS] & ContextRequest.flushPages ? words[FLUSH_COUNT] : 0;
    if (count >= MOST_FLUSHED) return this.requestFlush();
    words[FLUSH + 2 * count] = lowWord(address);
    words[FLUSH + 2 * count + 1] = highWord(address);
    words[FLUSH_COUNT] = count + 1;
    words[REQUESTS] |= ContextRequest.flushPages;
  }

  /** Loads `xstate` on the next entry. A bad image leaves with vector 0x20d. */
  requestXrstor(): void {
    this.words[REQUESTS] |= ContextRequest.xrstor;
  }

  /** Where the service finds the originals of pages with hidden instructions: a root of page tables, or 0 (mm/originals.ts). */
  set originals(root: Gpa) {
    this.words[ORIGINALS] = lowWord(root);
    this.words[ORIGINALS + 1] = highWord(root);
  }

  /** XCR0's lower half, in force from the next entry on. Of use only where instructions are completed. */
  get xcr0(): number {
    return this.words[XCR0];
  }

  /** Sets XCR0's lower half on the next entry, before `xstate` is loaded. */
  requestXcr0(value: number): void {
    if (this.words[XCR0] === value) return;
    this.words[XCR0] = value;
    this.words[REQUESTS] |= ContextRequest.xcr0;
  }

  /** Loads fs_base and gs_base of `registers` on the next entry. */
  requestFsGsBase(): void {
    this.words[REQUESTS] |= ContextRequest.fsGsBase;
  }

  /** Loads ds, es, fs and gs of `registers` on the next entry, then the bases. */
  requestSegments(): void {
    this.words[REQUESTS] |= ContextRequest.segments;
  }

  /** Zeroes the x87 instruction and data pointers on the next entry, after loading vector state. */
  requestClearFip(): void {
    this.words[REQUESTS] |= ContextRequest.clearFip;
  }

  /** The next entry fills `xstate` and leaves again. */
  requestXsave(): void {
    this.words[REQUESTS] |= ContextRequest.xsave;
  }

  /** What the last exit left besides registers, and the debug registers: to be put back by `restoreStop`. */
  saveStop(): Uint32Array[] {
    return [...STOP_RANGES.map(([from, to]) => this.words.slice(from, to)), Uint32Array.of(this.claimed)];
  }

  /** The debug registers are in force from the next entry. */
  restoreStop(saved: readonly Uint32Array[]): void {
    STOP_RANGES.forEach(([from], index) => this.words.set(saved[index], from));
    this.claimed = saved[STOP_RANGES.length][0];
    this.words[REQUESTS] |= ContextRequest.debug;
  }

  /** The program's local descriptor table from the next entry on: two words a descriptor, all of DPL 3; null: none. */
  setLocalDescriptors(descriptors: Uint32Array | null): void {
    if (descriptors === this.local) return;
    this.local = descriptors;
    this.words[LDT] = descriptors ? EngineSelector.ldt : 0;
    this.words[REQUESTS] |= ContextRequest.ldt;
    if (!descriptors) return;
    this.localDescriptors.set(descriptors);
    const limit = 4 * descriptors.length - 1;
    const at = GDT + EngineSelector.ldt / 4;
    this.words[at] = limit | (LDT_BASE_LOW << 16);
    this.words[at + 1] = ((LDT_BASE_LOW >>> 16) & 0xff) | LDT_ACCESS | (LDT_BASE_LOW & 0xff00_0000);
    this.words[at + 2] = LDT_BASE_HIGH;
    this.words[at + 3] = 0;
  }

  /** The three descriptors of set_thread_area, two words each, all of DPL 3. Effective when a selector is loaded. */
  setThreadDescriptors(descriptors: Uint32Array): void {
    if (descriptors === this.thread) return;
    this.thread = descriptors;
    this.words.set(descriptors, GDT + EngineSelector.tls / 4);
  }

  /**
   * Forgets requests, for instance those that the processor refused; but not the table, the debug registers and XCR0, which
   * it cannot refuse: nobody would ask for them again, as what they should hold is here already.
   */
  dropRequests(): void {
    this.words[REQUESTS] &= ContextRequest.ldt | ContextRequest.debug | ContextRequest.xcr0;
  }

  /** True if one of the breakpoints of `setBreakpoint` is at the address. */
  hasBreakpoint(address: Gva): boolean {
    const [low, high] = [lowWord(address), highWord(address)];
    for (let index = 0; index < 4; index++) {
      const at = DR0 + 2 * index;
      if (this.isClaimed(index) && this.words[at] === low && this.words[at + 1] === high) return true;
    }
    return false;
  }

  /** The bits 0 to 3 of DR6 that are data breakpoints. */
  get dataBreakpoints(): number {
    let mask = 0;
    const dr7 = this.words[DR7];
    for (let index = 0; index < 4; index++)
      if (dr7 & (1 << (2 * index)) && dr7 & (3 << (16 + 4 * index))) mask |= 1 << index;
    return mask;
  }

  /**
   * Puts an execution breakpoint at a user-space address, or removes it. Effective from the next
   * entry. The caller owns the debug register until it is removed, replacing values of `setStop`
   * and `setDataBreakpoint`.
   */
  setBreakpoint(index: 0 | 1 | 2 | 3, address: Gva | null): void {
    const bit = 1 << index;
    if (address !== null) {
      this.claimed |= bit;
      this.setDebugRegister(index, address, 0);
    } else if (this.claimed & bit) {
      this.claimed &= ~bit;
      this.disable(index);
    }
  }

  /** An execution breakpoint in a debug register that is not claimed. */
  setStop(index: 0 | 1 | 2 | 3, address: Gva): void {
    this.setDebugRegister(index, address, 0);
  }

  /** Removes what `setStop` or `setDataBreakpoint` put there. */
  release(index: 0 | 1 | 2 | 3): void {
    if (!this.isClaimed(index)) this.disable(index);
  }

  /** Removes all breakpoints. */
  clearDebugRegisters(): void {
    this.claimed = 0;
    for (const index of [0, 1, 2, 3] as const) this.disable(index);
  }

  /**
   * Watches `length` bytes (1, 2, 4, 8) at an address that is a multiple of it: the program exits
   * with vector 1 right after the instruction that accessed them. Effective from the next entry.
   * @param reads also on reads; a processor cannot watch only reads
   */
  setDataBreakpoint(index: 0 | 1 | 2 | 3, address: Gva, length: number, reads: boolean): void {
    const size = length === 8 ? 2 : length - 1;
    this.setDebugRegister(index, address, (size << 2) | (reads ? 3 : 1));
  }

  /** True if a debug register is one of `setBreakpoint`'s. */
  isClaimed(index: number): boolean {
    return (this.claimed & (1 << index)) !== 0;
  }

  private disable(index: number): void {
    const before = this.words[DR7];
    if (!(before & (1 << (2 * index)))) return;
    this.words[DR7] = (before & ~((1 << (2 * index)) | (0xf << (16 + 4 * index)))) | DR7_FIXED;
    this.words[REQUESTS] |= ContextRequest.debug;
  }

  /** @param kind the register's four bits R/W and LEN (SDM vol. 3, 17.2.4) */
  private setDebugRegister(index: number, address: Gva, kind: number): void {
    const at = DR0 + 2 * index;
    const before = this.words[DR7];
    const cleared = before & ~((1 << (2 * index)) | (0xf << (16 + 4 * index)));
    const after = (cleared | (1 << (2 * index)) | (kind << (16 + 4 * index)) | DR7_FIXED) >>> 0;
    const [low, high] = [lowWord(address), highWord(address)];
    if (before === after && this.words[at] === low && this.words[at + 1] === high) return;
    this.words[at] = low;
    this.words[at + 1] = high;
    this.words[DR7] = after;
    this.words[REQUESTS] |= ContextRequest.debug;
  }
}
