/**
 * The breakpoints and watchpoints that gdb has set. gdb removes all of them at each stop and
 * inserts them again before it continues; so the wanted set is kept here, and the target gets only
 * differences, before it runs.
 */
import { gva, USER_END } from '../engine/base/address.js';
import type { Predicate } from '../engine/base/predicate.js';
import type { Breakpoint, DebugTarget, Direction, WatchAccess, Watchpoint } from '../engine/target.js';
import { parseConditions } from './agent/conditions.js';
import { PacketError, parseCount, parseHex, split } from './packet/fields.js';

/** What decides of a task whether a breakpoint with these conditions stops it; undefined: always. */
type ConditionOf = (
  codes: readonly Uint8Array[],
  target: DebugTarget,
) => ((tid: number) => boolean) | undefined;

/** The conditions as predicates; undefined where one of them is none. */
type PredicatesOf = (codes: readonly Uint8Array[]) => readonly Predicate[] | undefined;

interface Wanted {
  readonly pid: number | null;
  readonly address: number;
  readonly length: number;
  /** null: a breakpoint. */
  readonly access: WatchAccess | null;
  /**
   * Requested as a hardware breakpoint: the target may implement it otherwise, but gdb expects the same type in stop
   * replies.
   */
  readonly hardware: boolean;
  readonly conditions: string;
}

/** What gdb will find at a place that it watches for writes, which it does not send with a `Z2` packet. */
export interface WatchTest {
  readonly address: number;
  readonly length: number;
  /** By the direction in which the program runs: where it stops, one of these holds. undefined: gdb finds that out. */
  readonly predicates: Readonly<Record<Direction, readonly Predicate[] | undefined>>;
}

type Installed = { readonly wanted: Wanted } & (
  { readonly breakpoint: Breakpoint } | { readonly watchpoint: Watchpoint }
);

const ACCESS: Readonly<Record<string, WatchAccess | null>> = {
  0: null,
  1: null,
  2: 'write',
  3: 'read',
  4: 'access',
};

/** `TYPE,ADDRESS,KIND[;CONDITIONS]`, after the letter of a `Z` or `z` packet. Throws PacketError. */
function parseRequest(text: string, pid: number | null): Wanted | null {
  const [place, conditions] = split(text, ';');
  const [type, addressText, kindText] = place.split(',');
  if (!(type in ACCESS)) return null;
  const access = ACCESS[type];
  const exact = parseHex(addressText ?? '');
  const address = exact < BigInt(USER_END) ? Number(exact) : USER_END;
  const length = access === null ? 1 : parseCount(kindText ?? '');
  if (access === null && address >= USER_END) throw new PacketError('not a user-space address', 14);
  return { pid, address, length, access, hardware: type === '1', conditions };
}

export class BreakpointTable {
  private readonly wanted = new Map<string, Wanted>();
  private watchTests: readonly WatchTest[] = [];
  private readonly installed = new WeakMap<DebugTarget, Map<string, Installed>>();

  constructor(
    private readonly conditionOf: ConditionOf,
    private readonly predicatesOf: PredicatesOf = () => undefined,
  ) {}

  /** A `Z` packet's contents. False: a type that does not exist. Throws PacketError. */
  insert(text: string, pid: number | null): boolean {
    const wanted = parseRequest(text, pid);
    if (!wanted) return false;
    parseConditions(wanted.conditions);
    // A watchpoint outside of user space is one that no access hits, as with debug registers.
    if (wanted.address < USER_END) this.wanted.set(keyOf(wanted), wanted);
    return true;
  }

  /** A `z` packet's contents; removing an absent one is not an error. */
  remove(text: string, pid: number | null): boolean {
    const wanted = parseRequest(text, pid);
    if (wanted) this.wanted.delete(keyOf(wanted));
    return wanted !== null;
  }

  /** Those of a process that gdb has left. */
  removeProcess(pid: number): void {
    for (const [key, wanted] of this.wanted) if (wanted.pid === pid) this.wanted.delete(key);
  }

  clear(): void {
    this.wanted.clear();
  }

  /** Of all watchpoints that have conditions, instead of what was set before. */
  testWatches(tests: readonly WatchTest[]): void {
    this.watchTests = tests;
  }

  /** The stop reason for a breakpoint there; null if gdb has none, and would ignore it. */
  kindAt(address: number): 'swbreak' | 'hwbreak' | null {
    let kind: 'swbreak' | null = null;
    for (const wanted of this.wanted.values()) {
      if (wanted.access !== null || wanted.address !== address) continue;
      if (wanted.hardware) return 'hwbreak';
      kind = 'swbreak';
    }
    return kind;
  }

  /**
   * Makes the target's breakpoints those that are wanted.
   * @param direction in which it is about to run
   */
  sync(target: DebugTarget, direction: Direction): void {
    const installed = this.installed.get(target) ?? new Map<string, Installed>();
    this.installed.set(target, installed);
    for (const [key, item] of installed) {
      const wanted = this.wanted.get(key);
      const isSame = wanted?.conditions === item.wanted.conditions;
      if (isSame && this.testOf(wanted, target, direction) === testedBy(item)) continue;
      withdraw(target, item);
      installed.delete(key);
    }
    for (const [key, wanted] of this.wanted) {
      if (!installed.has(key)) installed.set(key, this.install(target, wanted, direction));
    }
  }

  /** Those of the target's watchpoints whose conditions are tested where the program runs. */
  tested(target: DebugTarget): readonly Watchpoint[] {
    return [...(this.installed.get(target)?.values() ?? [])].flatMap((item) =>
      testedBy(item) && 'watchpoint' in item ? [item.watchpoint] : [],
    );
  }

  private testOf(
    { address, length, access }: Wanted,
    { kind }: DebugTarget,
    direction: Direction,
  ): readonly Predicate[] | undefined {
    if (access !== 'write' || kind !== 'replay') return undefined;
    const test = this.watchTests.find((each) => each.address === address && each.length === length);
    return test?.predicates[direction];
  }

  /** Removes all from a target; they remain in the wanted set. */
  withdraw(target: DebugTarget): void {
    for (const item of this.installed.get(target)?.values() ?? []) withdraw(target, item);
    this.installed.delete(target);
  }

  private install(target: DebugTarget, wanted: Wanted, direction: Direction): Installed {
    const { pid, length, access } = wanted;
    const address = gva(wanted.address);
    const codes = parseConditions(wanted.conditions);
    const condition = codes.length === 0 ? undefined : this.conditionOf(codes, target);
    if (access !== null) {
      const predicates = this.testOf(wanted, target, direction);
      const watchpoint = { pid, address, length, access, condition, predicates };
      target.addWatchpoint(watchpoint);
      return { wanted, watchpoint };
    }
    const predicates = condition && this.predicatesOf(codes);
    const breakpoint = { pid, address, condition, predicates };
    target.addBreakpoint(breakpoint);
    return { wanted, breakpoint };
  }
}

const testedBy = (item: Installed): readonly Predicate[] | undefined =>
  'watchpoint' in item ? item.watchpoint.predicates : undefined;

function withdraw(target: DebugTarget, item: Installed): void {
  if ('breakpoint' in item) target.removeBreakpoint(item.breakpoint);
  else target.removeWatchpoint(item.watchpoint);
}

const keyOf = ({ pid, address, length, access, hardware }: Wanted): string =>
  `${pid ?? 'any'} ${address} ${access ?? (hardware ? 'hbreak' : 'break')} ${length}`;
