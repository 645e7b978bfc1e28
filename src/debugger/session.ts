/**
 * The state of one debugger on one recording: the processes it is attached to, the current task,
 * and whether it sees the replay or a diversion of it.
 */
import type { Logger } from '../engine/base/log.js';
import type { Predicate } from '../engine/base/predicate.js';
import { Reg, type RegisterName } from '../engine/base/registers.js';
import type { RevenantError } from '../engine/base/errors.js';
import type {
  DebugStop,
  DebugTarget,
  DebugTask,
  MutableTarget,
  OutputBuffers,
  ReplayTarget,
  StartDiversion,
  StartedDiversion,
} from '../engine/target.js';
import { isLoss } from '../recording/losses.js';
import type { XstateLayout } from '../engine/x86/xstate-layout.js';
import { Allocations } from './allocations.js';
import { agentContext, anyHolds } from './agent/conditions.js';
import { predicateOf } from './agent/predicate.js';
import { BreakpointTable } from './breakpoints.js';
import { VisitedPlaces } from './visited-places.js';
import type { RecordedFiles } from './files/recorded.js';
import { FileTable } from './files/table.js';
import { formatThreadId, PacketError, toHex, type ThreadId } from './packet/fields.js';
import { programOf } from './program.js';
import { sameRegisters, type Diversion, type Lender } from './calls.js';
import { RegisterBank } from './registers/bank.js';
import { describeTarget, type TargetDescription } from './registers/description.js';
import { gdbSignal, linuxSignal } from './signals.js';

/** Facts from the recording, without replaying. */
export interface RecordingFacts {
  /** Lines about frames `from` to `to`, both included; for people. */
  frameLines(from: number, to: number): string[];
  /** A frame, or the recording's last if that comes before it. */
  frameWithin(frame: number): number;
  /** For tasks of a process that end together, the last at `frame`: the first one's end, and the last active task. */
  jointEnd(frame: number): { readonly frame: number; readonly tid: number };
  /** The frame after which a task that exists at frame `now` reaches a tick count, or null: see `trace/ticks.ts`. */
  frameOfTicks(tid: number, now: number, ticks: number): number | null;
  /** The frame at which a task begins to exist, or null. */
  birthOf(tid: number): number | null;
  /** CLOCK_MONOTONIC of the recording, in seconds: at its beginning, and at a frame or the last before it. */
  seconds(frame: number): { readonly begin: number; readonly at: number };
}

export interface SessionOptions {
  readonly replay: ReplayTarget;
  /**
   * Handles the loss of the machine of the replay, or of its diversion: afterwards the replay is in
   * the same state on another one. Throws RevenantError if none can be leased. Absent: not
   * supported.
   */
  readonly recover?: (loss: RevenantError) => Promise<void>;
  /** How a diversion is made; null: writes are refused. */
  readonly divert: StartDiversion | null;
  /** Of the recording. */
  readonly layout: XstateLayout;
  /** Files that symbols are read from. */
  readonly files: RecordedFiles;
  /** The path of the trace's copy of a file on this machine, for a client that reads files itself; null: none. */
  readonly copyOf: (recorded: string) => string | null;
  /** Called at every stop of a diversion, for each file that is mapped as code. */
  readonly mapped?: (file: string) => void;
  readonly facts: RecordingFacts;
  /**
   * Goes to a place in the user's notation (recording/place.ts), with turns in between; returns its
   * task. Nothing stops on the way. Throws RevenantError E_USAGE if there is no such place,
   * E_INTERRUPTED: it has then not moved.
   */
  readonly goTo: (place: string, turn: () => Promise<void>) => Promise<number>;
  /** Of the recording: its absolute path. */
  readonly folder: string;
  readonly log: Logger;
  /**
   * Exits, calls that end their process and names of threads are reported as by rr, for its scripts and front ends.
   */
  readonly asRr?: boolean;
}

/** The client's announced features and settings. */
export interface ClientFeatures {
  readonly features: Set<string>;
  /** Linux's numbers of signals that are not reported to gdb. */
  passSignals: ReadonlySet<number>;
  catchSyscalls: readonly number[] | 'all' | 'none';
  /**
   * The client is LLDB: signals have Linux's numbers, stops have a textual reason, files are read by the client itself.
   */
  isLldb: boolean;
  /** Requests about registers name their thread (`QThreadSuffixSupported`). */
  threadSuffix: boolean;
  /** Every stop lists all threads (`QListThreadsInStopReply`). */
  listThreads: boolean;
  /** Errors with their text (`QEnableErrorStrings`). */
  errorText: boolean;
}

/** A named place in the recording. */
export interface NamedMark {
  readonly mark: number;
  readonly frameTime: number;
  readonly where: string;
}

export class Session {
  readonly replay: ReplayTarget;
  readonly description: TargetDescription;
  readonly registers: RegisterBank;
  readonly breakpoints: BreakpointTable;
  readonly files: FileTable;
  readonly recorded: RecordedFiles;
  readonly facts: RecordingFacts;
  readonly folder: string;
  readonly log: Logger;
  readonly client: ClientFeatures = {
    features: new Set(),
    passSignals: new Set(),
    catchSyscalls: 'none',
    isLldb: false,
    threadSuffix: false,
    listThreads: false,
    errorText: false,
  };
  /** The list of libraries that was read last, and the program that such a list has named. */
  libraries = '';
  listedProgram = '';
  /** Memory of the client's own in the program. */
  readonly allocations = new Allocations();
  /** Thread groups that gdb is attached to. Others run without being reported. */
  readonly attached = new Set<number>();
  diversion: Diversion | null = null;
  /** Stop replies that the next requests to run are answered with, without running: what happened besides. */
  readonly pending: (() => string)[] = [];
  /** No more history in this direction for the attached processes. */
  edge: 'begin' | 'end' | null = null;
  /** Parents of vforks whose children gdb detached from: it waits for them to exec or exit. By the child's pid. */
  readonly vforks = new Map<number, { pid: number; tid: number }>();
  readonly marks = new Map<number, NamedMark>();
  nextMark = 1;
  readonly visited = new VisitedPlaces((mark) => this.replay.forget(mark));
  /** Where debugging began. */
  startMark: number | null = null;
  startFrame = 0;
  /** Where `run` goes back to: the last checkpoint that was restored, or where debugging began. */
  runMark: number | null = null;
  /** The stop that was last reported to gdb; null after a jump in time. */
  lastReported: DebugStop | null = null;
  /** The reply to the last stop, for `?`, and the thread that the last reply was about. */
  lastStop = '';
  stoppedTid = 0;
  /** Set by Ctrl-C, and when the client has disconnected. */
  interruptRequested = false;
  closed = false;
  /** The exit of the process was reported: there is no thread until it runs again. */
  gone = false;
  /** The exit of the process was reported although it is stopped here: gdb does not know at which breakpoint. */
  reborn = false;
  /** Text for the debugger's console; set by the connection while one may be sent. */
  console: (text: Uint8Array) => void = () => {};
  /** Watched memory as it was between two hits, for a stop that only gdb sees: it has the earlier value from there. */
  between: { readonly address: number; readonly bytes: Uint8Array } | null = null;
  /** The error that ended the replay: it can be inspected, but cannot run any more. */
  failed: RevenantError | null = null;
  /** The programs that gdb has read symbols for, by pid. */
  readonly programs = new Map<number, string>();
  private generalTid = 0;

  constructor(readonly options: SessionOptions) {
    this.replay = options.replay;
    this.recorded = options.files;
    this.facts = options.facts;
    this.folder = options.folder;
    this.log = options.log;
    this.description = describeTarget(options.layout);
    this.registers = new RegisterBank(this.description, options.layout);
    this.files = new FileTable((path) => this.recorded.open(path, this));
    this.breakpoints = new BreakpointTable(
      (codes, target) => (tid) => {
        const context = agentContext(target, tid, this.description, this.registers.read);
        return anyHolds(codes, context);
      },
      (codes) => this.predicatesOf(codes),
    );
  }

  /** Conditions as predicates; undefined where one of them is none. */
  predicatesOf(codes: readonly Uint8Array[]): readonly Predicate[] | undefined {
    const slotOf = (number: number): number => {
      const name = this.description.registers[number]?.name ?? '';
      return name in Reg ? Reg[name as RegisterName] : -1;
    };
    const predicates: Predicate[] = [];
    for (const code of codes) {
      const predicate = predicateOf(code, slotOf);
      if (!predicate) {
        this.log.debug({ code: toHex(code) }, 'a condition is evaluated at each arrival, by the engine');
        return undefined;
      }
      predicates.push(predicate);
    }
    return predicates;
  }

  /** See `SessionOptions.asRr`. */
  get asRr(): boolean {
    return this.options.asRr ?? false;
  }

  /** The current target: the diversion or the replay. */
  get target(): DebugTarget {
    return this.diversion?.target ?? this.replay;
  }

  /** The trace's copy of a recorded file on this machine, or null. */
  copyOf(recorded: string): string | null {
    return this.options.copyOf(recorded);
  }

  /** A signal's number as the client has it; `linuxNumber` the other way. */
  signalNumber(linux: number): number {
    return this.client.isLldb ? linux : gdbSignal(linux);
  }

  linuxNumber(signal: number): number {
    return this.client.isLldb ? signal : linuxSignal(signal);
  }

  /** A thread's id in the client's format. */
  threadId(pid: number, tid: number): string {
    return this.client.features.has('multiprocess') ? formatThreadId(pid, tid) : tid.toString(16);
  }

  say(text: string): void {
    this.console(Buffer.from(`${text}\n`));
  }

  /** Prints an error in full; the protocol has only numbers. */
  failure(error: RevenantError): void {
    this.say(`revenant: ${error.message}`);
    if (error.hint) this.say(`revenant: ${error.hint}`);
    if (error.code === 'E_DIVERGED' && this.replay.hadBreakpointsInCode)
      this.say(
        'revenant: If the program reads its own code, breakpoints may be the cause: try with at most four.',
      );
  }

  /** Throws PacketError if the recording ends before a frame. */
  requireFrame(frame: number): void {
    const last = this.facts.frameWithin(frame);
    if (last < frame) throw new PacketError(`The recording ends with frame ${last}.`);
  }

  /** Debugging begins here, with the process of `tid`; `run` goes back here. */
  begin(tid: number): void {
    this.attach(this.pidOf(tid));
    this.select(tid);
    this.startMark = this.replay.mark();
    this.startFrame = this.replay.frameTime;
    this.runMark = this.startMark;
  }

  /** Attaches to a process: its events are reported to gdb from now on. */
  attach(pid: number): void {
    this.gone = false;
    this.attached.add(pid);
    this.programs.set(pid, programOf(this.target, pid));
  }

  /** Tasks of attached processes. */
  tasks(): DebugTask[] {
    if (this.gone) return [];
    return this.target.tasks().filter(({ pid }) => this.attached.has(pid));
  }

  taskOf(tid: number): DebugTask | undefined {
    return this.target.tasks().find((task) => task.tid === tid);
  }

  /** The pid of a task that exists. Throws PacketError. */
  pidOf(tid: number): number {
    const task = this.taskOf(tid);
    if (!task) throw new PacketError(`there is no task ${tid}`, 3);
    return task.pid;
  }

  /** The task for requests without a thread id. Throws PacketError if there is none. */
  currentTask(): DebugTask {
    const tasks = this.tasks();
    const chosen =
      tasks.find(({ tid }) => tid === this.generalTid) ??
      tasks.find(({ tid }) => tid === this.target.currentTid) ??
      tasks.at(0);
    if (!chosen) throw new PacketError('there is no task', 3);
    return chosen;
  }

  select(tid: number): void {
    this.generalTid = tid;
  }

  /** The task that an id of a packet names; `any` and `all` take the current one where they can. */
  resolve(id: ThreadId): DebugTask {
    const tasks = this.tasks();
    const ofProcess = typeof id.pid === 'number' ? tasks.filter(({ pid }) => pid === id.pid) : tasks;
    const task =
      typeof id.tid === 'number'
        ? ofProcess.find(({ tid }) => tid === id.tid)
        : (ofProcess.find(({ tid }) => tid === this.generalTid) ??
          ofProcess.find(({ tid }) => tid === this.target.currentTid) ??
          ofProcess.at(0));
    if (!task) throw new PacketError('there is no such thread', 3);
    return task;
  }

  /** The diversion, which is begun if there is none: writes need one. Throws PacketError if it cannot be made. */
  divertForWrite(): Diversion {
    return this.diversion ?? this.startDiversion(false);
  }

  startDiversion(explicit: boolean): Diversion {
    if (this.diversion) {
      this.diversion.explicit ||= explicit;
      return this.diversion;
    }
    const { divert } = this.options;
    if (!divert) throw new PacketError('this session cannot make diversions', 1);
    const started = divert(this.replay, (text) => this.say(`[diversion: ${text}]`));
    this.allocations.install(started.target);
    this.diversion = newDiversion(started, explicit);
    this.log.debug({ frame: this.replay.frameTime, explicit }, 'diversion begins');
    return this.diversion;
  }

  /** Shows gdb a diversion that was begun elsewhere, until `takeBack`. */
  lend(target: MutableTarget, buffers: OutputBuffers, lent: Lender): void {
    this.diversion = { ...newDiversion({ target, buffers }, true), lent };
  }

  /** The owner continues without gdb's breakpoints. */
  takeBack(): void {
    if (this.diversion) this.breakpoints.withdraw(this.diversion.target);
    this.diversion = null;
  }

  endDiversion(): void {
    const { diversion } = this;
    if (!diversion) return;
    this.diversion = null;
    if (!diversion.lent) {
      this.allocations.keep(diversion.target);
      diversion.target.close();
    }
    this.log.debug({ frame: this.replay.frameTime }, 'diversion ends');
  }

  /** Runs a request on the target; if its machine is lost, again on another one. */
  async lasting<T>(ask: () => T | Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!isLoss(error)) throw error;
        await this.recover(error);
      }
    }
  }

  /** A diversion is lost with its machine; a replay is restored. Throws RevenantError. */
  async recover(loss: RevenantError): Promise<void> {
    const { diversion } = this;
    const { recover } = this.options;
    if (!recover || diversion?.lent) throw loss;
    this.diversion = null;
    if (diversion) {
      this.allocations.keep(diversion.target);
      this.say('[diversion: lost with its machine; back in the replay]');
    }
    await recover(loss);
  }

  /** All of gdb's writes are undone: no call is running, no change remains. */
  isDiversionSpent(): boolean {
    const { diversion } = this;
    return diversion !== null && !diversion.explicit && !diversion.changed && diversion.written.size === 0;
  }

  /** A task of a diversion exists in the replay, too, with the same registers. */
  private standsAsReplay({ target }: Diversion, tid: number): boolean {
    const exists = (where: DebugTarget): boolean => where.tasks().some((task) => task.tid === tid);
    if (!exists(target) || !exists(this.replay)) return false;
    return sameRegisters(target.registers(tid), this.replay.registers(tid));
  }

  /**
   * A task of the replay whose process has the program and libraries of this one: itself, or the task that began the
   * diversion.
   */
  replayed(tid: number): number {
    const known = this.replay.tasks().some((task) => task.tid === tid);
    return known ? tid : this.replay.currentTid;
  }

  /** The signal that a task is stopped at, or null; after a call by gdb, that of the replay again. */
  siginfo(tid: number): Uint8Array | null {
    const { diversion } = this;
    const source = diversion && !this.standsAsReplay(diversion, tid) ? diversion.target : this.replay;
    return source.siginfo(tid);
  }

  /** Releases this session's resources; the replay belongs to its opener. */
  close(): void {
    this.closed = true;
    this.endDiversion();
    for (const { mark } of this.marks.values()) this.replay.forget(mark);
    this.marks.clear();
  }
}

const newDiversion = ({ target, buffers }: StartedDiversion, explicit: boolean): Diversion => ({
  target,
  buffers,
  explicit,
  over: null,
  ran: false,
  changed: false,
  written: new Map(),
  lastWritten: null,
  allocated: null,
});
