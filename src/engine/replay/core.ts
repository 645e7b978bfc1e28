import { PAGE_SIZE, USER_END, hex, wordsToNumber, type Gpa, type Gva } from '../base/address.js';
import { RevenantError, invariant } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import { Reg, type RegisterWords } from '../base/registers.js';
import { GuestMemory } from '../kvm/guest-memory.js';
import type { Machine } from '../kvm/machine.js';
import { FileBacking, SharedObject, type ByteSource } from '../mm/backing.js';
import { AddressSpace, type KernelEntry } from '../mm/address-space.js';
import { Symbolizer } from '../symbols/symbolizer.js';
import type { Task } from '../task/task.js';
import type { MemWrite, TraceFrame } from '../trace/frame.js';
import type { TraceReader } from '../trace/reader.js';
import type { MMapRecord, TraceHeader } from '../trace/records.js';
import { THREAD_LOCALS } from './layout.js';
import { VectorState } from './vector-state.js';

export interface CoreOptions {
  trace: TraceReader;
  machine: Machine;
  log: Logger;
  /** What the program wrote to its standard output or error; the bytes are the callee's to copy. */
  output: (stream: 1 | 2, bytes: Uint8Array) => void;
  memoryLimitBytes: number;
}

/** Canonical registers after a system call instruction of a traced task (notes 3.2). */
const CANONICAL_RFLAGS = 0x246;

/**
 * The state of a replay and the elementary operations on it: who exists, who is on the vCPU, guest
 * memory by task, the recorded writes. What frames mean is decided above.
 */
export class ReplayCore {
  readonly trace: TraceReader;
  readonly header: TraceHeader;
  readonly machine: Machine;
  readonly memory: GuestMemory;
  readonly vectors: VectorState;
  readonly log: Logger;
  readonly output: (stream: 1 | 2, bytes: Uint8Array) => void;
  readonly tasks = new Map<number, Task>();
  /** The task whose registers are in the context page. */
  current: Task | null = null;
  /** The address space whose page tables the vCPU is on, also while it waits in ring 0 and its task is parked. */
  private loadedSpace: AddressSpace | null = null;
  /** The one before: the vCPU may be on it still, until the next entry. */
  private leftSpace: AddressSpace | null = null;
  nextSerial = 1;
  /** Tasks ever created, for the summary. */
  taskCount = 0;
  /** Wait status of the first program's thread group leader, once recorded. */
  exitStatus: number | null = null;
  firstTid = 0;

  private readonly files = new Map<string, FileBacking>();
  /** The trace's copies of mapped files by their recorded path: for symbols. */
  private readonly filesByPath = new Map<string, ByteSource>();
  readonly symbolizer = new Symbolizer((path) => this.filesByPath.get(path) ?? null);
  readonly sharedObjects = new Map<string, SharedObject>();
  private readonly kernel: KernelEntry;

  constructor(options: CoreOptions) {
    this.trace = options.trace;
    this.header = options.trace.header;
    this.machine = options.machine;
    this.log = options.log;
    this.output = options.output;
    const { machine } = options;
    this.memory = new GuestMemory(machine.pool, machine.firstFree, options.memoryLimitBytes, (page) =>
      machine.codeWritten(page, PAGE_SIZE),
    );
    this.kernel = { low: options.machine.kernelPml4Low, high: options.machine.kernelPml4High };
    this.vectors = new VectorState(options.machine, this.header);
  }

  newAddressSpace(): AddressSpace {
    return new AddressSpace(this.memory, this.kernel);
  }

  /** The registers of a task, on the vCPU or not; a live view. */
  registers(task: Task): RegisterWords {
    return task === this.current ? this.machine.context.registers : task.registers;
  }

  /** Puts a task on the vCPU. Its registers, vector state, address space and thread locals are then the guest's. */
  activate(task: Task): void {
    if (task === this.current) return;
    if (this.current) this.park(this.current);
    const context = this.machine.context;
    context.registers.set(task.registers);
    this.vectors.load(task.xstate);
    context.requestFsGsBase();
    context.requestSegments();
    this.pinThreadLocals(task);
    context.requestCr3(task.space.root);
    if (this.loadedSpace !== task.space) this.leftSpace = this.loadedSpace;
    this.loadedSpace = task.space;
    task.space.stale = false;
    this.current = task;
  }

  /** Puts the task's own page where its address space has thread locals. */
  pinThreadLocals(task: Task): void {
    if (task.threadLocals !== 0) task.space.pinPage(THREAD_LOCALS, task.threadLocals);
  }

  /** Takes the current task off the vCPU, keeping its state. */
  park(task: Task): void {
    invariant(task === this.current, `task ${task.tid} is not on the vCPU`);
    task.xstate = this.vectors.save(task.xstate);
    task.registers.set(this.machine.context.registers);
    this.current = null;
  }

  /** After anything wrote fs_base or gs_base of `registers(task)`. */
  basesChanged(task: Task): void {
    if (task === this.current) this.machine.context.requestFsGsBase();
  }

  /** All registers from the frame. */
  loadRegisters(task: Task, frame: TraceFrame): void {
    this.registers(task).set(frame.registers);
    if (task === this.current) {
      this.machine.context.requestFsGsBase();
      this.machine.context.requestSegments();
    }
  }

  /** Vector state from a recorded image (the frame's `extraRegisters`). */
  loadVectors(task: Task, recorded: Uint8Array): void {
    if (task === this.current) this.vectors.loadRecorded(recorded);
    else task.xstate = this.vectors.fromRecorded(recorded);
  }

  /** What the recorder makes of a task that enters the kernel by a 64-bit system call instruction. */
  canonicaliseSyscall(registers: RegisterWords): void {
    registers[2 * Reg.rcx] = registers[2 * Reg.rcx + 1] = 0xffff_ffff;
    registers[2 * Reg.r11] = registers[2 * Reg.eflags] = CANONICAL_RFLAGS;
    registers[2 * Reg.r11 + 1] = registers[2 * Reg.eflags + 1] = 0;
  }

  /** Applies the frame's memory writes from index `first` on, each to the address space of its own task. */
  applyMemWrites(frame: TraceFrame, task: Task, first = 0): void {
    for (let index = first; index < frame.memWriteCount; index++) this.applyMemWrite(frame, task, index);
  }

  applyMemWrite(frame: TraceFrame, task: Task, index: number): void {
    const write = frame.memWrites[index];
    const target = write.tid === task.tid ? task : this.tasks.get(write.tid);
    // A space that died with its last task: nothing can observe the write (notes 9.8).
    if (!target) return;
    const start = wordsToNumber(write.addressLow, write.addressHigh);
    // Null output pointers of clone: recorded, without effect (notes 1.4).
    if (write.size === 0 || start === 0) return;
    const done = this.copyFromTrace(target, start, write, 0, write.size);
    if (done < write.size && !write.sizeIsConservative) {
      throw new RevenantError(
        'E_TRACE_CORRUPT',
        `Frame ${frame.frameTime}: a recorded write of ${write.size} bytes at ${hex(start)} of task ${target.tid} reaches unmapped memory after ${done} bytes.`,
        'Either the trace is damaged or the replay went wrong before; `revenant dump` shows the frame.',
      );
    }
  }

  /** Copies `size` bytes from `offset` of a recorded write to guest memory; returns how many were possible. */
  copyFromTrace(task: Task, start: number, write: MemWrite, offset: number, size: number): number {
    let done = 0;
    while (done < size) {
      const at = start + done;
      const page = at < USER_END ? this.pageForWrite(task, at as Gva) : 0;
      if (page === 0) break;
      const inPage = at % PAGE_SIZE;
      const count = Math.min(PAGE_SIZE - inPage, size - done);
      this.trace.readWrite(
        write,
        offset + done,
        this.memory.bytes.subarray(page + inPage, page + inPage + count),
      );
      done += count;
    }
    return done;
  }

  /** The page for a supervisor write on behalf of a task. The thread-locals page is one page per task (notes 7.3). */
  pageForWrite(task: Task, at: Gva): Gpa {
    const own = at >= THREAD_LOCALS && at < THREAD_LOCALS + PAGE_SIZE && task.threadLocals !== 0;
    return own ? task.threadLocals : task.space.pageForWrite(at);
  }

  /** A view of a task's thread locals. */
  threadLocals(task: Task): DataView {
    invariant(task.threadLocals !== 0, `task ${task.tid} has no thread locals`);
    return new DataView(this.memory.bytes.buffer, task.threadLocals, PAGE_SIZE);
  }

  /** The file behind a mapping record, shared by all its mappings. */
  fileOf(record: MMapRecord): FileBacking {
    const source = this.trace.openBacking(record);
    let backing = this.files.get(source.name);
    if (!backing) {
      backing = new FileBacking(this.memory, source);
      this.files.set(source.name, backing);
    }
    this.filesByPath.set(record.fsname, source);
    return backing;
  }

  /** The shared object of (device, inode); the same one as long as anything maps it (notes 6.3). */
  sharedObjectOf(record: MMapRecord): SharedObject {
    const key = `${record.device}:${record.inode}`;
    let object = this.sharedObjects.get(key);
    if (!object || object.isDestroyed) {
      object = new SharedObject(this.memory, record.fsname);
      this.sharedObjects.set(key, object);
    }
    return object;
  }

  /** The mapping record that this frame must have. */
  requireMapping(frame: TraceFrame, what: string): MMapRecord {
    const record = this.trace.nextMapping(frame.frameTime);
    if (record) return record;
    throw new RevenantError(
      'E_TRACE_CORRUPT',
      `Frame ${frame.frameTime} (${what}) has no mapping record.`,
      'The `mmaps` stream does not belong to these events or is cut short.',
    );
  }

  /** Removes a task, and its address space with its last task. */
  removeTask(task: Task): void {
    if (this.current === task) this.current = null;
    this.tasks.delete(task.tid);
    task.group.tasks.delete(task);
    task.fds.users--;
    this.releaseSpace(task);
    if (task.threadLocals !== 0) this.memory.release(task.threadLocals);
    task.threadLocals = 0 as Gpa;
  }

  /** The task leaves its address space, which ends with its last user. */
  releaseSpace(task: Task): void {
    if (--task.space.users > 0) return;
    if (task.space === this.loadedSpace || task.space === this.leftSpace) this.leaveSpace();
    task.space.destroy();
  }

  /** The vCPU's page tables must not be freed under it: it waits in ring 0 on them. */
  leaveSpace(): void {
    this.machine.leaveAddressSpace();
    this.leftSpace = null;
    this.loadedSpace = null;
    if (!this.current) return;
    // Leaving performed what was requested for it; only the page tables are to be loaded again.
    this.machine.context.requestCr3(this.current.space.root);
    this.loadedSpace = this.current.space;
  }

  /** Gives all guest memory back. The vCPU may be lost already: then there is nothing to leave. */
  close(): void {
    try {
      // In force until the next entry, and the emulator would keep them for whoever comes next.
      for (const index of [0, 1, 2, 3] as const) this.machine.context.setBreakpoint(index, null);
      if (this.loadedSpace) this.leaveSpace();
    } catch (error) {
      if (!(error instanceof RevenantError)) throw error;
    } finally {
      this.current = null;
      this.tasks.clear();
      this.memory.close();
    }
  }
}
