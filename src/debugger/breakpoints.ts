/**
 * The breakpoints and watchpoints that gdb wants. gdb takes all of them out at each stop and puts them in again
 * before it goes on; so what is wanted is kept here, and the target is told of differences only, before it runs.
 */
import { gva, USER_END } from '../engine/base/address.js';
import type { Breakpoint, DebugTarget, WatchAccess, Watchpoint } from '../engine/target.js';
import { parseConditions } from './agent/conditions.js';
import { PacketError, parseCount, split } from './packet/fields.js';

/** What decides of a task whether a breakpoint with these conditions stops it; undefined: always. */
type ConditionOf = (
  codes: readonly Uint8Array[],
  target: DebugTarget,
) => ((tid: number) => boolean) | undefined;

interface Wanted {
  readonly pid: number | null;
  readonly address: number;
  readonly length: number;
  /** null: a breakpoint. */
  readonly access: WatchAccess | null;
  /** Asked for as a hardware breakpoint: how the target does it is its affair, but gdb wants the same word back. */
  readonly hardware: boolean;
  readonly conditions: string;
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

/** `TYPE,ADDRESS,KIND[;CONDITIONS]`, behind the letter of a `Z` or `z` packet. Throws PacketError. */
function parseRequest(text: string, pid: number | null): Wanted | null {
  const [place, conditions] = split(text, ';');
  const [type, addressText, kindText] = place.split(',');
  if (!(type in ACCESS)) return null;
  const access = ACCESS[type];
  const address = parseCount(addressText ?? '');
  const length = access === null ? 1 : parseCount(kindText ?? '');
  if (address >= USER_END) throw new PacketError('not a user-space address', 14);
  return { pid, address, length, access, hardware: type === '1', conditions };
}

export class BreakpointTable {
  private readonly wanted = new Map<string, Wanted>();
  private readonly installed = new WeakMap<DebugTarget, Map<string, Installed>>();

  constructor(private readonly conditionOf: ConditionOf) {}

  /** A `Z` packet's contents. False: a type that does not exist. Throws PacketError. */
  insert(text: string, pid: number | null): boolean {
    const wanted = parseRequest(text, pid);
    if (!wanted) return false;
    parseConditions(wanted.conditions);
    this.wanted.set(keyOf(wanted), wanted);
    return true;
  }

  /** A `z` packet's contents; to remove what is not there is no error. */
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

  /** What a stop at a breakpoint there is called; null where gdb has none, and would not believe it. */
  kindAt(address: number): 'swbreak' | 'hwbreak' | null {
    let kind: 'swbreak' | null = null;
    for (const wanted of this.wanted.values()) {
      if (wanted.access !== null || wanted.address !== address) continue;
      if (wanted.hardware) return 'hwbreak';
      kind = 'swbreak';
    }
    return kind;
  }

  /** Makes the target's breakpoints those that are wanted. */
  sync(target: DebugTarget): void {
    const installed = this.installed.get(target) ?? new Map<string, Installed>();
    this.installed.set(target, installed);
    for (const [key, item] of installed) {
      if (this.wanted.get(key)?.conditions === item.wanted.conditions) continue;
      withdraw(target, item);
      installed.delete(key);
    }
    for (const [key, wanted] of this.wanted) {
      if (!installed.has(key)) installed.set(key, this.install(target, wanted));
    }
  }

  /** Leaves a target without any; they are wanted all the same. */
  withdraw(target: DebugTarget): void {
    for (const item of this.installed.get(target)?.values() ?? []) withdraw(target, item);
    this.installed.delete(target);
  }

  private install(target: DebugTarget, wanted: Wanted): Installed {
    const { pid, length, access } = wanted;
    const address = gva(wanted.address);
    const codes = parseConditions(wanted.conditions);
    const condition = codes.length === 0 ? undefined : this.conditionOf(codes, target);
    if (access !== null) {
      const watchpoint = { pid, address, length, access, condition };
      target.addWatchpoint(watchpoint);
      return { wanted, watchpoint };
    }
    const breakpoint = { pid, address, condition };
    target.addBreakpoint(breakpoint);
    return { wanted, breakpoint };
  }
}

function withdraw(target: DebugTarget, item: Installed): void {
  if ('breakpoint' in item) target.removeBreakpoint(item.breakpoint);
  else target.removeWatchpoint(item.watchpoint);
}

const keyOf = ({ pid, address, length, access, hardware }: Wanted): string =>
  `${pid ?? 'any'} ${address} ${access ?? (hardware ? 'hbreak' : 'break')} ${length}`;
