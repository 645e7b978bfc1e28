/**
 * A recording for scripts: run to places, stop at breakpoints and watchpoints, read registers and memory, go back.
 *
 *   const replay = await Replay.open('traces/skylake-pku/tree');
 *   await replay.runTo('insert');
 *   console.log(replay.symbolAt(replay.rip), replay.register('rsi'));
 *   await replay.reverseStep();
 *   await replay.close();
 */
import { hex, type Gva } from '../engine/base/address.js';
import { RevenantError, invariant } from '../engine/base/errors.js';
import { REGISTER_NAMES, Reg, getRegister, type RegisterName } from '../engine/base/registers.js';
import type {
  Breakpoint,
  DebugStop,
  DebugTask,
  Direction,
  LifecycleKind,
  Watchpoint,
} from '../engine/target.js';
import { formatVma } from '../engine/mm/vma.js';
import type { SourceLine } from '../engine/symbols/line-table.js';
import { formatSymbol } from '../engine/symbols/symbolizer.js';
import type { Task } from '../engine/task/task.js';
import type { TraceHeader } from '../engine/trace/records.js';
import type { TravelTarget } from '../engine/travel/target.js';
import { momentText, requirePlace } from '../engine/base/place.js';
import type { Evaluated } from '../expressions/value.js';
import { divert, type DivertOptions, type DiversionHandle } from '../recording/divert.js';
import { PlaceNavigator, visitPlace } from '../recording/navigator.js';
import { openReplay, type OpenedReplay, type OpenReplayOptions } from '../recording/open.js';
import type { Mark, PointOptions, StopPoint, WatchPointOptions } from './stop-points.js';
import { codePlace, Places, type Place } from '../recording/symbols.js';
import { VALUE_BYTES, decodeValue, readText, type ValueOf, type ValueType } from './values.js';

export type { Mark, StopPoint } from './stop-points.js';
export type BreakpointOptions = PointOptions<Replay>;
export type WatchOptions = WatchPointOptions<Replay>;

const usage = (text: string, hint?: string): RevenantError => new RevenantError('E_USAGE', text, hint);
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** One thing at a time: methods that return a promise must be awaited before anything else is asked of the replay. */
export class Replay {
  private readonly target: TravelTarget;
  private readonly places: Places;
  private readonly navigator: PlaceNavigator;
  private readonly marks = new Map<Mark, number>();
  private selected = -1;
  private busy = false;
  private closed = false;

  private constructor(
    private readonly opened: OpenedReplay,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.target = opened.target;
    this.places = new Places(opened.target.mappedFiles, opened.trace);
    this.navigator = new PlaceNavigator(opened, { turn: () => this.turn() });
  }

  /**
   * Opens a trace; the replay stands at the first instruction of its first program.
   * Throws RevenantError: the trace cannot be read, no machine here can carry it.
   */
  static async open(folder: string, options: OpenReplayOptions = {}): Promise<Replay> {
    const replay = new Replay(await openReplay(folder, options), options.signal);
    try {
      await replay.toStart();
      return replay;
    } catch (error) {
      await replay.close();
      throw error;
    }
  }

  /** What was recorded, where, on what processor. */
  get header(): TraceHeader {
    return this.opened.trace.header;
  }

  /** The machine that the replay runs on. */
  get machine(): string {
    return this.opened.description;
  }

  /** FrameTime of the last frame that was replayed completely. */
  get frame(): number {
    return this.target.frameTime;
  }

  /** The last frame of the trace, once the replay has been there; before that null. */
  get lastFrame(): number | null {
    return this.target.lastFrame;
  }

  tasks(): readonly DebugTask[] {
    return this.target.tasks();
  }

  /** The task that is looked at: that of the last stop, or the one selected since. */
  get tid(): number {
    return this.selected >= 0 ? this.selected : this.target.currentTid;
  }

  /** Looks at another task, until the replay next moves. */
  select(tid: number): void {
    if (!this.tasks().some((task) => task.tid === tid)) throw usage(`There is no task ${tid} here.`);
    this.selected = tid;
  }

  /** Where the task stands. */
  get rip(): number {
    this.requireStill();
    return this.target.rip(this.tid);
  }

  /** A register of the task as an unsigned 64-bit number. */
  register(name: RegisterName): bigint {
    if (!(name in Reg))
      throw usage(`There is no register ${String(name)}; there are: ${REGISTER_NAMES.join(', ')}.`);
    this.requireStill();
    return getRegister(this.target.registers(this.tid), Reg[name]);
  }

  registers(): Record<RegisterName, bigint> {
    this.requireStill();
    const words = this.target.registers(this.tid);
    return Object.fromEntries(REGISTER_NAMES.map((name, slot) => [name, getRegister(words, slot)])) as Record<
      RegisterName,
      bigint
    >;
  }

  /** Mappings of the task, in order, as in /proc/PID/maps. */
  mappings(): { start: number; end: number; text: string }[] {
    this.requireStill();
    return this.target
      .mappings(this.tid)
      .map((vma) => ({ start: vma.start, end: vma.end, text: formatVma(vma) }));
  }

  /** Bytes at an address or symbol. Throws E_USAGE if not all of them are mapped. */
  readMemory(place: Place, size: number): Uint8Array {
    const at = this.address(place);
    const bytes = new Uint8Array(size);
    const count = this.target.readMemory(this.tid, at as Gva, bytes);
    if (count < size)
      throw usage(`Of ${size} bytes at ${hex(at)} the program has ${count}: nothing is mapped behind.`);
    return bytes;
  }

  /** A number at an address or symbol: `read('inserted', 'i32')`. */
  read<T extends ValueType>(place: Place, type: T): ValueOf<T> {
    return decodeValue(this.readMemory(place, VALUE_BYTES[type]), type);
  }

  /** The pointer at an address or symbol. */
  readPointer(place: Place): bigint {
    return this.read(place, 'u64');
  }

  /** The NUL-terminated text at an address or symbol (not at a pointer to it), at most a MiB. */
  readText(place: Place): string {
    return readText(this.address(place), (at, size) => this.readMemory(at, size));
  }

  /** A digest of all memory that the task sees. */
  memoryDigest(): string {
    this.requireStill();
    return this.target.memoryDigest(this.tid);
  }

  /** Where a symbol is and how large, or null while no file that has it is mapped. */
  symbol(name: string): { address: number; size: number } | null {
    this.requireStill();
    return this.places.symbol(this.task(), name);
  }

  /** `insert+0x1c`, or null where no symbol covers the address. */
  symbolAt(address: number | bigint): string | null {
    this.requireStill();
    const hit = this.places.symbolAt(this.task(), Number(address) as Gva);
    return hit && formatSymbol(hit);
  }

  /**
   * The line of source at an address (by default: where the task stands), or null where the recorded file tells none.
   * Throws E_UNSUPPORTED without binutils' readelf.
   */
  async line(address: number | bigint = this.rip): Promise<SourceLine | null> {
    return this.exclusively(() => this.places.lineAt(this.task(), Number(address) as Gva));
  }

  /** The address of a symbol, of `symbol+bytes` or of a number. Throws E_USAGE while it is not mapped. */
  address(place: Place): number {
    this.requireStill();
    const found = this.places.address(this.task(), place);
    if (found === null) throw this.unknown(place);
    return found;
  }

  /**
   * Stops runs at an address, a symbol or a line (which may have several addresses). Throws E_USAGE while nothing
   * that is mapped has the place: libraries are, once the loader has run (`runTo('main')`).
   */
  async breakAt(place: Place, options: BreakpointOptions = {}): Promise<StopPoint> {
    return this.exclusively(async () => {
      const wanted = codePlace(place);
      const mapped = await this.places.recordedAddresses(this.task(), wanted);
      if (mapped.length === 0) throw this.unknown(place);
      const addresses = (await this.navigator.implementation(this.task(), wanted, mapped)) ?? mapped;
      const condition = this.asked(options);
      const points = addresses.map((address): Breakpoint => ({
        pid: options.pid ?? null,
        address,
        condition,
      }));
      for (const point of points) this.target.addBreakpoint(point);
      return { addresses, remove: () => points.forEach((point) => this.target.removeBreakpoint(point)) };
    });
  }

  /** Stops runs at accesses to memory, of any length. */
  watch(place: Place, options: WatchOptions = {}): StopPoint {
    const address = this.address(place) as Gva;
    const symbol = typeof place === 'string' ? this.symbol(place.trim()) : null;
    const length = options.length ?? (symbol?.size || 8);
    if (!Number.isInteger(length) || length < 1)
      throw usage(`A watchpoint has at least one byte, not ${length}.`);
    const access = options.access ?? 'write';
    const watch: Watchpoint = {
      pid: options.pid ?? null,
      address,
      length,
      access,
      condition: this.asked(options),
    };
    this.target.addWatchpoint(watch);
    return { addresses: [address], remove: () => this.target.removeWatchpoint(watch) };
  }

  /** System calls to stop at, before and behind them, by number. */
  catchSyscalls(which: readonly number[] | 'all' | 'none'): void {
    this.target.catchSyscalls(which);
  }

  /** Doings of processes to stop at. */
  catchEvents(kinds: readonly LifecycleKind[]): void {
    this.target.catchLifecycle(kinds);
  }

  /** On to the next stop. The end of a process and of the recording always are; so are signals. */
  async continue(): Promise<DebugStop> {
    return this.run('forward', 'continue');
  }

  /** Back to the last stop before. A watchpoint's access is undone there. */
  async reverseContinue(): Promise<DebugStop> {
    return this.run('backward', 'continue');
  }

  /** Instructions of the task, one unless said otherwise; or less, where something else stops it. */
  async step(count = 1): Promise<DebugStop> {
    return this.steps('forward', count);
  }

  /** Undoes instructions of the task. */
  async reverseStep(count = 1): Promise<DebugStop> {
    return this.steps('backward', count);
  }

  /**
   * On to the next time that a task comes to a place: an address, a symbol (which may come with a library that is not
   * loaded yet), a line; with `:HIT` to that arrival from here. What else would stop it is passed over. Throws E_USAGE if
   * nothing in the recording has the place, or the recording ends before.
   */
  async runTo(place: Place): Promise<DebugStop> {
    return this.exclusively(async () => {
      const wanted = codePlace(place);
      let addresses = await this.places.recordedAddresses(this.task(), wanted);
      while (addresses.length === 0) {
        await this.advanceFrame(place);
        addresses = await this.places.addresses(this.task(), wanted);
      }
      addresses = (await this.navigator.implementation(this.task(), wanted, addresses)) ?? addresses;
      const points = addresses.map((address): Breakpoint => ({ pid: null, address }));
      for (const point of points) this.target.addBreakpoint(point);
      try {
        for (let hits = 0; ;) {
          const stop = await this.move('forward', 'continue');
          if (this.target.isArrival(stop, addresses) && ++hits === wanted.hit) return stop;
          if (stop.kind === 'history-end')
            throw usage(`${String(place)} is not reached again in this recording.`);
        }
      } finally {
        for (const point of points) this.target.removeBreakpoint(point);
      }
    });
  }

  /**
   * To a place, forwards or backwards: a number is a frame; text is read as for `--at`: `1203`, `insert:20`, what `moment`
   * gave. Nothing stops on the way. Throws E_USAGE, and stays where it is, if the recording has no such place.
   */
  async goTo(place: number | string): Promise<void> {
    await this.exclusively(async () => {
      const { opened, target } = this;
      const parsed = requirePlace(String(place), 'goTo');
      if (parsed.kind !== 'frame') {
        this.selected = await visitPlace(opened, parsed, async () => {
          await nextTurn();
          if (this.signal?.aborted) target.interrupt();
        });
        return;
      }
      if (parsed.frame < 1) throw usage(`${place} is no frame: they are numbered from 1.`);
      opened.scan.requireFrame(parsed.frame);
      target.beginGoto(parsed.frame);
      await this.arrive();
    });
  }

  /** Names the very instruction where the replay stands (`1203:0x401136:5`), for `goTo` in every replay of the recording. */
  async moment(): Promise<string> {
    return this.exclusively(async () => {
      this.target.beginMoment();
      await this.arrive();
      invariant(this.target.moment, 'the moment was found');
      return momentText(this.target.moment);
    });
  }

  /** To the first instruction of the first program. */
  async toStart(): Promise<void> {
    await this.goTo(this.opened.firstFrame);
  }

  /** To right before the last process ends; where none does, to the end of the recording. */
  async toEnd(): Promise<DebugStop> {
    return this.exclusively(async () => {
      // Straight there, by what checkpoints there are; the end is met right before its frame.
      const near = this.opened.scan.lastExit() - 1;
      if (near > this.frame) {
        this.target.beginGoto(near);
        await this.arrive();
      }
      for (;;) {
        const stop = await this.move('forward', 'continue');
        const last = new Set(this.tasks().map(({ pid }) => pid)).size === 1;
        if (stop.kind === 'history-end' || (stop.kind === 'exited' && last)) return stop;
      }
    });
  }

  /** Remembers where the replay stands, exactly. */
  mark(): Mark {
    this.requireStill();
    const number = this.target.mark();
    const mark: Mark = {
      frame: this.frame,
      forget: () => {
        if (this.marks.delete(mark) && !this.closed) this.target.forget(number);
      },
    };
    this.marks.set(mark, number);
    return mark;
  }

  /** To a place that was marked. */
  async goBack(mark: Mark): Promise<void> {
    await this.exclusively(async () => {
      const number = this.marks.get(mark);
      if (number === undefined) throw usage('The mark is not one of this replay, or was forgotten.');
      this.target.beginGotoMark(number);
      await this.arrive();
    });
  }

  /**
   * A live copy of the program as it stands, in which its code really runs, for the time of `work`; the replay stands
   * then where it stood.
   */
  async divert<T>(work: (diversion: DiversionHandle) => Promise<T>, options: DivertOptions = {}): Promise<T> {
    return this.exclusively(() => {
      const { dataBreakpoints, session } = this.target;
      const source = { ...session.stand(), tid: this.tid, dataBreakpoints };
      const { expressions } = this.opened;
      return divert(source, work, { turn: () => this.turn(), expressions, ...options });
    });
  }

  /**
   * The value of an expression of C, C++ or Rust where the task stands: `*root`, `tree_sum(root)`, `a[i].name`. What it
   * changes is gone afterwards, see `divert`; output of calls too.
   * @throws RevenantError as DiversionHandle's
   */
  async evaluate(expression: string, options: DivertOptions = {}): Promise<Evaluated> {
    return this.divert((diversion) => diversion.evaluate(expression), options);
  }

  /** Gives the machine back. Nothing else can be done then; closing twice is no error. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.opened.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private task(): Task {
    const task = this.target.findTask(this.tid);
    if (task) return task;
    throw usage(`No task stands behind frame ${this.frame}.`, 'Go to an earlier frame.');
  }

  private unknown(place: Place): RevenantError {
    return usage(
      `Nothing that task ${this.tid} has mapped behind frame ${this.frame} has ${JSON.stringify(String(place))}.`,
      'Libraries come with the loader, and lines need a file with debug information: runTo waits for the former.',
    );
  }

  /** A condition in the target's terms. */
  private asked({ condition }: BreakpointOptions): ((tid: number) => boolean) | undefined {
    if (!condition) return undefined;
    return (tid) => {
      const [selected, busy] = [this.selected, this.busy];
      this.selected = tid;
      this.busy = false;
      try {
        return condition(this);
      } finally {
        this.selected = selected;
        this.busy = busy;
      }
    };
  }

  private requireStill(): void {
    if (this.closed) throw usage('The replay is closed.');
    if (this.busy)
      throw usage('The replay is under way.', 'Await what was asked of it before asking for more.');
  }

  private async exclusively<T>(work: () => T | Promise<T>): Promise<T> {
    this.requireStill();
    this.busy = true;
    try {
      return await work();
    } finally {
      this.busy = false;
    }
  }

  private run(direction: Direction, kind: 'continue' | 'step'): Promise<DebugStop> {
    return this.exclusively(() => this.move(direction, kind));
  }

  private steps(direction: Direction, count: number): Promise<DebugStop> {
    return this.exclusively(async () => {
      if (!Number.isInteger(count) || count < 1) throw usage(`${count} is no number of steps.`);
      const { tid } = this;
      let stop = await this.move(direction, 'step', tid);
      for (let n = 1; n < count && stop.kind === 'step'; n++) stop = await this.move(direction, 'step', tid);
      return stop;
    });
  }

  private move(direction: Direction, kind: 'continue' | 'step', tid = this.tid): Promise<DebugStop> {
    this.target.begin({ direction, tid, mode: { kind } });
    return this.arrive();
  }

  private async advanceFrame(place: Place): Promise<void> {
    this.target.beginGoto(this.frame + 1);
    const { kind } = await this.arrive();
    if (kind === 'history-end' || this.tasks().length === 0)
      throw usage(`Nothing that is mapped from here on has ${JSON.stringify(String(place))}.`);
  }

  private async arrive(): Promise<DebugStop> {
    this.selected = -1;
    for (;;) {
      if (this.signal?.aborted) this.target.interrupt();
      const stop = this.target.poll();
      if (stop?.kind === 'interrupted') throw new RevenantError('E_INTERRUPTED', 'Interrupted.');
      if (stop) return stop;
      await nextTurn();
    }
  }

  private async turn(): Promise<void> {
    await nextTurn();
    if (this.signal?.aborted) throw new RevenantError('E_INTERRUPTED', 'Interrupted.');
  }
}
