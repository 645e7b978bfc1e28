/** Moves a replay to places in the form that users write. */
import { offsetBy, gva, type Gva } from '../engine/base/address.js';
import { memoryOf, readWord } from '../engine/base/memory-values.js';
import { RevenantError } from '../engine/base/errors.js';
import { Reg, getUnsigned } from '../engine/base/registers.js';
import type { DebugStop } from '../engine/target.js';
import { readCheckpoint } from '../engine/persist/file.js';
import { endsInstruction } from '../engine/x86/disassemble.js';
import type { TravelTarget } from '../engine/travel/target.js';
import type { CodePlaces } from './code-places.js';
import { formatPlace, type CodePlace, type Place, type SymbolPlace } from './place.js';
import { arrival, isLastProcess, nextTurn, untilStop } from './stops.js';
import type { TraceIndex } from './trace-index.js';

/** Bytes after a symbol that are decoded to find instruction boundaries. */
const MAX_OFFSET = 1 << 16;

const usage = (text: string, hint?: string): RevenantError => new RevenantError('E_USAGE', text, hint);

/** As `openRecording` opens it. */
export interface NavigatedReplay {
  readonly target: TravelTarget;
  readonly index: TraceIndex;
  readonly places: CodePlaces;
  readonly firstFrame: number;
}

/**
 * Goes to a place, ignoring stops on the way; returns its task.
 * @param turn called in between; may interrupt the target
 * @throws RevenantError E_USAGE if there is no such place, E_INTERRUPTED: the replay has then not moved
 */
export async function visitPlace(
  replay: NavigatedReplay,
  place: Place,
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
      await untilStop(target, nextTurn);
    }
    throw error;
  } finally {
    resume();
    target.forget(here);
  }
}

/** Where a navigator has arrived. */
interface Standing {
  readonly place: Place;
  /** The task at the place. */
  readonly tid: number;
}

/** Moves one replay to places in any order; recording order is the cheapest. */
export class PlaceNavigator {
  private here: Standing | null = null;
  private firstPid = 0;
  /** Keyed by the name of a symbol whose function is chosen at run time. */
  private readonly implementations = new Map<string, Gva>();
  private readonly target: TravelTarget;
  private readonly index: TraceIndex;
  private readonly places: CodePlaces;

  /** @param turns called in between; may throw, or interrupt the target */
  constructor(
    private readonly replay: NavigatedReplay,
    private readonly turns: { turn(): Promise<void> },
  ) {
    this.target = replay.target;
    this.index = replay.index;
    this.places = replay.places;
  }

  /** Checks a place before anything is replayed. Throws E_USAGE if the recording has no such place. */
  async check(place: Place): Promise<void> {
    if (place.kind === 'frame' || place.kind === 'ticks') this.index.requireFrame(place.frame);
    else if (place.kind === 'crash') this.crash(null);
    else if (place.kind !== 'exit') {
      if (place.from !== undefined) this.index.requireFrame(place.from);
      await this.places.requireRecorded(place);
    }
  }

  /**
   * Goes to a place; returns its task.
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

  /** Right after a frame, which must exist. */
  async toFrame(frame: number): Promise<void> {
    if (frame < 1) throw usage(`Invalid frame ${frame}: frames are numbered from 1.`);
    this.index.requireFrame(frame);
    this.here = null;
    await this.seek(frame);
  }

  /** Goes to where a checkpoint file was written. */
  async toCheckpoint(file: string): Promise<void> {
    this.here = null;
    const mark = this.target.markOf(readCheckpoint(this.target.session, file));
    this.target.beginGotoMark(mark);
    await this.arrive();
    this.target.forget(mark);
  }

  /** Goes to the first signal that ends a process (or this task); returns its task. Throws E_USAGE if none does. */
  async toCrash(task: number | null): Promise<number> {
    const { frameTime, tid } = this.crash(task);
    this.here = null;
    await this.seek(Math.max(this.replay.firstFrame, frameTime - 1));
    await this.continueUntil((stop) => stop.kind === 'signal' && stop.tid === tid);
    return tid;
  }

  /**
   * Goes to right before the last process ends, or that of a task; if none does, to the end of the
   * recording. Uses checkpoints if they are ahead of the replay; the process stops right before the
   * frame of its exit.
   */
  async toEnd(task: number | null = null): Promise<DebugStop> {
    const { target, index } = this;
    this.here = null;
    const end = task === null ? index.lastExit() : index.jointEnd(index.exitOf(task)).frame;
    const near = Math.max(this.replay.firstFrame, end - 1);
    if (near > target.frameTime) await this.seek(near);
    const pid = target.tasks().find(({ tid }) => tid === task)?.pid;
    return this.continueUntil(
      (stop) => stop.kind === 'exited' && (pid === undefined ? isLastProcess(target) : stop.pid === pid),
    );
  }

  /**
   * Runs to the next arrival of any task at a place in code, or to its `hit`th from here. Waits for libraries that
   * are not loaded yet. Throws E_USAGE if nothing in the recording has the place, or it ends before.
   * @param tid the task whose memory has the place
   * @param name of the place, for messages
   */
  async next(place: CodePlace, tid: number, name: string): Promise<DebugStop> {
    this.here = null;
    let addresses = await this.places.recordedAddresses(tid, place);
    while (addresses.length === 0) {
      if (!(await this.advanceFrame()))
        throw usage(`No file that is mapped from here on has ${JSON.stringify(name)}.`);
      addresses = await this.places.addresses(this.target.currentTid, place);
    }
    const current = this.target.tasks().some((task) => task.tid === tid) ? tid : this.target.currentTid;
    const wanted = (await this.implementation(current, place, addresses)) ?? addresses;
    return this.countArrivals(wanted, 0, place.hit, () =>
      usage(`${name} is not reached again in this recording.`),
    );
  }

  private async travel(place: Place, before: Standing | null): Promise<number> {
    // Every place is after this one, and here the first process is certain.
    if (this.firstPid === 0) await this.toBeginning();
    const first = this.replay.firstFrame;
    switch (place.kind) {
      case 'frame':
        this.index.requireFrame(place.frame);
        return this.seek(Math.max(first, place.frame));
      case 'ticks':
        this.index.requireFrame(place.frame);
        this.target.beginSeekTicks(Math.max(first, place.frame), place.ticks);
        return (await this.arrive()).tid;
      case 'symbol':
      case 'line':
      case 'address':
        return place.from === undefined
          ? this.toCode(place, before?.place ?? null)
          : this.toCodeAfter(place, place.from);
      case 'crash':
        return this.toCrash(null);
      case 'exit':
        if (!before || !this.lives(this.firstPid)) await this.toBeginning();
        return this.toExit(place.of);
    }
  }

  private async toBeginning(): Promise<void> {
    const tid = await this.seek(this.replay.firstFrame);
    this.firstPid = this.target.tasks().find((task) => task.tid === tid)?.pid ?? tid;
  }

  private lives(pid: number): boolean {
    return this.target.tasks().some((task) => task.pid === pid);
  }

  /** Goes to a frame that exists; returns the current task there. */
  private async seek(frame: number): Promise<number> {
    this.target.beginGoto(frame);
    await this.arrive();
    return this.target.currentTid;
  }

  private async toExit(of: 'first' | 'last'): Promise<number> {
    const stop =
      of === 'last'
        ? await this.toEnd()
        : await this.continueUntil((each) => each.kind === 'exited' && each.pid === this.firstPid);
    if (stop.kind === 'history-end') throw usage('No process ends in this recording; use a frame.');
    return stop.tid;
  }

  private crash(task: number | null): { frameTime: number; tid: number } {
    const crash = this.index.firstFatalSignal(task);
    if (crash) return crash;
    throw usage(
      `${task === null ? 'No task is' : `Task ${task} is not`} ended by a signal in this recording.`,
    );
  }

  /** Hits are counted from the beginning, or from an earlier hit of the same place. */
  private async toCode(place: CodePlace, before: Place | null): Promise<number> {
    const name = formatPlace({ ...place, hit: 1 });
    const isSame = before !== null && 'hit' in before && formatPlace({ ...before, hit: 1 }) === name;
    const counted = isSame && before.hit < place.hit ? before.hit : 0;
    if (counted === 0) {
      await this.places.requireRecorded(place);
      await this.toBeginning();
    }
    const addresses = await this.addresses(place);
    // A task that is already there has arrived: at the entry of a static program.
    const stands = counted === 0 && addresses.includes(this.target.rip(this.target.currentTid));
    const arrived = stands ? 1 : counted;
    if (arrived === place.hit) return this.target.currentTid;
    const stop = await this.countArrivals(addresses, arrived, place.hit, (hits) =>
      usage(`${name} is reached ${times(hits)} in this recording, not ${place.hit}.`),
    );
    return stop.tid;
  }

  /** Continues to the arrival of that number at one of these addresses; other stops are ignored. */
  private async countArrivals(
    addresses: readonly Gva[],
    counted: number,
    hit: number,
    tooFew: (hits: number) => RevenantError,
  ): Promise<DebugStop> {
    const breakpoints = addresses.map((address) => ({ pid: null, address }));
    for (const breakpoint of breakpoints) this.target.addBreakpoint(breakpoint);
    let hits = counted;
    try {
      const stop = await this.continueUntil(
        (each) => this.target.isArrival(each, addresses) && ++hits === hit,
      );
      if (stop.kind === 'history-end') throw tooFew(hits);
      return stop;
    } finally {
      for (const breakpoint of breakpoints) this.target.removeBreakpoint(breakpoint);
    }
  }

  /** Hits are counted from after a frame. */
  private async toCodeAfter(place: CodePlace, from: number): Promise<number> {
    await this.places.requireRecorded(place);
    this.index.requireFrame(from);
    await this.seek(Math.max(this.replay.firstFrame, from));
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

  /** At the first instruction not everything is loaded: libraries are mapped later. */
  private async addresses(place: CodePlace): Promise<readonly Gva[]> {
    const { places, target } = this;
    for (;;) {
      const tid = target.tasks().some((task) => task.tid === target.currentTid) ? target.currentTid : null;
      const addresses = tid === null ? [] : await places.addresses(tid, place);
      if (tid !== null && addresses.length > 0) {
        const chosen = await this.implementation(tid, place, addresses);
        if (chosen) return chosen;
        if (place.kind === 'symbol' && place.offset > 0)
          this.requireInstruction(place, offsetBy(addresses[0], -place.offset));
        return addresses;
      }
      if (!(await this.advanceFrame()))
        throw usage(`${formatPlace(place)} is in a file of this recording that no program maps as code.`);
    }
  }

  /** False at the end of the recording, or if no task is left. */
  private async advanceFrame(): Promise<boolean> {
    this.target.beginGoto(this.target.frameTime + 1);
    const stop = await this.arrive();
    return stop.kind !== 'history-end' && this.target.tasks().length > 0;
  }

  /**
   * If the addresses of a place are those of a resolver (IFUNC: `strlen`), those of the function
   * that it chose in the recording; else null. Throws E_USAGE if it never chose one. The replay
   * does not move.
   */
  async implementation(tid: number, place: CodePlace, addresses: readonly Gva[]): Promise<Gva[] | null> {
    if (place.kind !== 'symbol' || addresses.length === 0) return null;
    if (!this.places.isResolver(tid, place.name)) return null;
    return [offsetBy(await this.chosen(place, addresses[0]), place.offset)];
  }

  /**
   * The function that the resolver of a symbol (IFUNC: `strlen`) chose in the recording: what it
   * returned on its first call. The replay does not move.
   */
  private async chosen({ name, offset }: SymbolPlace, entry: Gva): Promise<Gva> {
    const known = this.implementations.get(name);
    if (known !== undefined) return known;
    const { target } = this;
    const here = target.mark();
    const resume = target.suspendStops();
    const resolver = offsetBy(entry, -offset);
    try {
      target.beginGotoArrival(this.replay.firstFrame, [resolver], 1);
      const { tid } = await this.arrive();
      const stack = getUnsigned(target.registers(tid), Reg.rsp);
      const address = gva(Number(readWord(memoryOf(target, tid), stack)));
      const returns = (who: number): boolean =>
        who === tid && getUnsigned(target.registers(who), Reg.rsp) === stack + 8;
      const breakpoint = { pid: null, address, condition: returns };
      target.addBreakpoint(breakpoint);
      try {
        while ((await this.continue()).kind !== 'breakpoint');
      } finally {
        target.removeBreakpoint(breakpoint);
      }
      const found = gva(getUnsigned(target.registers(tid), Reg.rax));
      this.implementations.set(name, found);
      return found;
    } catch (error) {
      if (!(error instanceof RevenantError) || error.code !== 'E_USAGE') throw error;
      throw usage(
        `The function of ${name} was never chosen in this recording: its resolver is not called.`,
        'Use the function itself, or an address.',
      );
    } finally {
      resume();
      target.beginGotoMark(here);
      await this.arrive();
      target.forget(here);
    }
  }

  /** Continues until `accept` takes a stop, or to the end. Returns the last stop. */
  private async continueUntil(accept: (stop: DebugStop) => boolean): Promise<DebugStop> {
    for (;;) {
      const stop = await this.continue();
      if (stop.kind === 'history-end' || accept(stop)) return stop;
    }
  }

  private continue(): Promise<DebugStop> {
    const tid = this.target.currentTid;
    this.target.begin({ direction: 'forward', tid, mode: { kind: 'continue' } });
    return this.arrive();
  }

  private arrive(): Promise<DebugStop> {
    return arrival(this.target, () => this.turns.turn());
  }
}

const samePlace = (left: Place, right: Place): boolean => JSON.stringify(left) === JSON.stringify(right);
const times = (count: number): string => (count === 1 ? 'once' : `${count} times`);
