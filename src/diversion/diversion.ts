import type { Gva } from '../engine/base/address.js';
import { invariant } from '../engine/base/errors.js';
import { Reg, getUnsigned, type RegisterWords } from '../engine/base/registers.js';
import { syscallName } from '../engine/base/syscalls.js';
import type {
  Breakpoint,
  DebugStop,
  DebugTask,
  Executable,
  LifecycleKind,
  MutableTarget,
  OpenDescriptor,
  OutputPart,
  RunRequest,
  Watchpoint,
} from '../engine/target.js';
import type { Vma } from '../engine/mm/vma.js';
import { isFree } from '../engine/mm/free.js';
import { SIG_DFL, SIG_IGN } from '../engine/task/signal-state.js';
import type { Task } from '../engine/task/task.js';
import { convertImage } from '../engine/x86/xstate-image.js';
import type { Kernel } from './kernel/kernel.js';
import type { Thread } from './kernel/process.js';
import type { Scheduler } from './run/scheduler.js';
import { SIGINFO_BYTES, faultSignal, type Signal } from './kernel/pending.js';
import { putAside, takeUp } from './tasks/wait.js';

export interface DiversionParts {
  readonly kernel: Kernel;
  readonly scheduler: Scheduler;
  /** Output that was not taken yet. */
  readonly output: OutputPart[];
  /** The replay's current task. */
  readonly tid: number;
  /** Restores the state of the replay. */
  readonly end: () => void;
}

/**
 * A replay's current state as a live process: its tasks run, its system calls are emulated. The
 * replay is parked until `close`, and then unchanged.
 */
export class Diversion implements MutableTarget {
  readonly kind = 'diversion';
  private tid: number;
  private signal: Signal | null = null;
  private closed = false;

  constructor(private readonly parts: DiversionParts) {
    this.tid = parts.tid;
  }

  get currentTid(): number {
    return this.tid;
  }

  tasks(): readonly DebugTask[] {
    return this.allThreads().map(({ tid, process, task }) => ({ tid, pid: process.pid, name: task.name }));
  }

  /** Those that run, and those that ended at the last stop. */
  private allThreads(): Thread[] {
    const { kernel } = this.parts;
    return [...kernel.threads.values(), ...kernel.departed];
  }

  private thread(tid: number): Thread {
    const thread = this.allThreads().find((each) => each.tid === tid);
    invariant(thread, `the diversion has no task ${tid}`);
    return thread;
  }

  private task(tid: number): Task {
    return this.thread(tid).task;
  }

  executable(pid: number): Executable {
    const thread = this.allThreads().find(({ process }) => process.pid === pid);
    const program = thread?.process.program;
    if (!thread || !program) return { path: '', arguments: [], auxv: new Uint8Array(0), directory: null };
    const { file: path, arguments: args, auxv } = program;
    return { path, arguments: args, auxv, directory: thread.process.place.directory };
  }

  descriptors(pid: number): readonly OpenDescriptor[] {
    const thread = this.allThreads().find(({ process }) => process.pid === pid);
    return [...(thread?.process.descriptors ?? [])]
      .map(([fd, { file }]) => ({ fd, name: file.path }))
      .sort((one, other) => one.fd - other.fd);
  }

  registers(tid: number): RegisterWords {
    return this.parts.kernel.core.registers(this.task(tid)).slice();
  }

  /** The call that the task is in is dropped if it continues elsewhere. */
  setRegisters(tid: number, registers: RegisterWords): void {
    const thread = this.thread(tid);
    const { core } = this.parts.kernel;
    const live = core.registers(thread.task);
    const differs = (slot: number): boolean => getUnsigned(live, slot) !== getUnsigned(registers, slot);
    thread.stood ??= { rip: getUnsigned(live, Reg.rip), rsp: getUnsigned(live, Reg.rsp) };
    const moved = differs(Reg.rip);
    // Some debuggers restore registers one by one: the call's number may be the last.
    const mayBeBack = moved || differs(Reg.rsp) || differs(Reg.orig_rax) || differs(Reg.rax);
    if (moved) putAside(this.parts.kernel, thread, this.parts.scheduler.moved(thread));
    thread.spin = null;
    live.set(registers);
    if (mayBeBack && !thread.wait && thread.again < 0) takeUp(this.parts.kernel, thread);
    core.basesChanged(thread.task);
    if (thread.task === core.current) core.machine.context.requestSegments();
  }

  vectorState(tid: number): Uint8Array {
    const { core, facts } = this.parts.kernel;
    return convertImage(core.vectorState(this.task(tid)), core.vectors.hardware, facts.layout);
  }

  setVectorState(tid: number, image: Uint8Array): void {
    const { core } = this.parts.kernel;
    core.setVectors(this.task(tid), core.vectors.fromRecorded(image));
  }

  readMemory(tid: number, start: Gva, into: Uint8Array): number {
    return this.task(tid).space.read(start, into);
  }

  writeMemory(tid: number, start: Gva, bytes: Uint8Array): number {
    return this.task(tid).space.write(start, bytes);
  }

  mapMemory(tid: number, start: Gva, end: Gva, prot: number): boolean {
    const { space } = this.task(tid);
    if (!isFree(space, start, end)) return false;
    space.map({ start, end, prot, backing: null, offset: 0, name: '', file: null });
    return true;
  }

  mappings(tid: number): readonly Vma[] {
    return [...this.task(tid).space.vmas];
  }

  siginfo(tid: number): Uint8Array | null {
    return this.signal && tid === this.tid ? this.signal.info : null;
  }

  handles(tid: number, signal: number): boolean {
    const { handler } = this.thread(tid).process.actions.of(signal);
    return handler !== SIG_DFL && handler !== SIG_IGN;
  }

  takeOutput(): OutputPart[] {
    return this.parts.output.splice(0);
  }

  giveBackOutput(parts: readonly OutputPart[]): void {
    this.parts.output.unshift(...parts);
  }

  get hadBreakpointsInCode(): boolean {
    return this.parts.scheduler.stops.hadOverlays;
  }

  addBreakpoint(breakpoint: Breakpoint): void {
    this.parts.scheduler.stops.add(breakpoint);
  }

  removeBreakpoint(breakpoint: Breakpoint): void {
    this.parts.scheduler.stops.remove(breakpoint);
  }

  addWatchpoint(watchpoint: Watchpoint): void {
    this.parts.scheduler.stops.watch(watchpoint);
  }

  removeWatchpoint(watchpoint: Watchpoint): void {
    this.parts.scheduler.stops.unwatch(watchpoint);
  }

  catchSyscalls(which: readonly number[] | 'all' | 'none'): void {
    this.parts.scheduler.caught = which;
  }

  catchLifecycle(kinds: readonly LifecycleKind[]): void {
    this.parts.scheduler.lifecycle = kinds;
  }

  begin(request: RunRequest): void {
    invariant(request.direction === 'forward', 'a diversion has no history');
    const given = request.signal ?? 0;
    const known = this.signal?.number === given && request.tid === this.tid ? this.signal : null;
    const signal = given === 0 ? null : (known ?? faultSignal(given, 0, 0n));
    this.signal = null;
    this.parts.scheduler.begin(request, signal);
  }

  poll(): DebugStop | null {
    const stop = this.parts.scheduler.turn();
    if (!stop) return null;
    this.tid = stop.tid;
    this.signal =
      stop.kind === 'signal'
        ? { number: stop.signal, info: stop.siginfo ?? new Uint8Array(SIGINFO_BYTES) }
        : null;
    return stop;
  }

  interrupt(): void {
    this.parts.scheduler.interrupt();
  }

  /** As text, for messages: `futex`. */
  nameOfCall(number: number): string {
    return syscallName(number, this.parts.kernel.facts.rrcallBase);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.parts.end();
  }
}
