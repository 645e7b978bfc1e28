import { PAGE_SIZE, pageFloor, type Gva } from '../base/address.js';
import type { Breakpoint, Watchpoint } from './target.js';

export type DebugRegister = 0 | 1 | 2 | 3;

interface Piece {
  readonly address: Gva;
  readonly length: number;
}

/** What of all breakpoints and watchpoints concerns one thread group. Pure. */
export class StopPlan {
  readonly breakpoints = new Map<Gva, Breakpoint[]>();
  /** Offsets of breakpoints in their pages, ascending. */
  readonly pages = new Map<Gva, number[]>();
  readonly watchpoints: Watchpoint[];
  readonly watchedPages = new Set<Gva>();
  /** With the pieces for debug registers; null where it would take more than there are. */
  readonly watches: readonly { readonly watch: Watchpoint; readonly pieces: Piece[] | null }[];

  constructor(tgid: number, breakpoints: Iterable<Breakpoint>, watchpoints: Iterable<Watchpoint>) {
    for (const breakpoint of breakpoints) {
      const { address, pid } = breakpoint;
      if (pid !== null && pid !== tgid) continue;
      const here = this.breakpoints.get(address);
      if (here) {
        here.push(breakpoint);
        continue;
      }
      this.breakpoints.set(address, [breakpoint]);
      const page = pageFloor(address);
      this.pages.set(page, [...(this.pages.get(page) ?? []), address - page]);
    }
    for (const offsets of this.pages.values()) offsets.sort((a, b) => a - b);
    this.watchpoints = [...watchpoints].filter(
      ({ pid, length }) => length > 0 && (pid === null || pid === tgid),
    );
    this.watches = this.watchpoints.map((watch) => ({ watch, pieces: piecesOf(watch) }));
    for (const { address, length } of this.watchpoints)
      for (let page = pageFloor(address); page < address + length; page = (page + PAGE_SIZE) as Gva)
        this.watchedPages.add(page);
  }
}

const MAX_PIECES = 4;

/** Naturally aligned pieces of 1, 2, 4 or 8 bytes that cover a range exactly; null if more than four are needed. */
export function piecesOf({ address, length }: Pick<Watchpoint, 'address' | 'length'>): Piece[] | null {
  const pieces: Piece[] = [];
  const end = address + length;
  for (let at = address; at < end;) {
    let size = 8;
    while (at % size !== 0 || at + size > end) size /= 2;
    pieces.push({ address: at, length: size });
    if (pieces.length > MAX_PIECES) return null;
    at = (at + size) as Gva;
  }
  return pieces;
}
