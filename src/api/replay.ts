/**
 * A recording for scripts: run to places, stop at breakpoints and watchpoints, read registers and memory, go back.
 *
 *   const replay = await Replay.open('traces/skylake-pku/tree');
 *   await replay.runTo('insert');
 *   console.log(replay.symbolAt(replay.rip), replay.register('rsi'));
 *   await replay.reverseStep();
 *   await replay.close();
 */
import { hex, gva } from '../engine/base/address.js';
import { RevenantError, invariant } from '../engine/base/errors.js';
import { memoryOf, readText } from '../engine/base/memory-values.js';
import { evaluatePredicate, ONLY_ZEROS, type Predicate } from '../engine/base/predicate.js';
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
import { memoryIs, registersAre } from './predicates.js';
import type { BreakPointOptions, Mark, PointOptions, StopPoint, WatchPointOptions } from './stop-points.js';

export type { Mark, StopPoint } from './stop-points.js';
export type BreakpointOptions = BreakPointOptions<Replay>;
export type WatchOptions = WatchPointOptions<Replay>;

const usage = (text: string, hint?: string): RevenantError => new RevenantError('E_USAGE', text, hint);
/** Maximum length of a text that is read. */
const MAX_TEXT = 1 << 20;

/** One operation at a time: await a method that returns a promise before calling another. */
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
   * Opens a trace; the replay is then at the first instruction of its first program. Throws
   * RevenantError: the trace cannot be read, no machine here can replay it.
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

  /** What was recorded, where, on which processor. */
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

  /** The current task: that of the last stop, or the one selected since. */
  get tid(): number {
    return this.selected >= 0 ? this.selected : this.target.currentTid;
  }

  /** Selects another task, until the replay next moves. */
  select(tid: number): void {
    if (!this.tasks().some((task) => task.tid === tid)) throw usage(`There is no task ${tid} here.`);
    this.selected = tid;
  }

  /** The task's instruction pointer. */
  get rip(): number {
    this.requireStill();
    return this.target.rip(this.tid);
  }

  /** A register of the task as an unsigned 64-bit number. */
  register(name: RegisterName): bigint {
    if (!(name in Reg))
      throw usage(`Unknown register ${String(name)}; registers are: ${REGISTER_NAMES.join(', ')}.`);
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
    const count = this.target.readMemory(this.tid, gva(at), bytes);
    if (count < size) throw usage(`Only ${count} of ${size} bytes at ${hex(at)} are mapped.`);
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
    // The error for memory that cannot be read.
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
    const hit = this.places.symbolAt(this.tid, gva(Number(address)));
    return hit && formatSymbol(hit);
  }

  /**
   * The source line at an address (default: the task's instruction pointer), or null if the
   * recorded file has none for it. Throws E_UNSUPPORTED without binutils' readelf.
   */
  async line(address: number | bigint = this.rip): Promise<SourceLine | null> {
    return this.exclusively(() => this.places.lineAt(this.tid, gva(Number(address))));
  }

  /** The address of a symbol, of `symbol+bytes` or of a number. Throws E_USAGE while it is not mapped. */
  address(place: PlaceInput): number {
    this.requireStill();
    return this.places.requireAddress(this.tid, place);
  }

  /**
   * Stops runs at an address, a symbol or a line (which may have several addresses). Throws E_USAGE
   * while no mapped file has the place: libraries are mapped once the loader has run
   * (`runTo('main')`).
   */
  async breakAt(place: PlaceInput, options: BreakpointOptions = {}): Promise<StopPoint> {
    return this.exclusively(async () => {
      const mapped = await this.places.requireAddresses(this.tid, place);
      const chosen = await this.navigator.implementation(this.tid, codePlace(place), mapped);
      const addresses = chosen ?? mapped;
      const predicate = options.registers && registersAre(options.registers);
      const condition = this.tested(predicate, this.asked(options));
      const predicates = predicate && [predicate];
      const points = addresses.map((address): Breakpoint => ({
        pid: options.pid ?? null,
        address,
        condition,
        predicates,
      }));
      for (const point of points) this.target.addBreakpoint(point);
      return { addresses, remove: () => points.forEach((point) => this.target.removeBreakpoint(point)) };
    });
  }

  /** Stops runs at accesses to memory, of any length. */
  watch(place: PlaceInput, options: WatchOptions = {}): StopPoint {
    const address = gva(this.address(place));
    const symbol = typeof place === 'string' ? this.symbol(place.trim()) : null;
    const length = options.length ?? (symbol?.size || 8);
    if (!Number.isInteger(length) || length < 1)
      throw usage(`Invalid watchpoint length ${length}: at least one byte.`);
    const { access = 'write', value } = options;
    if (value !== undefined && access !== 'write') throw usage('A watchpoint for a value is one for writes.');
    const watch: Watchpoint = {
      pid: options.pid ?? null,
      address,
      length,
      access,
      condition: this.asked(options),
      predicates: value === undefined ? undefined : [memoryIs(address, length, value)],
    };
    this.target.addWatchpoint(watch);
    return { addresses: [address], remove: () => this.target.removeWatchpoint(watch) };
  }

  /** Numbers of system calls to stop at, at entry and exit. */
  catchSyscalls(which: readonly number[] | 'all' | 'none'): void {
    this.target.catchSyscalls(which);
  }

  /** Process events to stop at. */
  catchEvents(kinds: readonly LifecycleKind[]): void {
    this.target.catchLifecycle(kinds);
  }

  /** Runs to the next stop. The exit of a process, the end of the recording and signals always stop. */
  async continue(): Promise<DebugStop> {
    return this.run('forward', 'continue');
  }

  /** Runs back to the previous stop. At a watchpoint the access is undone. */
  async reverseContinue(): Promise<DebugStop> {
    return this.run('backward', 'continue');
  }

  /** Executes instructions of the task, one by default; fewer if something else stops it. */
  async step(count = 1): Promise<DebugStop> {
    return this.steps('forward', count);
  }

  /** Undoes instructions of the task. */
  async reverseStep(count = 1): Promise<DebugStop> {
    return this.steps('backward', count);
  }

  /**
   * Runs to the next arrival of any task at a place: an address, a symbol (possibly of a library
   * that is not loaded yet), a line; with `:HIT` to that arrival from here. Other stops are
   * ignored. Throws E_USAGE if nothing in the recording has the place, or the recording ends
   * before.
   */
  async runTo(place: PlaceInput): Promise<DebugStop> {
    return this.exclusively(() =>
      this.moving(() => this.navigator.next(codePlace(place), this.tid, String(place))),
    );
  }

  /**
   * Goes to a place, forwards or backwards: a number is a frame; text is parsed as for `--at`:
   * `1203`, `insert:20`, a result of `moment`. Nothing stops on the way. Throws E_USAGE, without
   * moving, if the recording has no such place.
   */
  async goTo(place: number | string): Promise<void> {
    await this.exclusively(async () => {
      const parsed = requirePlace(String(place), 'goTo');
      if (parsed.kind === 'frame') await this.moving(() => this.navigator.toFrame(parsed.frame));
      else this.selected = await visitPlace(this.opened, parsed, () => this.turnWhileMoving());
    });
  }

  /** Names the current instruction (`1203:0x401136:5`), for `goTo` in any replay of the recording. */
  async moment(): Promise<string> {
    return this.exclusively(async () => {
      this.target.beginMoment();
      await this.arrive();
      invariant(this.target.moment, 'the moment was found');
      return momentText(this.target.moment);
    });
  }

  /** Goes to the first instruction of the first program. */
  async toStart(): Promise<void> {
    await this.goTo(this.opened.firstFrame);
  }

  /** Goes to right before the last process ends; if none does, to the end of the recording. */
  async toEnd(): Promise<DebugStop> {
    return this.exclusively(() => this.moving(() => this.navigator.toEnd()));
  }

  /** Marks the exact current position. */
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

  /** Goes back to a mark. */
  async goBack(mark: Mark): Promise<void> {
    await this.exclusively(async () => {
      const number = this.marks.get(mark);
      if (number === undefined) throw usage('The mark belongs to another replay, or was forgotten.');
      this.target.beginGotoMark(number);
      await this.arrive();
    });
  }

  /**
   * A live copy of the program in its current state, in which its code really runs, for the duration of `work`; the
   * replay does not move.
   */
  async divert<T>(work: (diversion: DiversionHandle) => Promise<T>, options: DivertOptions = {}): Promise<T> {
    return this.exclusively(() => {
      const { expressions, target } = this.opened;
      return divert(sourceOf(target, this.tid), work, { turn: () => this.turn(), expressions, ...options });
    });
  }

  /**
   * The value of an expression of C, C++ or Rust at the current place: `*root`, `tree_sum(root)`,
   * `a[i].name`. Its changes are discarded, see `divert`; so is the output of calls. @throws
   * RevenantError as DiversionHandle's
   */
  async evaluate(expression: string, options: DivertOptions = {}): Promise<Evaluated> {
    return this.divert((diversion) => diversion.evaluate(expression), options);
  }

  /** Releases the machine. No other method can be called afterwards; closing twice is not an error. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.opened.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** What the engine asks where a predicate of registers was found to hold, or was not tested. */
  private tested(
    predicate: Predicate | undefined,
    condition: ((tid: number) => boolean) | undefined,
  ): ((tid: number) => boolean) | undefined {
    if (!predicate) return condition;
    return (tid) => {
      const registers = this.target.registers(tid);
      const register = (slot: number): bigint => getRegister(registers, slot);
      const holds = evaluatePredicate(predicate, { ...ONLY_ZEROS, register }) !== 0n;
      return holds && (condition?.(tid) ?? true);
    };
  }

  /** A condition for the target. */
  private asked({ condition }: PointOptions<Replay>): ((tid: number) => boolean) | undefined {
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
    if (this.busy) throw usage('Another operation of the replay is running.', 'Await its promise first.');
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
      if (!Number.isInteger(count) || count < 1) throw usage(`Invalid number of steps ${count}.`);
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

  /** Selects the task of the stop. */
  private arrive(): Promise<DebugStop> {
    this.selected = -1;
    if (this.signal?.aborted) this.target.interrupt();
    return arrival(this.target, () => this.turnWhileMoving());
  }

  /** The same for the navigator; the selection is kept if the replay did not move. */
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

  /** Interrupts the replay at a point from which it can continue. */
  private async turnWhileMoving(): Promise<void> {
    await nextTurn();
    if (this.signal?.aborted) this.target.interrupt();
  }
}
