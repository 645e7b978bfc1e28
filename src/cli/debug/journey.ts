/** Takes a replay from place to place, as `revenant call` and the questions of `revenant ci` want it. */
import type { Gva } from '../../engine/base/address.js';
import { RevenantError } from '../../engine/base/errors.js';
import type { DebugStop } from '../../engine/debug/target.js';
import { endsInstruction } from '../../engine/x86/disassemble.js';
import type { TravelTarget } from '../../engine/travel/target.js';
import type { Interrupt } from '../interrupt.js';
import type { TraceScan } from './facts.js';

export type Place =
  /** Right behind this frame. */
  | { readonly kind: 'frame'; readonly frame: number }
  /** At the `hit`th arrival (from 1) at a symbol, by any task. */
  | { readonly kind: 'symbol'; readonly name: string; readonly offset: number; readonly hit: number }
  /** Right before the first process ends, or the last one. */
  | { readonly kind: 'exit'; readonly of: 'first' | 'last' };

/** Code behind a symbol that is decoded to know where instructions begin. */
const MAX_OFFSET = 1 << 16;

const usage = (text: string, hint?: string): RevenantError => new RevenantError('E_USAGE', text, hint);

/** `symbol`, `symbol+8` or `symbol+0x10`; null: none of them. */
export function parseSymbol(text: string): { name: string; offset: number } | null {
  const match = /^([A-Za-z_][\w.]*(?:::~?\w+)*)(?:\+(0x[0-9a-f]{1,8}|\d{1,9}))?$/i.exec(text);
  return match && { name: match[1], offset: Number(match[2] ?? 0) };
}

/** FRAME, SYMBOL or SYMBOL+OFFSET, with :HIT or without, `exit` or `end`. Throws E_USAGE. */
export function parsePlace(text: string): Place {
  if (text === 'exit' || text === 'end') return { kind: 'exit', of: text === 'exit' ? 'first' : 'last' };
  if (/^\d{1,12}$/.test(text)) return { kind: 'frame', frame: Number(text) };
  const match = /^(.+?)(?::(\d{1,9}))?$/.exec(text);
  const symbol = match && parseSymbol(match[1]);
  const hit = Number(match?.[2] ?? 1);
  if (symbol && hit > 0) return { kind: 'symbol', ...symbol, hit };
  throw usage(
    `--at ${text} is no place.`,
    'Say a frame, a symbol, SYMBOL:HIT (from 1), SYMBOL+OFFSET, exit or end.',
  );
}

/** Where a journey has arrived. */
interface Standing {
  readonly place: Place;
  /** The task that the place is of. */
  readonly tid: number;
}

/** One replay, taken from place to place in any order; those that follow each other in the recording are cheapest. */
export class Journey {
  private here: Standing | null = null;
  private firstPid = 0;

  constructor(
    private readonly target: TravelTarget,
    private readonly scan: TraceScan,
    private readonly interrupt: Interrupt,
  ) {}

  /**
   * Goes to a place; returns the task that it is of.
   * @throws RevenantError E_USAGE if the recording has no such place; what ends a replay
   */
  async to(place: Place): Promise<number> {
    const before = this.here;
    if (before && samePlace(before.place, place)) return before.tid;
    this.here = null;
    const tid = await this.travel(place, before);
    this.here = { place, tid };
    return tid;
  }

  private async travel(place: Place, before: Standing | null): Promise<number> {
    // On the way to everywhere, and only there the first process is known for certain.
    if (this.firstPid === 0) await this.toBeginning();
    switch (place.kind) {
      case 'frame':
        return this.toFrame(Math.max(this.firstExec(), place.frame));
      case 'symbol':
        return this.toSymbol(place, before?.place ?? null);
      case 'exit':
        if (!before || !this.lives(this.firstPid)) await this.toBeginning();
        return this.toExit(place.of);
    }
  }

  private firstExec(): number {
    const first = this.scan.firstExec();
    if (first === null) throw usage('The recording has no program: it ends before the first exec.');
    return first;
  }

  private async toBeginning(): Promise<void> {
    const tid = await this.toFrame(this.firstExec());
    this.firstPid = this.target.tasks().find((task) => task.tid === tid)?.pid ?? tid;
  }

  private lives(pid: number): boolean {
    return this.target.tasks().some((task) => task.pid === pid);
  }

  private async toFrame(frame: number): Promise<number> {
    this.scan.requireFrame(frame);
    this.target.beginGoto(frame);
    await this.arrive();
    return this.target.currentTid;
  }

  private async toExit(of: 'first' | 'last'): Promise<number> {
    const near = of === 'last' ? this.scan.lastExit() - 1 : 0;
    if (near > this.target.frameTime) await this.toFrame(near);
    for (;;) {
      const stop = await this.continue();
      if (stop.kind === 'history-end') throw usage('No process ends in this recording; name a frame.');
      if (stop.kind !== 'exited') continue;
      const wanted =
        of === 'first'
          ? stop.pid === this.firstPid
          : new Set(this.target.tasks().map(({ pid }) => pid)).size === 1;
      if (wanted) return stop.tid;
    }
  }

  /** Hits are counted from the beginning, or on from an earlier one of the same symbol. */
  private async toSymbol(place: Extract<Place, { kind: 'symbol' }>, before: Place | null): Promise<number> {
    const { name, offset, hit } = place;
    const counted =
      before?.kind === 'symbol' && before.name === name && before.offset === offset && before.hit < hit
        ? before.hit
        : 0;
    if (counted === 0) await this.toBeginning();
    const start = await this.address(name);
    if (offset > 0) this.requireInstruction(name, start, offset);
    const address = (start + offset) as Gva;
    // Who stands there already has arrived: at the entry of a static program.
    const arrived = counted === 0 && this.target.rip(this.target.currentTid) === address ? 1 : counted;
    if (arrived === hit) return this.target.currentTid;
    const breakpoint = { pid: null, address };
    this.target.addBreakpoint(breakpoint);
    try {
      for (let hits = arrived; ;) {
        const stop = await this.continue();
        if (stop.kind === 'history-end')
          throw usage(`${name} is reached ${hits} times in this recording, not ${hit}.`);
        if (stop.kind === 'breakpoint' && ++hits === hit) return stop.tid;
      }
    } finally {
      this.target.removeBreakpoint(breakpoint);
    }
  }

  /** A breakpoint inside of an instruction would change what it does. */
  private requireInstruction(name: string, start: Gva, offset: number): void {
    const code = new Uint8Array(Math.min(offset, MAX_OFFSET));
    const { target } = this;
    if (offset > MAX_OFFSET || target.readMemory(target.currentTid, start, code) < offset)
      throw usage(`${name}+${offset} is too far from ${name}.`, `At most ${MAX_OFFSET} bytes are followed.`);
    if (!endsInstruction(code)) throw usage(`No instruction begins at ${name}+${offset}.`);
  }

  /** The program is not loaded at its first instruction: libraries' symbols appear as frames pass. */
  private async address(name: string): Promise<Gva> {
    for (;;) {
      const address = this.target.symbol(this.target.currentTid, name);
      if (address !== null) return address;
      this.target.beginGoto(this.target.frameTime + 1);
      const stop = await this.arrive();
      if (stop.kind === 'history-end') throw usage(`There is no symbol ${name} in the recorded programs.`);
    }
  }

  private continue(): Promise<DebugStop> {
    const tid = this.target.currentTid;
    this.target.begin({ direction: 'forward', tid, mode: { kind: 'continue' } });
    return this.arrive();
  }

  private async arrive(): Promise<DebugStop> {
    for (;;) {
      const stop = this.target.poll();
      if (stop) return stop;
      await this.interrupt.turn();
    }
  }
}

const samePlace = (left: Place, right: Place): boolean => JSON.stringify(left) === JSON.stringify(right);
