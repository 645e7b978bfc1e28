/** Takes a replay from place to place, as people write places. */
import { Places, type CodePlace } from './symbols.js';
import type { Gva } from '../engine/base/address.js';
import { RevenantError } from '../engine/base/errors.js';
import { formatPlace, type PlaceText, type SymbolPlace } from '../engine/base/place.js';
import { Reg, getUnsigned } from '../engine/base/registers.js';
import type { DebugStop } from '../engine/target.js';
import type { Task } from '../engine/task/task.js';
import { endsInstruction } from '../engine/x86/disassemble.js';
import type { TravelTarget } from '../engine/travel/target.js';
import type { TraceReader } from '../engine/trace/reader.js';
import type { RecordingScan } from './trace-index.js';

/** Code behind a symbol that is decoded to know where instructions begin. */
const MAX_OFFSET = 1 << 16;

const usage = (text: string, hint?: string): RevenantError => new RevenantError('E_USAGE', text, hint);

export interface NavigatedReplay {
  readonly target: TravelTarget;
  readonly trace: TraceReader;
  readonly scan: RecordingScan;
}

/**
 * Goes to a place, whatever stops there are on the way; returns the task that it is of.
 * @param turn called in between; may interrupt the target
 * @throws RevenantError E_USAGE where there is no such place, E_INTERRUPTED: the replay then stands where it stood
 */
export async function visitPlace(
  replay: NavigatedReplay,
  place: PlaceText,
  turn: () => Promise<void>,
): Promise<number> {
  const { target } = replay;
  const navigator = new PlaceNavigator(replay, { turn });
  await navigator.check(place);
  const here = target.mark();
  const resume = target.suspendStops();
  try {
    return await navigator.to(place);
  } catch (error) {
    if (error instanceof RevenantError && ['E_USAGE', 'E_INTERRUPTED'].includes(error.code)) {
      target.beginGotoMark(here);
      while (!target.poll());
    }
    throw error;
  } finally {
    resume();
    target.forget(here);
  }
}

/** Where a navigator has arrived. */
interface Standing {
  readonly place: PlaceText;
  /** The task that the place is of. */
  readonly tid: number;
}

/** One replay, taken from place to place in any order; those that follow each other in the recording are cheapest. */
export class PlaceNavigator {
  private here: Standing | null = null;
  private firstPid = 0;
  /** By the name of a symbol whose function is chosen at run time. */
  private readonly implementations = new Map<string, Gva>();
  private readonly places: Places;
  private readonly target: TravelTarget;
  private readonly scan: RecordingScan;

  /** @param interrupt given a turn in between; may throw, or interrupt the target */
  constructor(
    { target, scan, trace }: NavigatedReplay,
    private readonly interrupt: { turn(): Promise<void> },
  ) {
    this.target = target;
    this.scan = scan;
    this.places = new Places(target.mappedFiles, trace);
  }

  /** What can be known of a place before anything is replayed. Throws E_USAGE if the recording has no such place. */
  async check(place: PlaceText): Promise<void> {
    if (place.kind === 'frame' || place.kind === 'ticks') this.scan.requireFrame(place.frame);
    else if (place.kind === 'crash') this.crash();
    else if (place.kind !== 'exit') {
      if (place.from !== undefined) this.scan.requireFrame(place.from);
      await this.places.requireRecorded(place);
    }
  }

  /**
   * Goes to a place; returns the task that it is of.
   * @throws RevenantError E_USAGE if the recording has no such place; what ends a replay
   */
  async to(place: PlaceText): Promise<number> {
    const before = this.here;
    if (before && samePlace(before.place, place)) return before.tid;
    this.here = null;
    const tid = await this.travel(place, before);
    this.here = { place, tid };
    return tid;
  }

  private async travel(place: PlaceText, before: Standing | null): Promise<number> {
    // On the way to everywhere, and only there the first process is known for certain.
    if (this.firstPid === 0) await this.toBeginning();
    switch (place.kind) {
      case 'frame':
        return this.toFrame(Math.max(this.firstExec(), place.frame));
      case 'ticks':
        this.scan.requireFrame(place.frame);
        this.target.beginSeekTicks(Math.max(this.firstExec(), place.frame), place.ticks);
        return (await this.arrive()).tid;
      case 'symbol':
      case 'line':
      case 'address':
        return place.from === undefined
          ? this.toCode(place, before?.place ?? null)
          : this.toCodeBehind(place, place.from);
      case 'crash':
        return this.toCrash();
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

  private crash(): { frameTime: number; tid: number } {
    const crash = this.scan.firstFatalSignal(null);
    if (!crash) throw usage('No task is ended by a signal in this recording.');
    return crash;
  }

  private async toCrash(): Promise<number> {
    const { frameTime, tid } = this.crash();
    await this.toFrame(Math.max(this.firstExec(), frameTime - 1));
    for (;;) {
      const stop = await this.continue();
      if (stop.kind === 'history-end' || (stop.kind === 'signal' && stop.tid === tid)) return tid;
    }
  }

  /** Hits are counted from the beginning, or on from an earlier one of the same place. */
  private async toCode(place: CodePlace, before: PlaceText | null): Promise<number> {
    const name = formatPlace({ ...place, hit: 1 });
    const isSame = before !== null && 'hit' in before && formatPlace({ ...before, hit: 1 }) === name;
    const counted = isSame && before.hit < place.hit ? before.hit : 0;
    if (counted === 0) {
      await this.places.requireRecorded(place);
      await this.toBeginning();
    }
    const addresses = await this.addresses(place);
    // Who stands there already has arrived: at the entry of a static program.
    const stands = counted === 0 && addresses.includes(this.target.rip(this.target.currentTid));
    const arrived = stands ? 1 : counted;
    if (arrived === place.hit) return this.target.currentTid;
    const breakpoints = addresses.map((address) => ({ pid: null, address }));
    for (const breakpoint of breakpoints) this.target.addBreakpoint(breakpoint);
    try {
      for (let hits = arrived; ;) {
        const stop = await this.continue();
        if (stop.kind === 'history-end')
          throw usage(`${name} is reached ${times(hits)} in this recording, not ${place.hit}.`);
        if (this.target.isArrival(stop, addresses) && ++hits === place.hit) return stop.tid;
      }
    } finally {
      for (const breakpoint of breakpoints) this.target.removeBreakpoint(breakpoint);
    }
  }

  /** Hits are counted from behind a frame. */
  private async toCodeBehind(place: CodePlace, from: number): Promise<number> {
    await this.places.requireRecorded(place);
    await this.toFrame(Math.max(this.firstExec(), from));
    const addresses = await this.addresses(place);
    this.target.beginGotoArrival(this.target.frameTime, addresses, place.hit);
    return (await this.arrive()).tid;
  }

  /** A breakpoint inside of an instruction would change what it does. */
  private requireInstruction({ name, offset }: SymbolPlace, start: Gva): void {
    const code = new Uint8Array(Math.min(offset, MAX_OFFSET));
    const { target } = this;
    if (offset > MAX_OFFSET || target.readMemory(target.currentTid, start, code) < offset)
      throw usage(`${name}+${offset} is too far from ${name}.`, `At most ${MAX_OFFSET} bytes are followed.`);
    if (!endsInstruction(code)) throw usage(`No instruction begins at ${name}+${offset}.`);
  }

  /** The program is not loaded at its first instruction: libraries' code appears as frames pass. */
  private async addresses(place: CodePlace): Promise<readonly Gva[]> {
    for (;;) {
      const task = this.target.findTask(this.target.currentTid);
      const addresses = task ? await this.places.addresses(task, place) : [];
      if (task && addresses.length > 0) {
        const chosen = await this.implementation(task, place, addresses);
        if (chosen) return chosen;
        if (place.kind === 'symbol' && place.offset > 0)
          this.requireInstruction(place, (addresses[0] - place.offset) as Gva);
        return addresses;
      }
      this.target.beginGoto(this.target.frameTime + 1);
      const stop = await this.arrive();
      if (stop.kind === 'history-end' || this.target.tasks().length === 0)
        throw usage(`${formatPlace(place)} is in a file of this recording that no program maps as code.`);
    }
  }

  /**
   * Where the addresses of a place are those of a resolver (IFUNC: `strlen`), those of the function that it chose in the
   * recording; else null. Throws E_USAGE if it never chose one. The replay stands where it stood.
   */
  async implementation(task: Task, place: CodePlace, addresses: readonly Gva[]): Promise<Gva[] | null> {
    if (place.kind !== 'symbol' || addresses.length === 0) return null;
    if (!this.places.isResolver(task, place.name)) return null;
    return [((await this.chosen(place, addresses[0])) + place.offset) as Gva];
  }

  /**
   * The function that the resolver of a symbol (IFUNC: `strlen`) chose in the recording: what it returned when it was
   * first called. The replay stands again where it stood.
   */
  private async chosen({ name, offset }: SymbolPlace, entry: Gva): Promise<Gva> {
    const known = this.implementations.get(name);
    if (known !== undefined) return known;
    const { target } = this;
    const here = target.mark();
    const resume = target.suspendStops();
    const resolver = (entry - offset) as Gva;
    try {
      target.beginGotoArrival(this.firstExec(), [resolver], 1);
      const { tid } = await this.arrive();
      const stack = getUnsigned(target.registers(tid), Reg.rsp);
      const word = new Uint8Array(8);
      target.readMemory(tid, stack as Gva, word);
      const address = Number(new DataView(word.buffer).getBigUint64(0, true)) as Gva;
      const returns = (who: number): boolean =>
        who === tid && getUnsigned(target.registers(who), Reg.rsp) === stack + word.length;
      const breakpoint = { pid: null, address, condition: returns };
      target.addBreakpoint(breakpoint);
      try {
        while ((await this.continue()).kind !== 'breakpoint');
      } finally {
        target.removeBreakpoint(breakpoint);
      }
      const found = getUnsigned(target.registers(tid), Reg.rax) as Gva;
      this.implementations.set(name, found);
      return found;
    } catch (error) {
      if (!(error instanceof RevenantError) || error.code !== 'E_USAGE') throw error;
      throw usage(
        `Which function ${name} is was never decided in this recording: its resolver is not called.`,
        'Name the function itself, or an address.',
      );
    } finally {
      resume();
      target.beginGotoMark(here);
      await this.arrive();
      target.forget(here);
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
      if (stop?.kind === 'interrupted') throw new RevenantError('E_INTERRUPTED', 'Interrupted.');
      if (stop) return stop;
      await this.interrupt.turn();
    }
  }
}

const samePlace = (left: PlaceText, right: PlaceText): boolean =>
  JSON.stringify(left) === JSON.stringify(right);
const times = (count: number): string => (count === 1 ? 'once' : `${count} times`);
