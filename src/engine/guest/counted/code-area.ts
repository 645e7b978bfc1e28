import {
  PAGE_SIZE,
  USER_END,
  highWord,
  lowWord,
  pageFloor,
  type Gpa,
  type Gva,
  gva,
} from '../../base/address.js';
import type { GuestMemory } from '../../kvm/guest-memory.js';
import type { AddressSpace } from '../../mm/address-space.js';
import { takenRanges } from '../../mm/free.js';
import type { Unit } from './unit.js';
import { Area, Fix, TABLE_BYTES, slotsOf } from './layout.js';

/** As far as a copy reaches what the program addresses relative to the instruction, and itself: less than 2 GiB. */
const REACH = 0x6000_0000;
const LOWEST = 0x1_0000;
const FIRST_MARKS = 1024;
const ROOMY = 0x10_0000;

/** What the areas of one address space share: the data page and the tables of indirect transfers. */
export class SharedPages {
  readonly data: Gpa;
  /** By index in the two tables, one after the other; 0: all zeros. */
  private readonly tables: Gpa[] = new Array<Gpa>((2 * TABLE_BYTES) / PAGE_SIZE).fill(0 as Gpa);

  /** @param areas those that exist: they show new pages of the tables */
  constructor(
    private readonly space: AddressSpace,
    private readonly memory: GuestMemory,
    private readonly areas: readonly CodeArea[],
  ) {
    this.data = memory.allocate();
    // An emulator checks each store into a page of which it has translations, even of earlier content: they are dropped.
    memory.markCode(this.data);
  }

  /** The 64-bit value of the data page at `field` as two words' index. */
  field(field: number): number {
    return (this.data + field) / 4;
  }

  show(base: number): void {
    this.memory.retain(this.data);
    this.space.beside.show(gva(base), this.data, { writable: true, executable: false });
    this.tables.forEach((_, index) => this.showTable(base, index));
  }

  private showTable(base: number, index: number): void {
    const page = this.tables[index] || this.memory.retainZeros();
    if (this.tables[index] !== 0) this.memory.retain(page);
    const at = gva(base + Area.tags + index * PAGE_SIZE);
    this.space.beside.show(at, page, { writable: false, executable: false });
  }

  /** Where indirect transfers to `target` go from now on. @returns what takes it back */
  add(target: number, copy: number): () => void {
    const slots = slotsOf(target);
    const slot = slots.find((index) => this.tagAt(index) === 0 || this.tagAt(index) === -target) ?? slots[0];
    this.put(slot, target, copy);
    return () => {
      if (this.tagAt(slot) === -target) this.put(slot, 0, 0);
    };
  }

  release(): void {
    this.memory.release(this.data);
    for (const page of this.tables) if (page !== 0) this.memory.release(page);
  }

  private tagAt(slot: number): number {
    const page = this.tables[Math.floor((8 * slot) / PAGE_SIZE)];
    if (page === 0) return 0;
    const { words } = this.memory;
    const at = (page + ((8 * slot) % PAGE_SIZE)) / 4;
    return words[at + 1] === 0 && words[at] === 0 ? 0 : (words[at + 1] | 0) * 0x1_0000_0000 + words[at];
  }

  private put(slot: number, target: number, copy: number): void {
    const tag = -target;
    this.store(8 * slot, tag >>> 0, Math.floor(tag / 0x1_0000_0000) >>> 0);
    this.store(TABLE_BYTES + 8 * slot, lowWord(copy), highWord(copy));
  }

  private store(offset: number, low: number, high: number): void {
    const index = Math.floor(offset / PAGE_SIZE);
    if (this.tables[index] === 0) {
      this.tables[index] = this.memory.allocate();
      for (const { base } of this.areas) this.showTable(base, index);
    }
    const at = (this.tables[index] + (offset % PAGE_SIZE)) / 4;
    this.memory.words[at] = low;
    this.memory.words[at + 1] = high;
  }
}

/** A range of addresses, near the code that is copied into it, and the program's instruction that each copied one replaces. */
export class CodeArea {
  private readonly pages: Gpa[] = [];
  private used = 0;
  /** Of copied instructions, ascending: offset from `base`, the program's address; `Fix`, `Leave` and a register. */
  private offsets = new Uint32Array(FIRST_MARKS);
  private origins = new Float64Array(FIRST_MARKS);
  private fixes = new Uint32Array(FIRST_MARKS);
  private marks = 0;

  private constructor(
    readonly base: number,
    private readonly space: AddressSpace,
    private readonly memory: GuestMemory,
  ) {}

  /** Null where there is no room near `at`, beside the others. */
  static near(
    at: Gva,
    space: AddressSpace,
    memory: GuestMemory,
    others: readonly CodeArea[],
  ): CodeArea | null {
    const taken: Range[] = others.map(({ base: start, end }) => ({ start, end }));
    taken.push(...takenRanges(space));
    const base = roomNear(
      at,
      taken.sort((one, other) => one.start - other.start),
    );
    return base < 0 ? null : new CodeArea(base, space, memory);
  }

  get end(): number {
    return this.base + Area.size;
  }

  serves(at: Gva): boolean {
    return Math.abs(at - this.base) < REACH && Math.abs(at - this.end) < REACH;
  }

  holds(address: number): boolean {
    return address >= this.base && address < this.end;
  }

  /** Where the next unit will be. */
  get next(): number {
    return this.base + Area.code + this.used;
  }

  /** False where the area is full. Precondition: it was made for `next`. */
  append({ code }: Unit): boolean {
    const { bytes } = code;
    if (Area.code + this.used + bytes.length > Area.size) return false;
    const last = Math.floor((this.used + bytes.length - 1) / PAGE_SIZE);
    while (this.pages.length <= last) {
      const page = this.memory.allocate();
      const at = gva(this.base + Area.code + this.pages.length * PAGE_SIZE);
      this.space.beside.show(at, page, { writable: false, executable: true });
      this.pages.push(page);
    }
    for (let done = 0; done < bytes.length;) {
      const at = this.used + done;
      const count = Math.min(PAGE_SIZE - (at % PAGE_SIZE), bytes.length - done);
      this.memory.bytes.set(bytes.subarray(done, done + count), this.physical(at));
      done += count;
    }
    this.reserve(code.offsets.length);
    const start = Area.code + this.used;
    code.offsets.forEach((offset, index) => {
      this.offsets[this.marks] = start + offset;
      this.origins[this.marks] = code.origins[index];
      this.fixes[this.marks] = code.fixes[index];
      this.marks++;
    });
    this.used = Math.ceil((this.used + bytes.length) / 16) * 16;
    return true;
  }

  /** Stores an address into the word at an address of the area. */
  setWord(address: number, value: number): void {
    const at = this.physical(address - this.base - Area.code) / 4;
    this.memory.words[at] = lowWord(value);
    this.memory.words[at + 1] = highWord(value);
  }

  /**
   * Index for `originAt` and `fixAt` of the copied instruction that begins at an address, or of the part of a check that
   * it lies in; -1: there is neither.
   */
  find(address: number): number {
    const offset = address - this.base;
    let low = 0;
    let high = this.marks - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = this.offsets[middle];
      if (found === offset) return middle;
      if (found < offset) low = middle + 1;
      else high = middle - 1;
    }
    return high >= 0 && this.fixes[high] & (Fix.stack | Fix.scratch | Fix.watch) ? high : -1;
  }

  originAt(index: number): number {
    return this.origins[index];
  }

  fixAt(index: number): number {
    return this.fixes[index];
  }

  /** Whether many more units have room. */
  get isRoomy(): boolean {
    return Area.code + this.used < Area.size - ROOMY;
  }

  /** Takes its pages out of the address space. */
  remove(): void {
    // An emulator checks each store into a page of which it has translations, whatever it holds by then.
    for (const page of this.pages) this.memory.willChange(page);
    this.space.beside.remove(gva(this.base), gva(this.end));
  }

  private physical(offset: number): number {
    return this.pages[Math.floor(offset / PAGE_SIZE)] + (offset % PAGE_SIZE);
  }

  private reserve(count: number): void {
    const wanted = this.marks + count;
    if (wanted <= this.offsets.length) return;
    const size = Math.max(wanted, 2 * this.offsets.length);
    const grow = <T extends Uint32Array | Float64Array>(from: T, into: T): T => {
      into.set(from);
      return into;
    };
    this.offsets = grow(this.offsets, new Uint32Array(size));
    this.origins = grow(this.origins, new Float64Array(size));
    this.fixes = grow(this.fixes, new Uint32Array(size));
  }
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/** The middle of the largest gap between mappings within reach: the program is not likely to map anything there. */
function roomNear(at: Gva, taken: readonly Range[]): number {
  const lowest = Math.max(LOWEST, at - REACH);
  const highest = Math.min(USER_END - PAGE_SIZE, at + REACH);
  let best = -1;
  let largest: number = Area.size - 1;
  let from = lowest;
  const consider = (to: number): void => {
    const size = Math.min(to, highest) - from;
    if (size <= largest) return;
    largest = size;
    best = pageFloor(from + (size - Area.size) / 2 + PAGE_SIZE - 1);
  };
  for (const { start, end } of taken) {
    if (end <= lowest) continue;
    if (start >= highest) break;
    consider(start);
    from = Math.max(from, end);
  }
  consider(highest);
  return best;
}
