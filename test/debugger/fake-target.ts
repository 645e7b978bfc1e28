/** A recording of a few instructions that needs no machine: for specs of the protocol. */
import { gva, type Gva } from '../../src/engine/base/address.js';
import { RevenantError } from '../../src/engine/base/errors.js';
import { silentLogger } from '../../src/engine/base/log.js';
import { newRegisters, Reg, setRegister, type RegisterWords } from '../../src/engine/base/registers.js';
import type {
  Breakpoint,
  DebugStop,
  DebugTask,
  Executable,
  LifecycleKind,
  Moment,
  MutableTarget,
  OpenDescriptor,
  ReplayTarget,
  RunRequest,
  Watchpoint,
} from '../../src/engine/target.js';
import type { Vma } from '../../src/engine/mm/vma.js';
import { execImage } from '../../src/engine/x86/xstate-image.js';
import type { XstateLayout } from '../../src/engine/x86/xstate-layout.js';
import { inMemory, RecordedFiles } from '../../src/debugger/files/recorded.js';
import { Session } from '../../src/debugger/session.js';

/** AVX and PKRU, as a Skylake with protection keys has them. */
export const layout: XstateLayout = {
  xcr0: 0x207n,
  size: 2696,
  components: [
    { bit: 2, offset: 576, size: 256, aligned: false },
    { bit: 9, offset: 2688, size: 8, aligned: false },
  ],
};

/** The event at one place of the history; the program is before it. */
export interface Instruction {
  readonly tid: number;
  readonly rip: number;
  /** Memory that it writes. */
  readonly write?: { readonly address: number; readonly value: number };
  /** The stop when it is reached. */
  readonly stop?: DebugStop;
}

/** AT_PAGESZ 4096, AT_NULL. */
const AUXV = new Uint8Array(new BigUint64Array([6n, 4096n, 0n, 0n]).buffer);

export const MEMORY = 0x1000;
export const MEMORY_SIZE = 0x100;

/** Plays a list of instructions forwards and backwards. */
export class FakeTarget implements ReplayTarget {
  readonly kind = 'replay' as const;
  at = 0;
  readonly breakpoints = new Set<Breakpoint>();
  readonly watchpoints = new Set<Watchpoint>();
  /** Calls that changed breakpoints or watchpoints. */
  changes = 0;
  lifecycle: readonly LifecycleKind[] = [];
  caught: readonly number[] | 'all' | 'none' = 'none';
  passed: ReadonlySet<number> = new Set();
  taskList: DebugTask[] = [
    { tid: 100, pid: 100, name: 'main' },
    { tid: 101, pid: 100, name: 'worker' },
  ];
  currentTid = 100;
  /** Where the first of the tasks ends that end together. */
  firstEnd: number | null = null;
  /** Places at which tasks start to exist, if not at the beginning. */
  readonly births = new Map<number, number>();
  /** Registers of the first task in its diversions, where they are others: a system call has been completed. */
  completed: RegisterWords | null = null;
  /** A request that does not end without an interrupt. */
  endless = false;
  private request: RunRequest | null = null;
  private target: number | null = null;
  private interrupted = false;
  private readonly marks = new Map<number, number>();

  constructor(
    readonly program: readonly Instruction[],
    readonly memory = new Uint8Array(MEMORY_SIZE),
  ) {}

  get frameTime(): number {
    return this.at;
  }
  get lastFrame(): number {
    return this.program.length;
  }
  tasks(): readonly DebugTask[] {
    return this.taskList.filter(({ tid }) => (this.births.get(tid) ?? 0) <= this.at);
  }
  executable(): Executable {
    return { path: '/bin/fake', arguments: ['fake', 'of it'], auxv: AUXV, directory: '/tmp' };
  }
  descriptors(): readonly OpenDescriptor[] {
    return [
      { fd: 1, name: '/dev/null' },
      { fd: 3, name: '/tmp/<odd>' },
    ];
  }
  registers(tid: number): RegisterWords {
    const words = newRegisters();
    setRegister(words, Reg.rip, BigInt(this.program[this.at]?.rip ?? 0));
    setRegister(words, Reg.rax, BigInt(tid));
    setRegister(words, Reg.rsp, 0x7ffc_1234_5678n);
    return words;
  }
  vectorState(): Uint8Array {
    return execImage(layout);
  }
  readMemory(_tid: number, start: Gva, into: Uint8Array): number {
    const offset = start - MEMORY;
    if (offset < 0 || offset >= MEMORY_SIZE) return 0;
    const part = this.memory.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  }
  mappings(): readonly Vma[] {
    const [start, end] = [gva(MEMORY), gva(MEMORY + 0x1000)];
    const file = { path: '/bin/fake', device: 1n, inode: 77n, offset: 0 };
    return [{ start, end, prot: 5, backing: null, offset: 0, name: '/bin/fake', file }];
  }
  siginfo(): Uint8Array | null {
    return null;
  }
  symbol(): Gva | null {
    return null;
  }
  addBreakpoint(breakpoint: Breakpoint): void {
    this.breakpoints.add(breakpoint);
    this.changes++;
  }
  removeBreakpoint(breakpoint: Breakpoint): void {
    this.breakpoints.delete(breakpoint);
    this.changes++;
  }
  addWatchpoint(watchpoint: Watchpoint): void {
    this.watchpoints.add(watchpoint);
    this.changes++;
  }
  removeWatchpoint(watchpoint: Watchpoint): void {
    this.watchpoints.delete(watchpoint);
    this.changes++;
  }
  catchSyscalls(which: readonly number[] | 'all' | 'none'): void {
    this.caught = which;
  }
  catchLifecycle(kinds: readonly LifecycleKind[]): void {
    this.lifecycle = kinds;
  }
  passSignals(signals: ReadonlySet<number>): void {
    this.passed = signals;
  }
  suspendStops(): () => void {
    const kept = [...this.breakpoints];
    this.breakpoints.clear();
    return () => kept.forEach((breakpoint) => this.breakpoints.add(breakpoint));
  }
  ticks(tid: number): number {
    return tid + this.at;
  }
  beginCountTicks(): void {
    this.target = this.at;
  }
  beginSeekTicks(frameTime: number, ticks: number): void {
    this.target = frameTime + ticks;
  }
  beginMoment(): void {
    this.target = this.at;
  }
  get moment(): Moment {
    return { frameTime: this.at, address: gva(this.program[this.at]?.rip ?? 0), hit: 2 };
  }
  beginGotoArrival(frameTime: number): void {
    this.target = frameTime;
  }
  mark(): number {
    this.marks.set(this.marks.size + 1, this.at);
    return this.marks.size;
  }
  forget(mark: number): void {
    this.marks.delete(mark);
  }
  beginGoto(frameTime: number): void {
    this.target = frameTime;
  }
  beginGotoMark(mark: number): void {
    this.target = this.marks.get(mark) ?? 0;
  }
  begin(request: RunRequest): void {
    this.request = request;
  }
  readonly hadBreakpointsInCode = false;
  interrupt(): void {
    this.interrupted = true;
  }

  poll(): DebugStop | null {
    if (this.target !== null) {
      this.at = this.target;
      this.target = null;
      return { kind: 'step', tid: this.currentTid };
    }
    if (this.interrupted) {
      this.interrupted = false;
      return { kind: 'interrupted', tid: this.currentTid };
    }
    if (this.endless || !this.request) return null;
    return this.request.direction === 'forward' ? this.forward(this.request) : this.backward(this.request);
  }

  private forward({ mode, tid }: RunRequest): DebugStop | null {
    if (this.at + 1 >= this.program.length) return { kind: 'history-end', tid: this.currentTid };
    const { write, tid: ran } = this.program[this.at++];
    if (write) this.memory[write.address - MEMORY] = write.value;
    this.currentTid = this.program[this.at].tid;
    const watched = write && [...this.watchpoints].find((watchpoint) => watchpoint.address === write.address);
    if (watched) return { kind: 'watchpoint', tid: ran, address: watched.address, access: watched.access };
    return this.arrived() ?? (mode.kind !== 'continue' && ran === tid ? { kind: 'step', tid } : null);
  }

  private backward({ mode, tid }: RunRequest): DebugStop | null {
    if (this.at === 0) return { kind: 'history-end', tid: this.currentTid };
    this.currentTid = this.program[--this.at].tid;
    return (
      this.arrived() ?? (mode.kind !== 'continue' && this.currentTid === tid ? { kind: 'step', tid } : null)
    );
  }

  private arrived(): DebugStop | null {
    const { rip, tid, stop } = this.program[this.at];
    if (stop && !(stop.kind === 'signal' && this.passed.has(stop.signal))) return stop;
    for (const { address, condition } of this.breakpoints) {
      if (address === rip && (condition?.(tid) ?? true)) return { kind: 'breakpoint', tid, address };
    }
    return null;
  }
}

/** A diversion of one: the same program from the same place, with separate registers and memory. */
export class FakeDiversion extends FakeTarget {
  // The replay's kind is narrower than this class's: only the session's view of it matters.
  closed = false;
  readonly output: { stream: 1 | 2; bytes: Uint8Array }[] = [];
  readonly signals: number[] = [];
  private readonly changed = new Map<number, RegisterWords>();
  private image: Uint8Array | null = null;

  override registers(tid: number): RegisterWords {
    return Uint32Array.from(this.changed.get(tid) ?? super.registers(tid));
  }
  override vectorState(): Uint8Array {
    return Uint8Array.from(this.image ?? super.vectorState());
  }
  override begin(request: RunRequest): void {
    if (request.signal) this.signals.push(request.signal);
    super.begin(request);
  }
  setRegisters(tid: number, registers: RegisterWords): void {
    this.changed.set(tid, Uint32Array.from(registers));
  }
  setVectorState(_tid: number, image: Uint8Array): void {
    this.image = Uint8Array.from(image);
  }
  writeMemory(_tid: number, start: Gva, bytes: Uint8Array): number {
    if (start < MEMORY || start >= MEMORY + MEMORY_SIZE) return 0;
    this.memory.set(bytes, start - MEMORY);
    return bytes.length;
  }
  mapMemory(): boolean {
    return true;
  }
  handles(): boolean {
    return false;
  }
  takeOutput(): { stream: 1 | 2; bytes: Uint8Array }[] {
    return this.output.splice(0);
  }
  close(): void {
    this.closed = true;
  }
}

export interface FakeSession {
  readonly session: Session;
  readonly target: FakeTarget;
  /** Every diversion that was made. */
  readonly diversions: FakeDiversion[];
  /** What reached the debugger's console. */
  readonly said: () => string;
}

const FILE = inMemory('/bin/fake', Buffer.from('the program'));

export function fakeSession(program: readonly Instruction[], asRr = false): FakeSession {
  const target = new FakeTarget(program);
  const diversions: FakeDiversion[] = [];
  const session = new Session({
    replay: target,
    divert: () => {
      const diversion = new FakeDiversion(program, Uint8Array.from(target.memory));
      diversion.at = target.at;
      if (target.completed) diversion.setRegisters(target.taskList[0].tid, target.completed);
      diversions.push(diversion);
      return { target: diversion as unknown as MutableTarget, buffers: null };
    },
    layout,
    files: new RecordedFiles(
      () => ['/bin/fake'],
      () => FILE,
    ),
    copyOf: () => null,
    facts: {
      frameLines: (from, to) => [`frames ${from} to ${to}`],
      frameWithin: (frame) => Math.min(frame, target.lastFrame),
      jointEnd: (frame) => ({ frame: target.firstEnd ?? frame, tid: 100 }),
      frameOfTicks: (_tid, _now, ticks) => (ticks < 1000 ? 0 : null),
      birthOf: (tid) => target.births.get(tid) ?? null,
      seconds: (frame) => ({ begin: 100, at: 100 + frame / 4 }),
    },
    goTo: (place) => {
      if (place !== 'insert:2') throw new RevenantError('E_USAGE', `Invalid place ${place}.`);
      target.at = 1;
      return Promise.resolve(target.currentTid);
    },
    folder: '/traces/fake',
    log: silentLogger,
    asRr,
  });
  session.begin(100);
  const text: string[] = [];
  session.console = (bytes) => void text.push(Buffer.from(bytes).toString('utf8'));
  return { session, target, diversions, said: () => text.splice(0).join('') };
}
