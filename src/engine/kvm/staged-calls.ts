import { Reg, type RegisterWords } from '../base/registers.js';
import { ContextOffset, Ring0, StagedOffset } from './layout.js';

const LEFT = ContextOffset.stagedLeft / 4;
const NEXT = ContextOffset.stagedNext / 4;
/** GVA and size before each write's bytes. */
const WRITE_HEADER = 16;

/** Values of the registers that a staged call changes, as words of `user_regs_struct`. */
const AFTERWARDS = [
  [StagedOffset.rax, Reg.rax],
  [StagedOffset.rcx, Reg.rcx],
  [StagedOffset.r11, Reg.r11],
  [StagedOffset.eflags, Reg.eflags],
  [StagedOffset.origRax, Reg.orig_rax],
] as const;

/**
 * System calls whose results are known before the program makes them: ring 0 returns them without
 * leaving the guest, in order, as long as the program makes exactly the expected calls
 * (Ring0.staged; entry.S). A run then ends with Exit.Staged after the last one, or with any other
 * exit in between; `consumed` is the number of completed calls.
 *
 * To be accessed between runs only, but `consumed` may be read at any time. A call is staged by `begin`, `write` for
 * each of its stores, and `end`.
 */
export class StagedCalls {
  private readonly context: Uint32Array;
  private readonly words: Uint32Array;
  private readonly bytes: Uint8Array;
  private count = 0;
  /** Offset after the last completed entry. */
  private behind = 0;
  /** Of the call being staged: its offset, and the offset of its next write. */
  private start = 0;
  private cursor = 0;
  private writes = 0;

  constructor(pool: ArrayBuffer) {
    this.context = new Uint32Array(pool, Ring0.context, 1024);
    this.words = new Uint32Array(pool, Ring0.staged, Ring0.stagedSize / 4);
    this.bytes = new Uint8Array(pool, Ring0.staged, Ring0.stagedSize);
  }

  /** How many were staged since the last `clear`. */
  get staged(): number {
    return this.count;
  }

  /** How many of them the program has made. */
  get consumed(): number {
    return this.count - this.context[LEFT];
  }

  /** Removes all entries; consumed ones remain done. */
  clear(): void {
    if (this.count === 0) return;
    this.context[LEFT] = this.context[NEXT] = 0;
    this.count = this.behind = 0;
  }

  /**
   * Begins another entry.
   * @param before registers as SYSCALL must find them, the number in rax; rcx, r11, flags and
   * the selectors of code,
   *   stack and data are not compared
   * @param after what rax, rcx, r11, eflags and orig_rax will be
   * @param requests bits of ContextRequest, performed before the program goes on
   * @returns false if there is no room
   */
  begin(before: RegisterWords, after: RegisterWords, requests: number): boolean {
    this.start = this.behind;
    this.cursor = this.start + StagedOffset.data;
    this.writes = 0;
    if (this.cursor > this.bytes.length) return false;
    const at = this.start / 4;
    this.words[at + StagedOffset.requests / 4] = requests;
    for (const [offset, slot] of AFTERWARDS) {
      this.words[at + offset / 4] = after[2 * slot];
      this.words[at + offset / 4 + 1] = after[2 * slot + 1];
    }
    this.words.set(before, at + StagedOffset.registers / 4);
    return true;
  }

  /**
   * Adds a store to the call being staged.
   * @param size bytes, from 1
   * @returns where its bytes go, or null if there is no room
   */
  write(addressLow: number, addressHigh: number, size: number): Uint8Array | null {
    const at = this.cursor;
    const data = at + WRITE_HEADER;
    if (size > this.bytes.length - data) return null;
    this.words[at / 4] = addressLow;
    this.words[at / 4 + 1] = addressHigh;
    this.words[at / 4 + 2] = size;
    this.words[at / 4 + 3] = 0;
    this.cursor = (data + size + 7) & ~7;
    this.writes++;
    return this.bytes.subarray(data, data + size);
  }

  /** The call is complete: it is the next after those staged before. */
  end(): void {
    const at = this.start / 4;
    this.words[at + StagedOffset.size / 4] = this.cursor - this.start;
    this.words[at + StagedOffset.writes / 4] = this.writes;
    this.words[at + StagedOffset.writes / 4 + 1] = 0;
    this.behind = this.cursor;
    this.count++;
    this.context[LEFT]++;
  }
}
