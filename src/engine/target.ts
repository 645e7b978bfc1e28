/**
 * What a front end (the gdb server, the script API) needs of a program that can be stopped: a replay, which
 * also runs backwards, or a diversion. Both implement it; front ends know neither.
 *
 * Synchronous and resumable like ReplaySession: `begin` says what to do, `poll` does a slice of it and returns
 * the stop or null, so that a front end can look for an interrupt in between. Registers and memory may be
 * touched only while nothing is under way.
 */
import type { Gva } from './base/address.js';
import type { RegisterWords } from './base/registers.js';
import type { Vma } from './mm/vma.js';

export interface DebugTask {
  readonly tid: number;
  /** Thread group: what gdb calls an inferior. */
  readonly pid: number;
  /** At most 15 bytes, as in /proc/TID/comm. */
  readonly name: string;
}

/** A program that a thread group has executed. */
export interface Executable {
  /** As recorded. */
  readonly path: string;
  readonly arguments: readonly string[];
  /** The auxiliary vector as it was on the stack. */
  readonly auxv: Uint8Array;
  /** The working directory as far as the recording tells: the last chdir's, else PWD of its environment; or null. */
  readonly directory: string | null;
}

/** A descriptor of a process and what it leads to, in the words of a link in /proc/PID/fd as far as it is known. */
export interface OpenDescriptor {
  readonly fd: number;
  readonly name: string;
}

export type Direction = 'forward' | 'backward';

export interface RunRequest {
  readonly direction: Direction;
  /** The task that steps. For `continue`, the task that the user looks at. */
  readonly tid: number;
  /**
   * `step`: one instruction of `tid`, whatever other tasks do meanwhile. `range`: instructions of `tid` while it
   * stands in [start, end). `continue`: to the next stop.
   */
  readonly mode:
    | { readonly kind: 'continue' }
    | { readonly kind: 'step' }
    | { readonly kind: 'range'; readonly start: Gva; readonly end: Gva };
  /**
   * Steps backwards: a signal right behind which the task stands is undone by itself, as a step that executes nothing, and
   * is the stop; else the step before it is undone, too.
   */
  readonly stopAtSignals?: boolean;
  /** Diversions: the signal that `tid` gets as it goes on; 0 or absent: none. A replay has its own. */
  readonly signal?: number;
}

export type LifecycleKind = 'fork' | 'vfork' | 'clone' | 'exec';

/** Why the program stands. `tid` is the task that it happened to. */
export type DebugStop =
  | { readonly kind: 'step'; readonly tid: number }
  | { readonly kind: 'breakpoint'; readonly tid: number; readonly address: Gva }
  /** Forward: the access has happened, rip is behind it. Backward: it has been undone. */
  | {
      readonly kind: 'watchpoint';
      readonly tid: number;
      readonly address: Gva;
      readonly access: WatchAccess;
    }
  /** A signal as recorded (or, in a diversion, raised); before its handler runs. */
  | {
      readonly kind: 'signal';
      readonly tid: number;
      readonly signal: number;
      /** The kernel's siginfo_t, 128 bytes; null where it is not known. */
      readonly siginfo: Uint8Array | null;
    }
  /** Only those asked for by `catchSyscalls`. */
  | {
      readonly kind: 'syscall';
      readonly tid: number;
      readonly number: number;
      readonly state: 'entering' | 'exiting';
    }
  /**
   * In both directions right behind the event: the child (a tid) exists and has not run. Backwards it is undone
   * when the program next runs.
   */
  | { readonly kind: 'fork' | 'vfork' | 'clone'; readonly tid: number; readonly child: number }
  /**
   * Forward: behind it, `path` is the new program. Backward: before it, `path` is the program from before; the
   * first exec of a recording is where history begins.
   */
  | { readonly kind: 'exec'; readonly tid: number; readonly path: string }
  /**
   * Forward only. Thread group `pid` is about to go: its last task, `tid`, still stands, can be looked at and
   * gone back from, and is gone once the program runs on. `status` as from wait(2), null if the trace does not
   * tell.
   */
  | {
      readonly kind: 'exited';
      readonly tid: number;
      readonly pid: number;
      readonly status: number | null;
    }
  /** The recording begins (direction backward) or ends (forward) here. Tasks that ended with it may be gone. */
  | { readonly kind: 'history-end'; readonly tid: number }
  | { readonly kind: 'interrupted'; readonly tid: number }
  /** Diversions: it cannot go on (limits, an exec, ...); `reason` is a sentence. */
  | { readonly kind: 'ended'; readonly tid: number; readonly reason: string };

export type WatchAccess = 'write' | 'read' | 'access';

export interface Breakpoint {
  /** Thread group, or null for all. */
  readonly pid: number | null;
  readonly address: Gva;
  /** Asked with the task that has arrived; false: as if the breakpoint were not there. */
  readonly condition?: (tid: number) => boolean;
}

export interface Watchpoint {
  readonly pid: number | null;
  readonly address: Gva;
  /** Bytes; any number. */
  readonly length: number;
  readonly access: WatchAccess;
  readonly condition?: (tid: number) => boolean;
}

/** Breakpoints are compared by identity: to remove one, pass the object that was added. */
export interface DebugTarget {
  readonly kind: 'replay' | 'diversion';
  tasks(): readonly DebugTask[];
  /** The task that the last stop was of. */
  readonly currentTid: number;
  executable(pid: number): Executable;
  /** By number; what was open when the recording began, and is not known otherwise, is missing. */
  descriptors(pid: number): readonly OpenDescriptor[];

  /** A copy. In user_regs_struct order; orig_rax as a debugger shows it. */
  registers(tid: number): RegisterWords;
  /** A standard-form XSAVE image in the recorded layout. */
  vectorState(tid: number): Uint8Array;
  /** Reads at supervisor privilege, without breakpoints of ours in it; returns how many bytes could be read. */
  readMemory(tid: number, start: Gva, into: Uint8Array): number;
  /** The mappings of the task's address space, in order. */
  mappings(tid: number): readonly Vma[];
  /** The signal that the task stands at, if the last stop was one. */
  siginfo(tid: number): Uint8Array | null;

  /**
   * There were more breakpoints than debug registers at some time when the program ran: the others were bytes in its code,
   * which a program that reads its code sees.
   */
  readonly hadBreakpointsInCode: boolean;
  addBreakpoint(breakpoint: Breakpoint): void;
  removeBreakpoint(breakpoint: Breakpoint): void;
  addWatchpoint(watchpoint: Watchpoint): void;
  removeWatchpoint(watchpoint: Watchpoint): void;
  /** Numbers of system calls to stop at, or 'all', or 'none'. */
  catchSyscalls(which: readonly number[] | 'all' | 'none'): void;
  /** Stop at these, of any process; others pass unseen. At first none. */
  catchLifecycle(kinds: readonly LifecycleKind[]): void;

  /** Precondition: nothing is under way. */
  begin(request: RunRequest): void;
  /**
   * Works for some milliseconds; null: not there yet, call again.
   * Throws RevenantError; the target is then only good for reading and closing.
   */
  poll(): DebugStop | null;
  /** Set while there is nothing to poll for before it is resolved: something is waited for that takes no work of ours. */
  readonly waiting?: Promise<void> | null;
  /** What is under way ends with `interrupted` at the next poll. Not an error when nothing is. */
  interrupt(): void;
}

/** What a program has written to its standard output (1) or error (2). */
export interface OutputPart {
  readonly stream: 1 | 2;
  readonly bytes: Uint8Array;
}

/**
 * What a diverted program has printed and keeps in buffers of its own: libraries write those out when they are full.
 * Methods that take a task are about a call in it; they leave its registers as they are, and what lies on its stack above
 * `floor` (default: its stack pointer). `turn` is called now and then, and may interrupt the target.
 */
export interface OutputBuffers {
  /** Before a call: what was in the buffers already is not the call's, and is withheld. */
  before(tid: number, turn: () => Promise<void>, floor?: number): Promise<void>;
  /** The call is over: what it left in the buffers is written, or said to be there. */
  after(tid: number, turn: () => Promise<void>, floor?: number): Promise<void>;
  /** The call stands somewhere and has not returned: what it has left in the buffers by now is said to be there. */
  left(tid: number): void;
  /** From now on the program runs on in the diversion, by itself: what was withheld is its output, too. */
  runsOn(): void;
}

/** A target whose state can be changed: a diversion. A replay refuses. */
export interface MutableTarget extends DebugTarget {
  readonly kind: 'diversion';
  setRegisters(tid: number, registers: RegisterWords): void;
  setVectorState(tid: number, image: Uint8Array): void;
  /** Writes whatever the protection is; returns how many bytes could be written. */
  writeMemory(tid: number, start: Gva, bytes: Uint8Array): number;
  /**
   * Gives the task's process a mapping of zeros, protected as by mmap(2). Page-aligned; false where something of it is
   * mapped already.
   */
  mapMemory(tid: number, start: Gva, end: Gva, prot: number): boolean;
  /** Whether the task's process has a handler for a signal by now. */
  handles(tid: number, signal: number): boolean;
  /** What the diverted program wrote to its standard output and error since it was last asked. */
  takeOutput(): OutputPart[];
  /** It was taken, but comes first when somebody asks next. */
  giveBackOutput(parts: readonly OutputPart[]): void;
  /** Ends it in any state, and gives back what it has; the replay stands where it stood. */
  close(): void;
}

/** A diversion, and how what calls in it print is brought out; null: it stays in the program's buffers. */
export interface StartedDiversion {
  readonly target: MutableTarget;
  readonly buffers: OutputBuffers | null;
}

/**
 * Makes a diversion of a replay that stands. Until it is closed the replay must not run.
 * @param say tells the user something about it, in a sentence
 */
export type StartDiversion = (replay: ReplayTarget, say: (text: string) => void) => StartedDiversion;

/** One instruction of a recording; `momentText` of base/place.ts writes it. */
export interface Moment {
  /** Behind this frame. */
  readonly frameTime: number;
  /** Where a task arrives, for the `hit`th time there behind the frame; null: right behind the frame. */
  readonly address: Gva | null;
  readonly hit: number;
}

/** A replay as a target: it knows where in the recording it stands and can go anywhere in it. */
export interface ReplayTarget extends DebugTarget {
  readonly kind: 'replay';
  /** FrameTime of the last frame that was replayed completely. */
  readonly frameTime: number;
  /** The last frame of the trace, if it is known by now. */
  readonly lastFrame: number | null;
  /** Ticks of a task where it stands; null where they have to be counted first (`beginCountTicks`). */
  ticks(tid: number): number | null;
  /** Counts the ticks of the task that runs here; `poll` tells when that is done. The program stands where it stood. */
  beginCountTicks(): void;
  /**
   * Goes to the first place after frame `frameTime` at which the task of the next frame has so many ticks. `poll` throws
   * E_USAGE if it never has, and the program stands where it stood.
   */
  beginSeekTicks(frameTime: number, ticks: number): void;
  /** Finds the name of the moment where the program stands; `poll` tells when `moment` is it. It stands there again. */
  beginMoment(): void;
  /** As `beginMoment` found it; null where the program has moved since. */
  readonly moment: Moment | null;
  /**
   * Goes to the `hit`th arrival of any task at one of these addresses behind a frame, whatever else stops the program on
   * the way. `poll` throws E_USAGE if there are not so many, and the program stands where it stood.
   */
  beginGotoArrival(frameTime: number, addresses: readonly Gva[], hit: number): void;
  /** Goes to right after frame `frameTime`, in either direction; `poll` tells when it is there (kind `step`). */
  beginGoto(frameTime: number): void;
  /** Signals that are nothing to stop at. At first none. */
  passSignals(signals: ReadonlySet<number>): void;
  /** Takes breakpoints, watchpoints and what is caught out of the way; the function that is returned undoes that. */
  suspendStops(): () => void;
  /** Remembers where the program stands; the number names the place. */
  mark(): number;
  /** Goes back (or forward) to a place that `mark` named, as `beginGoto` does. */
  beginGotoMark(mark: number): void;
  forget(mark: number): void;
  /** Where a symbol of the program or of a library is in the task's memory, or null. */
  symbol(tid: number, name: string): Gva | null;
}
