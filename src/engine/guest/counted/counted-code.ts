import { PAGE_SIZE, highWord, lowWord, pageFloor, type Gva, gva, offsetBy } from '../../base/address.js';
import { invariant } from '../../base/errors.js';
import { Reg, getSigned, ripOf, setSigned, type RegisterWords } from '../../base/registers.js';
import type { GuestMemory } from '../../kvm/guest-memory.js';
import { Pte } from '../../kvm/page-tables.js';
import type { AddressSpace } from '../../mm/address-space.js';
import type { CodeKeeper } from '../../mm/beside-mappings.js';
import { isShared, Prot } from '../../mm/vma.js';
import { MAX_INSTRUCTION_LENGTH } from '../../x86/decode.js';
import type { ValueWatches } from '../stops/value-watches.js';
import { CodeArea, SharedPages } from './code-area.js';
import {
  Area,
  Fix,
  LEAVE_MASK,
  LEAVE_SHIFT,
  Leave,
  NEGATED,
  REGISTER_SHIFT,
  watchedField,
} from './layout.js';
import { translate } from './translate.js';
import { ALWAYS, isSameStop, type CountedStop, type Unit } from './unit.js';

/** A page that is written more often between executions holds data as well: copying it does not pay. */
const MAX_WRITES = 256;
/** Entries of the program after which what is watched no more is forgotten. */
const MAX_UNWATCHED = 4096;
/** Unconditional stops that copies keep after their removal, and the hits after which one of them is compiled out. */
const MAX_KEPT = 8;
const MAX_KEPT_HITS = 4;
/** Units copied before the program comes to them, at a time. */
const UNITS_AHEAD = 64;

/** By the addresses of instructions. */
export type CountedStops = ReadonlyMap<number, CountedStop>;

/** How a copy was left, and how many branches were left by then. `inCheck`: while it found out whether to stop. */
interface LeftCopy {
  readonly leave: Leave;
  readonly left: number;
  readonly inCheck: boolean;
  /** While it found out whether watched memory has changed. */
  readonly inWatch: boolean;
}

interface PageCopies {
  /** By offset in the page: address of the copy, from the area's base; negative: it leaves at once; 0: none. */
  readonly starts: Int32Array;
  /** By offset in the page of an unconditional stop: the copy of its instruction, behind the INT3, from the area's base. */
  readonly passing: Map<number, number>;
  readonly area: CodeArea;
  /** What is to be undone when the copies are given up. */
  readonly undo: (() => void)[];
}

/** What a slot of a unit tells, while it goes to `stub`. */
interface OpenExit {
  readonly area: CodeArea;
  readonly slot: number;
  readonly stub: number;
}

/**
 * Copies of a program's code that count its conditional branches and end where a number of them was executed: exact
 * ticks at almost the program's own speed. The program and everybody else see the code itself: `enter` puts rip into a
 * copy right before the guest runs, and `leave` puts the program's rip and registers back when it left.
 */
export class CountedCode implements CodeKeeper {
  private readonly pages = new Map<Gva, PageCopies>();
  private readonly areas: CodeArea[] = [];
  private shared: SharedPages | null = null;
  private readonly exits = new Map<number, OpenExit>();
  /** Exits that go to their stubs because there is no copy of their target, by that. */
  private readonly open = new Map<Gva, OpenExit[]>();
  /** Targets of exits that were made last. */
  private readonly ahead: Gva[] = [];
  /** How often a page was written since it was copied first. */
  private readonly writes = new Map<Gva, number>();
  /** Pages that begin with the end of the last instruction of the page before, which is copied. */
  private readonly continued = new Set<Gva>();
  private stops: CountedStops = new Map();
  /** Removed stops that are still compiled in, by their hits since the removal; the one removed first is the first. */
  private readonly kept = new Map<number, number>();
  /** What copies look at, and how often the program was entered since anybody wanted that. */
  private watched: ValueWatches | null = null;
  private unwatched = 0;
  private readonly window = new Uint8Array(PAGE_SIZE + MAX_INSTRUCTION_LENGTH);
  /** The exit that was taken last, or the target of an indirect transfer; to be known when the program goes on. */
  private taken: OpenExit | null = null;
  private wanted = -1;
  /** A stop that the program was halted at before it was reported: the next entry is to report it; or -1. */
  private arrived = -1;
  /** Written since the program was entered last. */
  private readonly written = new Set<Gva>();
  /** See `Source.loops`. Pages that were copied before stay as they are until `forgetAll`. */
  copiesLoops = false;

  constructor(
    private readonly space: AddressSpace,
    private readonly memory: GuestMemory,
  ) {}

  /**
   * Before which instructions the copies leave. A removed stop without a condition stays compiled in for a while: an
   * event's place is watched and unwatched for each frame, and often that of the next frame, too.
   */
  stopAt(stops: CountedStops): void {
    if (stops === this.stops) return;
    this.arrived = -1;
    for (const [address, stop] of stops) {
      const isThere = isSameStop(stop, this.kept.has(address) ? ALWAYS : this.stops.get(address));
      this.kept.delete(address);
      if (!isThere) this.forget(pageFloor(gva(address)));
    }
    for (const [address, stop] of this.stops)
      if (!stops.has(address)) {
        if (stop.length > 0) this.forget(pageFloor(gva(address)));
        else this.keep(address);
      }
    this.stops = stops;
  }

  private keep(address: number): void {
    this.kept.set(address, 0);
    const [eldest] = this.kept.keys();
    if (this.kept.size > MAX_KEPT) this.drop(eldest);
  }

  /** Counts a hit, if the stop is one of those that are only kept. */
  private hit(address: number): void {
    const hits = this.kept.get(address);
    if (hits === undefined) return;
    this.kept.set(address, hits + 1);
    if (hits + 1 === MAX_KEPT_HITS) this.drop(address);
  }

  private drop(address: number): void {
    this.kept.delete(address);
    this.forget(pageFloor(gva(address)));
  }

  /** What the copies look at behind stores. */
  watch(watched: ValueWatches | null): void {
    if (watched === null) return this.watchNothing();
    const isOther = watched !== this.watched && !watched.isSame(this.watched);
    this.watched = watched;
    this.unwatched = 0;
    if (isOther) this.forgetAll();
  }

  /** Copies that look for a change do no harm for a while: watchpoints are often taken away and set again. */
  private watchNothing(): void {
    const { watched, space } = this;
    if (watched === null || (++this.unwatched < MAX_UNWATCHED && watched.isThere(space))) return;
    this.watched = null;
    this.forgetAll();
  }

  /** Branches left, while the guest runs: only about right. */
  get leftNow(): number {
    return this.field(Area.left);
  }

  /** True if the code at an address cannot be copied, for what lies around it. */
  isForeign(address: Gva): boolean {
    return (this.writes.get(pageFloor(address)) ?? 0) > MAX_WRITES || !this.guard(address);
  }

  /**
   * Puts rip into the copy of what it is at.
   * @param left conditional branches that may be executed
   * @returns false where there is none: the instruction is to be executed by itself
   */
  enter(registers: RegisterWords, left: number): boolean {
    const rip = ripOf(registers);
    const { taken, wanted, written, arrived } = this;
    this.taken = null;
    this.wanted = this.arrived = -1;
    // The program would be sent out again by the same store, if the page were guarded again.
    const writesItself = rip >= 0 && written.has(pageFloor(rip));
    written.clear();
    if (rip < 0 || writesItself) return false;
    if (wanted >= 0 && !this.addTarget(gva(wanted))) return false;
    const copy = this.copyAt(rip);
    if (taken && copy !== 0) this.link(taken, rip, Math.abs(copy));
    const entry = copy < 0 && arrived !== rip ? this.passingCopy(rip) : Math.abs(copy);
    if (entry === 0) return false;
    this.copyAhead();
    this.setField(Area.left, left);
    this.keepValues();
    setSigned(registers, Reg.rip, entry);
    return true;
  }

  /** Whether the program stands where its flags cannot be told, until it has gone on by a few instructions. */
  isBetweenFlags(registers: RegisterWords): boolean {
    const rip = ripOf(registers);
    const area = this.areas.find((each) => each.holds(rip));
    const index = area?.find(rip) ?? -1;
    return area !== undefined && index >= 0 && (area.fixAt(index) & Fix.flags) !== 0;
  }

  /**
   * Puts rip and the registers back to the program's. Precondition: `enter` was true, and the guest has left since.
   * @param byInt3 by #BP
   * @param isHalted the caller only wants the registers: a stop is reported after the next `enter`
   */
  leave(registers: RegisterWords, byInt3: boolean, isHalted: boolean): LeftCopy {
    let left = this.field(Area.left);
    this.readValues();
    const rip = ripOf(registers);
    const area = this.areas.find((each) => each.holds(rip));
    if (!area) return { leave: Leave.none, left, inCheck: false, inWatch: false };
    const at = byInt3 ? rip - 1 : rip;
    const index = area.find(at);
    invariant(index >= 0, `the copy at ${at.toString(16)} replaces an instruction`);
    const fix = area.fixAt(index);
    const here = ((fix >> LEAVE_SHIFT) & LEAVE_MASK) as Leave;
    const leave = byInt3 ? here : Leave.none;
    if ((!byInt3 || isHalted) && (here === Leave.stop || here === Leave.direct))
      this.arrived = area.originAt(index);
    const inCheck = !byInt3 && (fix & (Fix.stack | Fix.scratch | Fix.watch)) !== 0;
    const inWatch = inCheck && (fix & Fix.watch) !== 0;
    if (fix & Fix.rcx) this.restore(registers, Reg.rcx, Area.rcx);
    if (fix & Fix.rax) this.restore(registers, Reg.rax, Area.rax);
    if (fix & Fix.stack) this.restore(registers, Reg.rsp, Area.stack);
    if (fix & Fix.scratch) {
      this.restore(registers, Reg.eflags, Area.flags);
      this.restore(registers, Reg.rax, Area.checkRax);
      this.restore(registers, Reg.rcx, Area.checkRcx);
      this.restore(registers, Reg.rdx, Area.checkRdx);
    }
    if (fix & Fix.spare) {
      const counter = fix >> REGISTER_SHIFT;
      if (fix & Fix.counter) left += getSigned(registers, counter);
      this.restore(registers, counter, Area.spare);
    }
    if (fix & Fix.uncount) left++;
    if (fix & Fix.target) this.restore(registers, Reg.rip, Area.target);
    else setSigned(registers, Reg.rip, area.originAt(index));
    if (leave === Leave.direct) this.taken = this.exits.get(at) ?? null;
    if (leave === Leave.indirect) this.wanted = this.field(Area.target);
    if (leave === Leave.stop) this.hit(ripOf(registers));
    return { leave, left, inCheck, inWatch };
  }

  /** After a page fault in a check: whether the page is there now. */
  fill(address: Gva, errorCode: number): boolean {
    return address >= 0 && this.space.fault(address, errorCode);
  }

  changes(start: Gva, end: Gva): void {
    if (this.areas.some(({ base, end: last }) => base < end && last > start)) return this.forgetAll();
    if (end - start > PAGE_SIZE) {
      for (const page of this.pages.keys()) if (page + PAGE_SIZE > start && page < end) this.forget(page);
      for (const page of this.continued) if (page >= start && page < end) this.changePage(page);
      return;
    }
    const page = pageFloor(start);
    if (this.pages.has(page)) {
      this.written.add(page);
      this.writes.set(page, (this.writes.get(page) ?? 0) + 1);
    }
    this.changePage(page);
  }

  private changePage(page: Gva): void {
    this.forget(page);
    if (this.continued.delete(page)) this.forget(offsetBy(page, -PAGE_SIZE));
  }

  /** Gives up all copies and the areas. */
  forgetAll(): void {
    for (const area of this.areas) area.remove();
    this.areas.length = 0;
    this.shared?.release();
    this.shared = null;
    this.pages.clear();
    this.kept.clear();
    this.exits.clear();
    this.open.clear();
    this.ahead.length = 0;
    this.continued.clear();
    this.taken = null;
  }

  private forget(page: Gva): void {
    const undo = this.pages.get(page)?.undo ?? [];
    this.pages.delete(page);
    for (const each of undo) each();
  }

  /** Address of the copy of the instruction at `rip`; negative where that leaves at once; 0: there can be none. */
  private copyAt(rip: Gva): number {
    const known = this.knownCopy(rip);
    if (known !== 0) return known;
    const page = pageFloor(rip);
    return this.isForeign(rip) ? 0 : this.copy(page, rip - page);
  }

  private knownCopy(rip: Gva): number {
    const page = pageFloor(rip);
    const copies = this.pages.get(page);
    const known = copies?.starts[rip - page] ?? 0;
    return copies && known !== 0 ? Math.sign(known) * (copies.area.base + Math.abs(known)) : 0;
  }

  /** The copy behind the INT3 of the stop at `rip`; 0 where the instruction is to be executed by itself. */
  private passingCopy(rip: Gva): number {
    const page = pageFloor(rip);
    const copies = this.pages.get(page);
    const passing = copies?.passing.get(rip - page);
    return copies && passing !== undefined ? copies.area.base + passing : 0;
  }

  /**
   * Copies what a unit goes to from pages that are copied already, and so on: to find that out when the program comes there
   * would be an exit each.
   */
  private copyAhead(): void {
    for (let count = 0; count < UNITS_AHEAD; count++) {
      const target = this.ahead.pop();
      if (target === undefined) return;
      const copies = this.pages.get(pageFloor(target));
      if (copies?.area.isRoomy && this.knownCopy(target) === 0) this.copyAt(target);
    }
    this.ahead.length = 0;
  }

  private copy(page: Gva, entry: number): number {
    const length = this.space.read(page, this.window);
    const copies = this.copiesOf(page);
    if (!copies || length <= entry) return 0;
    const { area, starts } = copies;
    const unit = translate({
      page,
      bytes: this.window.subarray(0, length),
      entry,
      at: area.next,
      area: area.base,
      known: (offset) => (starts[offset] === 0 ? 0 : area.base + Math.abs(starts[offset])),
      stopAt: (address) => (this.kept.has(address) ? ALWAYS : (this.stops.get(address) ?? null)),
      hides: this.space.hides,
      watched: this.watched,
      loops: this.copiesLoops,
    });
    if (unit.straddles && !this.guardNext(page)) return 0;
    const at = area.next - area.base;
    if (!area.append(unit)) {
      this.forgetAll();
      return this.copy(page, entry);
    }
    for (const [offset, start] of unit.starts) starts[offset] = Math.sign(start) * (at + Math.abs(start) - 1);
    for (const [offset, start] of unit.passing) copies.passing.set(offset, at + start);
    for (const offset of unit.returns) this.addKnown(offsetBy(page, offset));
    this.linkUnit(unit, page, copies, area.base + at);
    const start = starts[entry];
    return Math.sign(start) * (area.base + Math.abs(start));
  }

  /** Connects a new unit with what is there: its exits with copies of their targets, and exits that wait for it. */
  private linkUnit(unit: Unit, page: Gva, { area, starts }: PageCopies, at: number): void {
    for (const offset of unit.starts.keys()) {
      const target = offsetBy(page, offset);
      const open = this.open.get(target);
      if (!open) continue;
      this.open.delete(target);
      for (const exit of open) this.link(exit, target, area.base + Math.abs(starts[offset]));
    }
    for (const { slot, stub, target } of unit.exits) {
      const exit = { area, slot: at + slot, stub: at + stub };
      this.exits.set(exit.stub, exit);
      const copy = this.knownCopy(target);
      if (copy !== 0) this.link(exit, target, Math.abs(copy));
      else {
        this.ahead.push(target);
        this.open.set(target, [...(this.open.get(target) ?? []), exit]);
      }
    }
  }

  private guardNext(page: Gva): boolean {
    const next = offsetBy(page, PAGE_SIZE);
    if (this.isForeign(next)) return false;
    this.continued.add(next);
    return true;
  }

  private copiesOf(page: Gva): PageCopies | null {
    let copies = this.pages.get(page);
    if (copies) return copies;
    const area = this.areaFor(page);
    if (!area) return null;
    copies = { starts: new Int32Array(PAGE_SIZE), passing: new Map(), area, undo: [] };
    this.pages.set(page, copies);
    return copies;
  }

  private areaFor(page: Gva): CodeArea | null {
    const found = this.areas.find((area) => area.serves(page));
    if (found) return found;
    const area = CodeArea.near(page, this.space, this.memory, this.areas);
    if (!area) return null;
    this.shared ??= new SharedPages(this.space, this.memory, this.areas);
    this.shared.show(area.base);
    this.areas.push(area);
    return area;
  }

  private link({ area, slot, stub }: OpenExit, target: Gva, copy: number): void {
    if (!this.areas.includes(area)) return;
    area.setWord(slot, copy);
    this.pages.get(pageFloor(target))?.undo.push(() => {
      if (this.areas.includes(area)) area.setWord(slot, stub);
    });
  }

  /** @returns false where there is no copy of the target */
  private addTarget(target: Gva): boolean {
    return target >= 0 && this.copyAt(target) !== 0 && this.addKnown(target);
  }

  private addKnown(target: Gva): boolean {
    const copy = this.knownCopy(target);
    if (copy === 0 || !this.shared) return false;
    this.pages.get(pageFloor(target))?.undo.push(this.shared.add(target, Math.abs(copy)));
    return true;
  }

  /**
   * Sees to it that stores to a page of code are noticed (`changes`) before the program executes what was stored.
   * @returns false where that cannot be: what lies there is not executable, or other mappings may change it
   */
  private guard(at: Gva): boolean {
    const { space } = this;
    const vma = space.vmas.find(at);
    if (!vma || !(vma.prot & Prot.exec) || isShared(vma) || space.pageForRead(at) === 0) return false;
    const entry = space.processorEntry(pageFloor(at));
    const { words } = this.memory;
    if (words[entry] & Pte.writable) {
      words[entry] = (words[entry] & ~Pte.writable) >>> 0;
      space.stale.add(pageFloor(at));
    }
    return true;
  }

  /** What is watched is what the copies have looked at. */
  private keepValues(): void {
    const { watched } = this;
    if (!watched) return;
    watched.capture(this.space);
    watched.before.forEach((value, index) => {
      this.setWide(watchedField(index), value);
      this.setWide(watchedField(index) + NEGATED, BigInt.asUintN(64, -value));
    });
  }

  /** Where they have seen changes that were no stops. */
  private readValues(): void {
    const { watched, shared } = this;
    if (!watched || !shared) return;
    watched.before.forEach((_, index) => {
      const at = shared.field(watchedField(index));
      const [low, high] = [this.memory.words[at], this.memory.words[at + 1]];
      watched.before[index] = (BigInt(high) << 32n) | BigInt(low);
    });
  }

  private setWide(field: number, value: bigint): void {
    if (!this.shared) return;
    const at = this.shared.field(field);
    this.memory.words[at] = Number(value & 0xffff_ffffn);
    this.memory.words[at + 1] = Number(value >> 32n);
  }

  /** Signed. */
  private field(field: number): number {
    if (!this.shared) return -1;
    const at = this.shared.field(field);
    return (this.memory.words[at + 1] | 0) * 0x1_0000_0000 + this.memory.words[at];
  }

  private setField(field: number, value: number): void {
    if (!this.shared) return;
    const at = this.shared.field(field);
    this.memory.words[at] = lowWord(value);
    this.memory.words[at + 1] = highWord(value);
  }

  private restore(registers: RegisterWords, slot: number, field: number): void {
    if (!this.shared) return;
    const at = this.shared.field(field);
    registers[2 * slot] = this.memory.words[at];
    registers[2 * slot + 1] = this.memory.words[at + 1];
  }
}
