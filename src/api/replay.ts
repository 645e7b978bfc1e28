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
import { memoryOf, readText } from '../engine/base/memory-values.js';
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
import type { TraceHeader } from '../engine/trace/records.js';
import type { TravelTarget } from '../engine/travel/target.js';
import type { Evaluated } from '../diversion/call/evaluated.js';
import { openEvaluating, type EvaluatingRecording } from '../expressions/open.js';
import type { CodePlaces } from '../recording/code-places.js';
import { divert, sourceOf, type DivertOptions, type DiversionHandle } from '../recording/divert.js';
import { PlaceNavigator, visitPlace } from '../recording/navigator.js';
import { codePlace, momentText, requirePlace, type PlaceInput } from '../recording/place.js';
import { arrival, nextTurn } from '../recording/stops.js';
import { VALUE_BYTES, decodeValue, type ValueOf, type ValueType } from '../recording/values.js';
import { contextOf, type OpenReplayOptions } from './options.js';
import type { Mark, PointOptions, StopPoint, WatchPointOptions } from './stop-points.js';

export type { Mark, StopPoint } from './stop-points.js';
export type BreakpointOptions = PointOptions<Replay>;
export type WatchOptions = WatchPointOptions<Replay>;

const usage = (text: string, hint?: string): RevenantError => new RevenantError('E_USAGE', text, hint);
/** Of a text that is read. */
const MAX_TEXT = 1 << 20;

/** One thing at a time: methods that return a promise must be awaited before anything else is asked of the replay. */
export class Replay {
  private readonly target: TravelTarget;
  private readonly places: CodePlaces;
  private readonly navigator: PlaceNavigator;
  private readonly marks = new Map<Mark, number>();
  private selected = -1;
  private busy = false;
  private closed = false;

  private constructor(
    private readonly opened: EvaluatingRecording,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.target = opened.target;
    this.places = opened.places;
    this.navigator = new PlaceNavigator(opened, { turn: () => this.turnWhileMoving() });
  }

  /**
   * Opens a trace; the replay stands at the first instruction of its first program.
   * Throws RevenantError: the trace cannot be read, no machine here can carry it.
   */
  static async open(folder: string, options: OpenReplayOptions = {}): Promise<Replay> {
    const replay = new Replay(await openEvaluating(contextOf(folder, options)), options.signal);
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
    return this.opened.machine.description;
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
  readMemory(place: PlaceInput, size: number): Uint8Array {
    const at = this.address(place);
    const bytes = new Uint8Array(size);
    const count = this.target.readMemory(this.tid, at as Gva, bytes);
    if (count < size)
      throw usage(`Of ${size} bytes at ${hex(at)} the program has ${count}: nothing is mapped behind.`);
    return bytes;
  }

  /** A number at an address or symbol: `read('inserted', 'i32')`. */
  read<T extends ValueType>(place: PlaceInput, type: T): ValueOf<T> {
    return decodeValue(this.readMemory(place, VALUE_BYTES[type]), type);
  }

  /** The pointer at an address or symbol. */
  readPointer(place: PlaceInput): bigint {
    return this.read(place, 'u64');
  }

  /** The NUL-terminated text at an address or symbol (not at a pointer to it), at most a MiB. */
  readText(place: PlaceInput): string {
    const start = this.address(place);
    const { bytes, end } = readText(memoryOf(this.target, this.tid), start, MAX_TEXT);
    // Says what cannot be read.
    if (end === 'unreadable') this.readMemory(start, bytes.length + 1);
    return Buffer.from(bytes).toString('utf8');
  }

  /** A digest of all memory that the task sees. */
  memoryDigest(): string {
    this.requireStill();
    return this.target.memoryDigest(this.tid);
  }

  /** Where a symbol is and how large, or null while no file that has it is mapped. */
  symbol(name: string): { address: number; size: number } | null {
    this.requireStill();
    return this.places.symbol(this.tid, name);
  }

  /** `insert+0x1c`, or null where no symbol covers the address. */
  symbolAt(address: number | bigint): string | null {
    this.requireStill();
    const hit = this.places.symbolAt(this.tid, Number(address) as Gva);
    return hit && formatSymbol(hit);
  }

  /**
   * The line of source at an address (by default: where the task stands), or null where the recorded file tells none.
   * Throws E_UNSUPPORTED without binutils' readelf.
   */
  async line(address: number | bigint = this.rip): Promise<SourceLine | null> {
    return this.exclusively(() => this.places.lineAt(this.tid, Number(address) as Gva));
  }

  /** The address of a symbol, of `symbol+bytes` or of a number. Throws E_USAGE while it is not mapped. */
  address(place: PlaceInput): number {
    this.requireStill();
    return this.places.requireAddress(this.tid, place);
  }

  /**
   * Stops runs at an address, a symbol or a line (which may have several addresses). Throws E_USAGE while nothing
   * that is mapped has the place: libraries are, once the loader has run (`runTo('main')`).
   */
  async breakAt(place: PlaceInput, options: BreakpointOptions = {}): Promise<StopPoint> {
    return this.exclusively(async () => {
      const mapped = await this.places.requireAddresses(this.tid, place);
      const chosen = await this.navigator.implementation(this.tid, codePlace(place), mapped);
      const addresses = chosen ?? mapped;
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
  watch(place: PlaceInput, options: WatchOptions = {}): StopPoint {
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
  async runTo(place: PlaceInput): Promise<DebugStop> {
    return this.exclusively(() =>
      this.moving(() => this.navigator.next(codePlace(place), this.tid, String(place))),
    );
  }

  /**
   * To a place, forwards or backwards: a number is a frame; text is read as for `--at`: `1203`, `insert:20`, what `moment`
   * gave. Nothing stops on the way. Throws E_USAGE, and stays where it is, if the recording has no such place.
   */
  async goTo(place: number | string): Promise<void> {
    await this.exclusively(async () => {
      const parsed = requirePlace(String(place), 'goTo');
      if (parsed.kind === 'frame') await this.moving(() => this.navigator.toFrame(parsed.frame));
      else this.selected = await visitPlace(this.opened, parsed, () => this.turnWhileMoving());
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
    return this.exclusively(() => this.moving(() => this.navigator.toEnd()));
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
      const { expressions, target } = this.opened;
      return divert(sourceOf(target, this.tid), work, { turn: () => this.turn(), expressions, ...options });
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

  /** Where it arrives selects the task. */
  private arrive(): Promise<DebugStop> {
    this.selected = -1;
    if (this.signal?.aborted) this.target.interrupt();
    return arrival(this.target, () => this.turnWhileMoving());
  }

  /** The same for what the navigator does; the selected task stays where it went nowhere. */
  private async moving<T>(work: () => Promise<T>): Promise<T> {
    this.checkSignal();
    const { frame } = this;
    try {
      const result = await work();
      this.selected = -1;
      return result;
    } catch (error) {
      if (this.frame !== frame) this.selected = -1;
      throw error;
    }
  }

  private checkSignal(): void {
    if (this.signal?.aborted) throw new RevenantError('E_INTERRUPTED', 'Interrupted.');
  }

  private async turn(): Promise<void> {
    await nextTurn();
    this.checkSignal();
  }

  /** The replay is interrupted where it can be gone on from. */
  private async turnWhileMoving(): Promise<void> {
    await nextTurn();
    if (this.signal?.aborted) this.target.interrupt();
  }
}
