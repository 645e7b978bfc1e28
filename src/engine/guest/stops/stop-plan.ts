import { PAGE_SIZE, pageFloor, type Gva, offsetBy } from '../../base/address.js';
import type { Predicate } from '../../base/predicate.js';
import type { Breakpoint, Watchpoint } from '../../target.js';
import { ValueWatches } from './value-watches.js';

export type DebugRegister = 0 | 1 | 2 | 3;

interface Piece {
  readonly address: Gva;
  readonly length: number;
}

/** Debug registers of a processor. */
const DEBUG_REGISTERS = 4;

type Pages = ReadonlyMap<Gva, readonly number[]>;

/** What of all breakpoints and watchpoints concerns one thread group. Pure. */
export class StopPlan {
  /** By the address where they stop. */
  readonly breakpoints = new Map<Gva, Breakpoint[]>();
  /** Where they stop, in the order in which they were asked for. */
  readonly addresses: readonly Gva[];
  /** What is to hold at each of them for a stop; nothing: it stops always. */
  readonly tests: ReadonlyMap<Gva, readonly Predicate[]>;
  /** Not all of them stop always. */
  readonly isConditional: boolean;
  /** What `pagesBeyond` has been asked for, by its argument. */
  private readonly beyond: (Pages | undefined)[] = [];
  readonly watchpoints: Watchpoint[];
  readonly watchedPages = new Set<Gva>();
  /** With the pieces for debug registers; null where it would take more than there are. */
  readonly watches: readonly { readonly watch: Watchpoint; readonly pieces: Piece[] | null }[];
  /** Those of them that want a change and a predicate, where that can be found out behind each store. */
  readonly values: ValueWatches | null;

  /** @param placeOf where a breakpoint at this address is to stop */
  constructor(
    tgid: number,
    breakpoints: Iterable<Breakpoint>,
    watchpoints: Iterable<Watchpoint>,
    placeOf: (address: Gva) => Gva = (address) => address,
  ) {
    for (const breakpoint of breakpoints) {
      if (breakpoint.pid !== null && breakpoint.pid !== tgid) continue;
      const address = placeOf(breakpoint.address);
      const here = this.breakpoints.get(address);
      if (here) {
        here.push(breakpoint);
        continue;
      }
      this.breakpoints.set(address, [breakpoint]);
    }
    this.addresses = [...this.breakpoints.keys()];
    this.tests = new Map([...this.breakpoints].map(([address, here]) => [address, testsOf(here)]));
    this.isConditional = [...this.tests.values()].some((predicates) => predicates.length > 0);
    this.watchpoints = [...watchpoints].filter(
      ({ pid, length }) => length > 0 && (pid === null || pid === tgid),
    );
    this.watches = this.watchpoints.map((watch) => ({ watch, pieces: piecesOf(watch) }));
    this.values = ValueWatches.of(this.watches);
    for (const { address, length } of this.watchpoints)
      for (let page = pageFloor(address); page < address + length; page = offsetBy(page, PAGE_SIZE))
        this.watchedPages.add(page);
  }

  /** Offsets in their pages, ascending, of the addresses after the first `inRegisters`, which debug registers have. */
  pagesBeyond(inRegisters: number): Pages {
    return (this.beyond[inRegisters] ??= pagesOf(this.addresses.slice(inRegisters)));
  }
}

function testsOf(breakpoints: readonly Breakpoint[]): readonly Predicate[] {
  const tests = breakpoints.flatMap(({ predicates }) => predicates ?? []);
  return breakpoints.every(({ predicates = [] }) => predicates.length > 0) ? tests : [];
}

function pagesOf(addresses: readonly Gva[]): Pages {
  const pages = new Map<Gva, number[]>();
  for (const address of addresses) {
    const page = pageFloor(address);
    const offsets = pages.get(page);
    if (offsets) offsets.push(address - page);
    else pages.set(page, [address - page]);
  }
  for (const offsets of pages.values()) offsets.sort((a, b) => a - b);
  return pages;
}

const MAX_PIECES = DEBUG_REGISTERS;

/** Naturally aligned pieces of 1, 2, 4 or 8 bytes that cover a range exactly; null if more than four are needed. */
export function piecesOf({ address, length }: Pick<Watchpoint, 'address' | 'length'>): Piece[] | null {
  const pieces: Piece[] = [];
  const end = address + length;
  for (let at = address; at < end;) {
    let size = 8;
    while (at % size !== 0 || at + size > end) size /= 2;
    pieces.push({ address: at, length: size });
    if (pieces.length > MAX_PIECES) return null;
    at = offsetBy(at, size);
  }
  return pieces;
}
