import { type Gva } from '../base/address.js';
import { RevenantError, invariant } from '../base/errors.js';
import { Reg, getRegister, newRegisters, type RegisterWords, ripOf } from '../base/registers.js';
import { EFLAGS_RESUME } from '../x86/constants.js';
import { GuestStops } from '../guest/stops/guest-stops.js';
import { isRecorders, patchAround, patchBefore, type Patch } from '../guest/stops/patched-code.js';
import type {
  Breakpoint,
  DebugStop,
  DebugTask,
  Executable,
  LifecycleKind,
  OpenDescriptor,
  Moment,
  ReplayTarget,
  RunRequest,
  Watchpoint,
} from '../target.js';
import type { Vma } from '../mm/vma.js';
import type { Checkpoint } from '../replay/state/checkpoint.js';
import type { ReplayCore } from '../replay/state/core.js';
import { mappedSymbols } from '../replay/state/symbols.js';
import { ReplaySession, type ReplayOptions } from '../replay/session.js';
import { workingDirectory } from '../task/initial-stack.js';
import type { Task } from '../task/task.js';
import { convertImage } from '../x86/xstate-image.js';
import type { Archive } from './archive.js';
import type { TravelCheckpoint } from './checkpoints.js';
import type { TravelEvent } from './event.js';
import { Catching, FrameStops } from './frame-stops.js';
import { RUN, TravelListener } from './listener.js';
import { Interrupted, Navigator, type Slices } from './navigator.js';
import { Moments } from './moments.js';
import { Reverse } from './reverse.js';
import { memoryDigest } from './same-state.js';
import { Searcher } from './search.js';
import { Ticks } from './ticks.js';

export interface TravelOptions extends ReplayOptions {
  /** Debug registers stop data accesses on this machine (ProbeReport.dataBreakpoints). */
  dataBreakpoints: boolean;
  /** The program's output appears whenever it runs, as for a debugger's user; else each byte once. */
  repeatsOutput?: boolean;
  /** Checkpoints in files. */
  archive?: (session: ReplaySession) => Archive;
}

/** Steps of a range after which the caller may check for an interrupt. */
const STEPS_A_TURN = 16;

/** A replay that stops for a debugger and can go to any place of its recording. */
export class TravelTarget implements ReplayTarget {
  readonly kind = 'replay';
  private readonly core: ReplayCore;
  private readonly stops: GuestStops;
  private readonly catching = new Catching();
  private readonly navigator: Navigator;
  private readonly reverse: Reverse;
  private readonly tickCounts: Ticks;
  private readonly moments: Moments;
  private known: { readonly at: TravelCheckpoint; readonly moment: Moment } | null = null;
  private readonly marks = new Map<number, Checkpoint>();
  private nextMark = 1;
  private job: Slices<DebugStop> | null = null;
  last: DebugStop | null = null; // not met again; set where another replay of the recording had stopped

  /** Debug registers stop data accesses on this machine. */
  readonly dataBreakpoints: boolean;
  private readonly repeatsOutput: boolean;

  private constructor(
    readonly session: ReplaySession,
    options: TravelOptions,
  ) {
    this.dataBreakpoints = options.dataBreakpoints;
    this.repeatsOutput = options.repeatsOutput ?? false;
    const core = (this.core = session.core);
    const stops = (this.stops = new GuestStops(core.machine, core.memory, options.dataBreakpoints));
    const frames = new FrameStops(core, this.catching);
    const listener = session.attach(stops, (runner) => new TravelListener(core, runner, stops, frames));
    this.navigator = new Navigator(session, listener, stops);
    this.navigator.archive = options.archive?.(session) ?? null;
    const searcher = new Searcher(core, this.navigator);
    this.reverse = new Reverse(searcher, () => [...this.stops.points, ...this.catching.points]);
    this.tickCounts = new Ticks(searcher, this.reverse);
    this.moments = new Moments(searcher, this.reverse);
    core.memory.reclaimFrom(() => this.navigator.cache.evictOne());
  }

  /** Opens a replay before its first frame. */
  static open(options: TravelOptions): TravelTarget {
    return new TravelTarget(ReplaySession.open({ notesFiles: true, ...options }), options);
  }

  get frameTime(): number {
    return this.session.frameTime;
  }

  get lastFrame(): number | null {
    return this.navigator.lastFrame;
  }

  get currentTid(): number {
    if (this.last && this.core.tasks.has(this.last.tid)) return this.last.tid;
    return this.core.current?.tid ?? this.tasks()[0]?.tid ?? 0;
  }

  /** Checkpoints in memory. */
  get checkpointCount(): number {
    return this.navigator.cache.size;
  }

  /** The trace's copies of mapped files, and the symbols in them. */
  get mappedFiles(): Pick<ReplayCore, 'symbolizer' | 'recordedFile'> {
    return this.core;
  }

  /** A task that exists at the current position, or null. */
  findTask(tid: number): Task | null {
    return this.core.tasks.get(tid) ?? null;
  }

  tasks(): readonly DebugTask[] {
    return [...this.core.tasks.values()].map(({ tid, group, name }) => ({ tid, pid: group.tgid, name }));
  }

  executable(pid: number): Executable {
    for (const { group } of this.core.tasks.values()) {
      if (group.tgid !== pid || !group.program) continue;
      const { file: path, arguments: args, auxv } = group.program;
      return { path, arguments: args, auxv, directory: workingDirectory(group) };
    }
    throw noTask(pid);
  }

  descriptors(pid: number): readonly OpenDescriptor[] {
    const task = [...this.core.tasks.values()].find(({ group }) => group.tgid === pid);
    if (!task) throw noTask(pid);
    return [...task.fds.files]
      .map(([fd, { path: name }]) => ({ fd, name }))
      .sort((one, other) => one.fd - other.fd);
  }

  registers(tid: number): RegisterWords {
    const registers = newRegisters();
    registers.set(this.core.registers(this.task(tid)));
    registers[2 * Reg.eflags] &= ~EFLAGS_RESUME;
    return registers;
  }

  vectorState(tid: number): Uint8Array {
    const { vectors } = this.core;
    return convertImage(this.core.vectorState(this.task(tid)), vectors.hardware, vectors.recorded);
  }

  readMemory(tid: number, start: Gva, into: Uint8Array): number {
    return this.task(tid).space.read(start, into);
  }

  mappings(tid: number): readonly Vma[] {
    return [...this.task(tid).space.vmas];
  }

  siginfo(tid: number): Uint8Array | null {
    return this.last?.kind === 'signal' && this.last.tid === tid ? this.last.siginfo : null;
  }

  /** A digest of all memory that the task sees. */
  memoryDigest(tid: number): string {
    return memoryDigest(this.core, this.task(tid));
  }

  /** The task's instruction pointer. */
  rip(tid: number): Gva {
    return ripOf(this.core.registers(this.task(tid)));
  }

  /**
   * Whether a stop is that of a breakpoint at one of these addresses: inside of code that rr patched it is after that.
   */
  isArrival(stop: DebugStop, addresses: readonly Gva[]): boolean {
    if (stop.kind !== 'breakpoint') return false;
    if (addresses.includes(stop.address)) return true;
    const patch = patchBefore(this.task(stop.tid).space, stop.address);
    return patch !== null && addresses.some((address) => address > patch.start && address < patch.end);
  }

  /** Where a symbol of the program or of a library is in the task's memory, or null. The program comes first. */
  symbol(tid: number, name: string): Gva | null {
    return mappedSymbols(this.core.symbolizer, this.task(tid)).find(name)?.address ?? null;
  }

  get hadBreakpointsInCode(): boolean {
    return this.stops.hadOverlays;
  }

  addBreakpoint(breakpoint: Breakpoint): void {
    this.stops.addBreakpoint(breakpoint);
  }

  removeBreakpoint(breakpoint: Breakpoint): void {
    this.stops.removeBreakpoint(breakpoint);
  }

  addWatchpoint(watchpoint: Watchpoint): void {
    this.stops.addWatchpoint(watchpoint);
  }

  removeWatchpoint(watchpoint: Watchpoint): void {
    this.stops.removeWatchpoint(watchpoint);
  }

  catchSyscalls(which: readonly number[] | 'all' | 'none'): void {
    this.catching.syscalls = which === 'all' ? 'all' : which === 'none' ? null : new Set(which);
  }

  catchLifecycle(kinds: readonly LifecycleKind[]): void {
    this.catching.lifecycle = new Set(kinds);
  }

  passSignals(signals: ReadonlySet<number>): void {
    this.catching.passed = signals;
  }

  suspendStops(): () => void {
    const { catching } = this;
    const resume = this.stops.suspend();
    const { lifecycle, syscalls } = catching;
    Object.assign(catching, { lifecycle: new Set(), syscalls: null });
    return () => {
      Object.assign(catching, { lifecycle, syscalls });
      resume();
    };
  }

  ticks(tid: number): number | null {
    const task = this.task(tid);
    if (this.navigator.running === task) return this.tickCounts.known();
    return task.ticks >= 0 ? task.ticks : task.recTicks;
  }

  beginCountTicks(): void {
    this.start(this.orBack(this.thenStand(this.tickCounts.count())));
  }

  beginSeekTicks(frameTime: number, ticks: number): void {
    this.start(this.orBack(this.thenStand(this.tickCounts.seek(frameTime, ticks))));
  }

  begin(request: RunRequest): void {
    const { direction } = request;
    this.start(direction === 'forward' ? this.runForward(request) : this.orBack(this.runBackward(request)));
  }

  beginGoto(frameTime: number): void {
    this.start(this.goTo(frameTime));
  }

  beginMoment(): void {
    this.start(this.orBack(this.thenStand(this.findMoment())));
  }

  get moment(): Moment | null {
    const { known, navigator } = this;
    return known && known.at === navigator.current ? known.moment : null;
  }

  beginGotoArrival(frameTime: number, addresses: readonly Gva[], hit: number): void {
    this.start(this.orBack(this.moments.arrive(frameTime, addresses, hit)));
  }

  private *findMoment(): Slices<void> {
    const moment = yield* this.moments.describe();
    this.known = { at: this.navigator.keepHere(), moment };
  }

  mark(): number {
    this.requireIdle();
    this.marks.set(this.nextMark, this.session.checkpoint());
    return this.nextMark++;
  }

  /** The same for a checkpoint that was read from a file for this session; `forget` drops it. */
  markOf(checkpoint: Checkpoint): number {
    this.marks.set(this.nextMark, checkpoint);
    return this.nextMark++;
  }

  beginGotoMark(mark: number): void {
    this.start(this.goToMark(mark));
  }

  forget(mark: number): void {
    const checkpoint = this.marks.get(mark);
    if (!checkpoint) return;
    this.marks.delete(mark);
    this.session.drop(checkpoint);
  }

  poll(): DebugStop | null {
    const { job } = this;
    invariant(job, 'an operation is running');
    // Not if it throws: the place may not exist, but others can be used.
    this.job = null;
    const slice = job.next();
    if (!slice.done) {
      this.job = job;
      return null;
    }
    this.navigator.interruptRequested = false;
    this.last = slice.value;
    return this.last;
  }

  interrupt(): void {
    if (this.job) this.navigator.interruptRequested = true;
  }

  /** Frees guest memory. */
  close(): void {
    this.session.close();
  }

  private start(job: Slices<DebugStop>): void {
    this.requireIdle();
    this.navigator.interruptRequested = false;
    this.job = job;
  }

  private requireIdle(): void {
    invariant(this.job === null, 'no operation is running');
  }

  private task(tid: number): Task {
    const task = this.core.tasks.get(tid);
    if (!task) throw noTask(tid);
    return task;
  }

  private *runForward(request: RunRequest): Slices<DebugStop> {
    const { mode, tid } = request;
    const skipTid = this.currentTid;
    if (this.repeatsOutput) this.session.output.repeat();
    if (mode.kind === 'continue') {
      const event = yield* this.navigator.forward({ ...RUN, skipTid });
      if (event.kind === 'stop') this.navigator.keepForUser();
      return this.stopOf(event);
    }
    for (let steps = 1; ; steps++) {
      const event = yield* this.stepForward(tid, skipTid);
      const stop = this.stopOf(event);
      if (stop.kind !== 'step' || mode.kind === 'step') return stop;
      const rip = this.rip(tid);
      if (rip < mode.start || rip >= mode.end) return stop;
      if (this.breaksAt(tid, rip)) return { kind: 'breakpoint', tid, address: rip };
      if (steps % STEPS_A_TURN === 0) yield null;
      if (this.navigator.interruptRequested) return { kind: 'interrupted', tid };
    }
  }

  /** One instruction; one that the recorder replaced, then or as it was reached, with all that its stub does. */
  private *stepForward(tid: number, skipTid: number): Slices<TravelEvent> {
    const before = this.registers(tid);
    const start = ripOf(before);
    let patch = patchAround(this.task(tid).space, start);
    if (patch?.start !== start) {
      const event = yield* this.navigator.forward({ ...RUN, skipTid, stepTid: tid });
      if (event.kind !== 'stop' || event.stop.kind !== 'step' || !this.core.tasks.has(tid)) return event;
      patch = patchAround(this.task(tid).space, start);
      if (patch?.start !== start || !isRecorders(this.task(tid).space, this.rip(tid))) return event;
    }
    return yield* this.toEndOfStub(tid, patch.end, before, skipTid);
  }

  private *toEndOfStub(tid: number, end: Gva, before: RegisterWords, skipTid: number): Slices<TravelEvent> {
    const { stops } = this.navigator;
    const breakpoint = { pid: null, address: end };
    const stack = getRegister(before, Reg.rsp);
    const isIt = (task: Task): boolean =>
      task.tid === tid && getRegister(this.core.registers(task), Reg.rsp) === stack;
    stops.addBreakpoint(breakpoint);
    try {
      return yield* this.navigator.forward({ ...RUN, skipTid, sentinel: { breakpoint, isIt } });
    } finally {
      stops.removeBreakpoint(breakpoint);
    }
  }

  /** Undoes one instruction of the task; one that the recorder replaced with all that its stub did. */
  private *stepBack(tid: number): Slices<DebugStop> {
    const [before, after] = this.patchesAt(tid);
    const start = this.core.tasks.has(tid) ? this.rip(tid) : -1;
    const stop = yield* this.reverse.stepOrStop(tid);
    if (stop.kind !== 'step') return stop;
    if (before && isRecorders(this.task(tid).space, this.rip(tid)))
      yield* this.reverse.toLastArrival(tid, before.start);
    // A system call is patched when it is reached: the earlier arrival at it is not a step.
    const undone = after && this.rip(tid) === start && !patchAround(this.task(tid).space, after.start);
    return undone ? yield* this.reverse.step(tid) : stop;
  }

  /** The patched code that returns to the task's position, and that which begins there. */
  private patchesAt(tid: number): readonly [Patch | null, Patch | null] {
    const space = this.core.tasks.get(tid)?.space;
    if (!space) return [null, null];
    const rip = this.rip(tid);
    const after = patchAround(space, rip);
    return [patchBefore(space, rip), after?.start === rip ? after : null];
  }

  private *runBackward({ mode, tid, stopAtSignals }: RunRequest): Slices<DebugStop> {
    if (mode.kind === 'continue') return yield* this.reverse.toLastStop(tid);
    for (;;) {
      this.navigator.beginJourney();
      const signal = stopAtSignals ? yield* this.reverse.undoSignal(tid, this.catching.passed) : null;
      const stop = signal ?? (yield* this.stepBack(tid));
      if (stop.kind !== 'step' || mode.kind === 'step') return stop;
      const rip = this.rip(tid);
      if (rip < mode.start || rip >= mode.end) return stop;
      if (this.breaksAt(tid, rip)) return { kind: 'breakpoint', tid, address: rip };
      yield null;
      this.navigator.checkInterrupt();
    }
  }

  /** A journey that returns to its beginning if it is interrupted, or if there is no such place. */
  private *orBack(journey: Slices<DebugStop>): Slices<DebugStop> {
    const { navigator } = this;
    const tid = this.currentTid;
    navigator.beginJourney();
    const present = navigator.keepHere();
    navigator.cache.pin(present);
    try {
      return yield* journey;
    } catch (error) {
      const isUsers = error instanceof RevenantError && error.code === 'E_USAGE';
      if (!isUsers && !(error instanceof Interrupted)) throw error;
      navigator.goTo(present);
      if (isUsers) throw error;
      return { kind: 'interrupted', tid };
    } finally {
      navigator.cache.unpin(present);
      navigator.endJourney();
    }
  }

  private *thenStand(journey: Slices<void>): Slices<DebugStop> {
    yield* journey;
    return { kind: 'step', tid: this.session.inside?.task.tid ?? this.currentTid };
  }

  private breaksAt(tid: number, address: Gva): boolean {
    const here = this.stops.breakpointsAt(this.task(tid), address);
    return here.some(({ condition }) => condition?.(tid) ?? true);
  }

  private *goTo(frameTime: number): Slices<DebugStop> {
    const { navigator, session } = this;
    const isBehind = frameTime < session.frameTime || (frameTime === session.frameTime && session.inside);
    const near = navigator.atFrame(frameTime);
    if (isBehind || near.checkpoint.frameTime > session.frameTime) navigator.goTo(near);
    const event = yield* navigator.forward({ ...RUN, blind: true }, frameTime);
    navigator.keepForUser();
    return event.kind === 'frame' ? { kind: 'step', tid: this.nextTid } : this.stopOf(event);
  }

  /** After a frame, the task that runs next: not the current task of another journey. */
  private get nextTid(): number {
    const { session, core } = this;
    const next = session.inside?.task.tid ?? core.trace.peek(1)?.tid ?? -1;
    return core.tasks.has(next) ? next : (core.current?.tid ?? this.currentTid);
  }

  // eslint-disable-next-line require-yield
  private *goToMark(mark: number): Slices<DebugStop> {
    const checkpoint = this.marks.get(mark);
    if (!checkpoint) throw new RevenantError('E_USAGE', `There is no mark ${mark}.`);
    this.navigator.goToKept(checkpoint);
    return { kind: 'step', tid: this.nextTid };
  }

  private stopOf(event: TravelEvent): DebugStop {
    const tid = this.session.inside?.task.tid ?? this.currentTid;
    switch (event.kind) {
      case 'stop':
        return event.stop;
      case 'end':
        return { kind: 'history-end', tid };
      case 'interrupted':
        return { kind: 'interrupted', tid };
      default:
        return { kind: 'step', tid };
    }
  }
}

const noTask = (tid: number): RevenantError =>
  new RevenantError('E_USAGE', `There is no task ${tid} at the current position.`);
