import { PAGE_SIZE, pageFloor, type Gpa, type Gva, offsetBy } from '../../base/address.js';
import { Reg, type RegisterWords } from '../../base/registers.js';
import { wordsToGva } from '../../base/address.js';
import type { Predicate } from '../../base/predicate.js';
import type { GuestMemory } from '../../kvm/guest-memory.js';
import type { Machine } from '../../kvm/machine.js';
import { PTE_NX_HIGH, Pte } from '../../kvm/page-tables.js';
import { type AddressSpace } from '../../mm/address-space.js';
import { PageFault } from '../../x86/constants.js';
import { MAX_INSTRUCTION_LENGTH } from '../../x86/decode.js';
import { operandSize } from './access.js';
import { CodeOverlays } from './code-overlays.js';
import { patchAround } from './patched-code.js';
import { StopPlan, type DebugRegister } from './stop-plan.js';
import type { Breakpoint, Watchpoint } from '../../target.js';
import type { ValueWatches } from './value-watches.js';

/** Of a task, what breakpoints depend on. */
export interface StoppableTask {
  readonly space: AddressSpace;
  readonly group: { readonly tgid: number };
}

/** A plan, and of what it was made. */
interface Planned {
  readonly plan: StopPlan;
  readonly space: AddressSpace;
  readonly patches: number;
}

const NO_TESTS: ReadonlyMap<Gva, readonly Predicate[]> = new Map();
/** Some milliseconds' worth, as copies of the code for the tests are. */
const HOT_MISSES = 32;
const NO_HITS: readonly Watchpoint[] = [];
const NO_PAGES: ReadonlyMap<Gva, readonly number[]> = new Map();

/** What holds during the next run. */
export const Suppress = {
  nothing: 0,
  /** Breakpoints: to execute the instruction under one. */
  breakpoints: 1,
  /** And watched pages: to execute an instruction that touches one. */
  everything: 2,
  /** All of it, debug registers too. */
  off: 3,
} as const;
export type Suppress = (typeof Suppress)[keyof typeof Suppress];

interface Armed {
  readonly entry: number;
  readonly low: number;
  readonly high: number;
}

interface Access {
  readonly start: number;
  readonly end: number;
  readonly writes: boolean;
  readonly before: Map<Watchpoint, Uint8Array>;
}

/**
 * Execution breakpoints and watchpoints on a guest, whatever makes it run: a replay or a diversion.
 *
 * `arm` before the guest runs and `disarm` when it left: in between nothing else may read or change guest
 * memory. While it is disarmed, guest memory holds no trace of breakpoints.
 *
 * Watchpoints are debug registers, of those that are not claimed, and beyond that pages that the program may not
 * touch: whoever runs the guest executes the accesses one by one (`isGuard`, `beginAccess`, `endAccess`). Breakpoints are
 * the debug registers that are left, in the order in which they were asked for, which the program cannot see, and beyond
 * that INT3 in a copy of the code page, which the page tables show instead: a program that reads its code sees it. In a
 * page that cannot be executed there are none, for its bytes are data (gdb leaves breakpoints on the stack, where calls
 * return to). One inside of an instruction that the recorder has made longer is after that instead.
 */
export class GuestStops {
  /** INT3 was in code that the program might read. */
  hadOverlays = false;
  suppress: Suppress = Suppress.nothing;
  private readonly breakpoints = new Set<Breakpoint>();
  private readonly watchpoints = new Set<Watchpoint>();
  private readonly overlays: CodeOverlays;
  private readonly plans = new Map<number, Planned>();
  /** What page-table entries the vCPU may have in its translation cache, of `seenSpace` only. */
  private readonly seen = new Map<Gva, Armed>();
  private seenSpace: AddressSpace | null = null;
  private changed = false;
  /** Since the breakpoints were changed. */
  private misses = 0;
  private readonly armed: Armed[] = [];
  private isArmed = false;
  private readonly assigned: (Watchpoint | null)[] = [null, null, null, null];
  /** Pages with INT3, as armed last. */
  private overlaid = NO_PAGES;
  private access: Access | null = null;

  /** @param hasDataBreakpoints debug registers stop data accesses on this machine (ProbeReport.dataBreakpoints) */
  constructor(
    private readonly machine: Machine,
    private readonly memory: GuestMemory,
    private readonly hasDataBreakpoints: boolean,
  ) {
    this.overlays = new CodeOverlays(memory);
  }

  addBreakpoint(breakpoint: Breakpoint): void {
    this.breakpoints.add(breakpoint);
    this.change();
  }

  removeBreakpoint(breakpoint: Breakpoint): void {
    if (this.breakpoints.delete(breakpoint)) this.change();
  }

  addWatchpoint(watchpoint: Watchpoint): void {
    this.watchpoints.add(watchpoint);
    this.change();
  }

  removeWatchpoint(watchpoint: Watchpoint): void {
    if (this.watchpoints.delete(watchpoint)) this.change();
  }

  /** Takes all breakpoints and watchpoints away, others may be added; the function that is returned undoes both. */
  suspend(): () => void {
    const [breakpoints, watchpoints] = [[...this.breakpoints], [...this.watchpoints]];
    this.replace([], []);
    return () => this.replace(breakpoints, watchpoints);
  }

  /** What is set, to be compared by identity. */
  get points(): readonly (Breakpoint | Watchpoint)[] {
    return [...this.breakpoints, ...this.watchpoints];
  }

  private replace(breakpoints: readonly Breakpoint[], watchpoints: readonly Watchpoint[]): void {
    this.breakpoints.clear();
    this.watchpoints.clear();
    for (const breakpoint of breakpoints) this.breakpoints.add(breakpoint);
    for (const watchpoint of watchpoints) this.watchpoints.add(watchpoint);
    this.change();
  }

  /** The breakpoints of a task at an address. */
  breakpointsAt(task: StoppableTask, address: Gva): readonly Breakpoint[] {
    return this.planOf(task).breakpoints.get(address) ?? [];
  }

  /** Where a task stops, and what is to hold there; another map after every change. */
  testsFor(task: StoppableTask): ReadonlyMap<Gva, readonly Predicate[]> {
    return this.suppress === Suppress.nothing ? this.planOf(task).tests : NO_TESTS;
  }

  /** The watchpoints that copies of code find; null: there are none, or nothing is there to be watched. */
  valuesFor(task: StoppableTask): ValueWatches | null {
    if (this.suppress !== Suppress.nothing) return null;
    const { values } = this.planOf(task);
    return values?.isThere(task.space) ? values : null;
  }

  /** The watchpoints of changed values that were hit since the program was last armed. */
  changedBy(task: StoppableTask, registers: RegisterWords): readonly Watchpoint[] {
    const { values } = this.planOf(task);
    return values === null || this.suppress === Suppress.off ? NO_HITS : values.hits(task.space, registers);
  }

  /** What is watched is what it is now. */
  lookAgain(task: StoppableTask): void {
    this.planOf(task).values?.capture(task.space);
  }

  /** Whether a watchpoint is one of those that only `changedBy` finds. */
  isOfChange(task: StoppableTask, watch: Watchpoint): boolean {
    return this.planOf(task).values?.includes(watch) ?? false;
  }

  /** What one of those has, before and after the write that hit it. */
  valuesOf(task: StoppableTask, watch: Watchpoint): { before: Uint8Array; after: Uint8Array } | undefined {
    const { values } = this.planOf(task);
    if (!values?.includes(watch)) return undefined;
    return { before: values.bytesBefore(watch), after: valueOf(task, watch) };
  }

  /** An arrival at a breakpoint was not meant. */
  missed(): void {
    this.misses++;
  }

  /** So many arrivals were not meant that testing them where the program runs pays, and that can be done. */
  isHot(task: StoppableTask): boolean {
    if (this.suppress === Suppress.off) return false;
    const plan = this.planOf(task);
    return plan.values !== null || (plan.isConditional && this.misses >= HOT_MISSES);
  }

  /** True if the task would stop at once at `address`. False while the guest runs: it is past that. */
  stopsAt(task: StoppableTask, address: Gva): boolean {
    if (this.isArmed || this.suppress !== Suppress.nothing) return false;
    return this.planOf(task).breakpoints.has(address);
  }

  /**
   * Puts everything in place for a run of the task; once more after Exit.Pending does nothing.
   * @param finds what whoever runs it finds by itself (`valuesFor`)
   */
  arm(task: StoppableTask, finds: ValueWatches | null = null): void {
    if (this.isArmed) return;
    this.isArmed = true;
    if (!finds) this.lookAgain(task);
    const { space } = task;
    const plan = this.planOf(task);
    if (this.seenSpace !== space || this.changed) {
      this.seen.clear();
      this.seenSpace = space;
      if (this.changed) space.stale.addAll();
      this.changed = false;
    }
    const denied = this.assignRegisters(plan, finds);
    for (const [page, offsets] of this.overlaid) this.armPage(space, page, offsets, denied?.get(page) ?? 0);
    if (denied)
      for (const [page, deny] of denied) if (!this.overlaid.has(page)) this.armPage(space, page, null, deny);
  }

  /** Guest memory is what the program made of it again. */
  disarm(): void {
    this.isArmed = false;
    const { words } = this.memory;
    for (const { entry, low, high } of this.armed) {
      words[entry] = low;
      words[entry + 1] = high;
    }
    this.armed.length = 0;
  }

  /**
   * After a page fault, disarmed: it happened only because the page is watched or holds breakpoints. The
   * instruction is to be single-stepped with Suppress.everything.
   */
  isGuard(task: StoppableTask, address: Gva, errorCode: number): boolean {
    if (
      address < 0 ||
      this.suppress >= Suppress.everything ||
      errorCode & (PageFault.reserved | PageFault.key)
    )
      return false;
    const page = pageFloor(address);
    const plan = this.planOf(task);
    const isWatched = plan.watchedPages.has(page);
    if (!this.overlaid.has(page) && !isWatched) return false;
    const entry = task.space.processorEntry(page);
    const low = entry === 0 ? 0 : this.memory.words[entry];
    if (!(low & Pte.present) || !(isWatched || this.isExecutable(entry))) return false;
    return !(errorCode & PageFault.write) || (low & Pte.writable) !== 0;
  }

  /** Before the instruction at rip is executed, for the fault that `isGuard` knew. */
  beginAccess(task: StoppableTask, address: Gva, errorCode: number): void {
    const { registers } = this.machine.context;
    const rip = wordsToGva(registers[2 * Reg.rip], registers[2 * Reg.rip + 1]);
    const code = new Uint8Array(MAX_INSTRUCTION_LENGTH);
    const length = rip < 0 ? 0 : task.space.read(rip, code);
    const size = operandSize(code.subarray(0, length));
    const fetch = (errorCode & PageFault.fetch) !== 0;
    this.access = {
      start: address,
      end: fetch ? address : address + size,
      writes: (errorCode & PageFault.write) !== 0,
      before: new Map(this.planOf(task).watchpoints.map((watch) => [watch, valueOf(task, watch)])),
    };
  }

  /** After it: what it hit. */
  endAccess(task: StoppableTask): Watchpoint[] {
    const { access } = this;
    this.access = null;
    if (!access) return [];
    return this.planOf(task).watchpoints.filter((watch) => {
      const before = access.before.get(watch);
      const differs = before !== undefined && Buffer.compare(before, valueOf(task, watch)) !== 0;
      if (differs) return watch.access !== 'read';
      const touched = access.start < watch.address + watch.length && watch.address < access.end;
      return touched && (access.writes ? watch.access !== 'read' : watch.access !== 'write');
    });
  }

  /** The watchpoints of the debug registers that DR6 names. */
  hitBy(dr6: number): Watchpoint[] {
    const hit = this.assigned.filter((watch, index) => watch !== null && dr6 & (1 << index));
    return [...new Set(hit)] as Watchpoint[];
  }

  /** Whether accesses of so many bytes at these addresses hit one of them. */
  hitAt(dr6: number, addresses: readonly bigint[], size: number): boolean {
    return this.hitBy(dr6).some(({ address, length }) =>
      addresses.some((at) => at < address + length && address < at + BigInt(size)),
    );
  }

  /** The watchpoints that a write by the kernel (or what replaces it) to the task's memory hits. */
  hitByWrite(task: StoppableTask, start: number, size: number): Watchpoint[] {
    if (this.watchpoints.size === 0) return [];
    return this.planOf(task).watchpoints.filter(
      (watch) =>
        watch.access !== 'read' && start < watch.address + watch.length && watch.address < start + size,
    );
  }

  /** Takes everything away. */
  clear(): void {
    this.disarm();
    this.breakpoints.clear();
    this.watchpoints.clear();
    this.change();
    for (const index of [0, 1, 2, 3] as const) this.freeRegister(index);
    this.overlays.clear();
  }

  private change(): void {
    this.plans.clear();
    this.changed = true;
    this.misses = 0;
  }

  private planOf({ group: { tgid }, space }: StoppableTask): StopPlan {
    const known = this.plans.get(tgid);
    if (known?.space === space && known.patches === space.patches) return known.plan;
    const placeOf = (address: Gva): Gva => {
      const patch = patchAround(space, address);
      return patch && patch.start !== address ? patch.end : address;
    };
    const plan = new StopPlan(tgid, this.breakpoints, this.watchpoints, placeOf);
    this.plans.set(tgid, { plan, space, patches: space.patches });
    plan.values?.capture(space);
    return plan;
  }

  private freeRegister(index: DebugRegister): void {
    this.assigned[index] = null;
    this.machine.context.release(index);
  }

  /** Gives debug registers to watchpoints, then to breakpoints. Watched pages that none was left for, or null. */
  private assignRegisters(plan: StopPlan, finds: ValueWatches | null): Map<Gva, number> | null {
    const { context } = this.machine;
    const watches = this.suppress >= Suppress.everything ? [] : plan.watches;
    const free = ([3, 2, 1, 0] as const).filter((index) => !context.isClaimed(index));
    // Behind single steps an emulated processor reports watchpoints once more that were hit before.
    const useRegisters = this.hasDataBreakpoints && this.suppress === Suppress.nothing;
    let used = 0;
    let denied: Map<Gva, number> | null = null;
    for (const { watch, pieces } of watches) {
      // Behind a single step the values are compared.
      if (plan.values?.includes(watch) && (finds || this.suppress !== Suppress.nothing)) continue;
      if (useRegisters && pieces && used + pieces.length <= free.length) {
        for (const { address, length } of pieces) {
          const index = free[used++];
          context.setDataBreakpoint(index, address, length, watch.access !== 'write');
          this.assigned[index] = watch;
        }
        continue;
      }
      denied ??= new Map<Gva, number>();
      const deny = watch.access === 'write' ? Pte.writable : Pte.present;
      for (
        let page = pageFloor(watch.address);
        page < watch.address + watch.length;
        page = offsetBy(page, PAGE_SIZE)
      )
        denied.set(page, (denied.get(page) ?? 0) | deny);
    }
    let breaks = 0;
    const count = this.suppress === Suppress.nothing ? plan.addresses.length : 0;
    for (; breaks < count && used < free.length; breaks++, used++) {
      this.assigned[free[used]] = null;
      context.setStop(free[used], plan.addresses[breaks]);
    }
    for (; used < free.length; used++) this.freeRegister(free[used]);
    this.overlaid = plan.pagesBeyond(breaks);
    return denied;
  }

  private armPage(space: AddressSpace, page: Gva, offsets: readonly number[] | null, deny: number): void {
    let entry = space.processorEntry(page);
    if (entry === 0 && offsets && space.pageForRead(page) !== 0) entry = space.processorEntry(page);
    if (entry === 0) return;
    const { words } = this.memory;
    const low = words[entry];
    const high = words[entry + 1];
    this.armed.push({ entry, low, high });
    if (low & Pte.present) {
      if (offsets && this.suppress === Suppress.nothing && this.isExecutable(entry))
        this.showOverlay(space, entry, offsets);
      if (this.suppress < Suppress.everything) words[entry] = (words[entry] & ~deny) >>> 0;
    }
    const seen = this.seen.get(page);
    if ((seen?.low ?? low) !== words[entry] || (seen?.high ?? high) !== words[entry + 1])
      space.stale.add(page);
    this.seen.set(page, { entry, low: words[entry], high: words[entry + 1] });
  }

  private isExecutable(entry: number): boolean {
    return (this.memory.words[entry + 1] & PTE_NX_HIGH) === 0;
  }

  private showOverlay(space: AddressSpace, entry: number, offsets: readonly number[]): void {
    this.hadOverlays = true;
    const original = space.tables.shown(entry) as number as Gpa; // perhaps a copy itself
    space.tables.showReadOnly(entry, this.overlays.of(original, offsets));
  }
}

function valueOf(task: StoppableTask, { address, length }: Watchpoint): Uint8Array {
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, task.space.read(address, bytes));
}
