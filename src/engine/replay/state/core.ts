import { demangleNames } from '../../host/demangle.js';
import { PAGE_SIZE, USER_END, hex, wordsToNumber, gva } from '../../base/address.js';
import { RevenantError } from '../../base/errors.js';
import type { Logger } from '../../base/log.js';
import { GuestMemory } from '../../kvm/guest-memory.js';
import type { Machine } from '../../kvm/machine.js';
import { FileBacking, SharedObject, type ByteSource } from '../../mm/backing.js';
import { zeroRange } from '../../mm/zero-range.js';
import { Symbolizer } from '../../symbols/symbolizer.js';
import type { RecordedStat } from '../../task/recorded-content.js';
import type { Task } from '../../task/task.js';
import type { MemWrite, TraceFrame } from '../../trace/frame.js';
import type { TraceReader } from '../../trace/reader.js';
import type { MMapRecord, TraceHeader } from '../../trace/records.js';
import { GuestCore } from '../../guest/guest-core.js';
import { VectorState } from '../../guest/vector-state.js';

const ZEROS = new Uint8Array(PAGE_SIZE);

export interface CoreOptions {
  trace: TraceReader;
  machine: Machine;
  log: Logger;
  /** What the program wrote to its standard output or error; the bytes are the callee's to copy. */
  output: (stream: 1 | 2, bytes: Uint8Array) => void;
  memoryLimitBytes: number;
  /**
   * Track what calls do to descriptors and files, at an exit per buffered call, for diversions. Default false.
   */
  notesFiles?: boolean;
}

/**
 * The state of a replay and the elementary operations on it: tasks on the vCPU, the trace, its files, the
 * recorded writes. Frames are interpreted in higher layers.
 */
export class ReplayCore extends GuestCore {
  readonly trace: TraceReader;
  readonly header: TraceHeader;
  readonly output: (stream: 1 | 2, bytes: Uint8Array) => void;
  readonly notesFiles: boolean;
  /** Tasks ever created, for the summary. */
  taskCount = 0;
  /** Wait status of the first program's thread group leader, once recorded. */
  exitStatus: number | null = null;
  firstTid = 0;
  /** Called before memory of a task is written on behalf of the kernel, mapped or unmapped. */
  onWrite: ((task: Task, start: number, size: number) => void) | null = null;
  /** The recorder's clock at the last frame, in seconds. */
  recordedSec = 0;

  private readonly told = new Set<string>();
  private readonly pageBuffer = new Uint8Array(PAGE_SIZE);
  private readonly files = new Map<string, FileBacking>();
  /** The trace's copies of mapped files by their recorded path: for symbols. */
  private readonly filesByPath = new Map<string, ByteSource>();
  private readonly identities = new Map<string, RecordedStat>();
  readonly symbolizer = new Symbolizer((path) => this.filesByPath.get(path) ?? null, demangleNames);

  constructor(options: CoreOptions) {
    const { machine, trace, log } = options;
    const memory = new GuestMemory(machine.pool, machine.firstFree, options.memoryLimitBytes, (page) =>
      machine.codeWritten(page, PAGE_SIZE),
    );
    super({ machine, memory, log, vectors: new VectorState(machine, trace.header) });
    this.trace = trace;
    this.header = trace.header;
    this.output = options.output;
    this.notesFiles = options.notesFiles ?? false;
  }

  /** A warning that is given only once. */
  warnOnce(kind: string, message: string): void {
    if (this.told.has(kind)) return;
    this.told.add(kind);
    this.log.warn({}, message);
  }

  /** All registers from the frame. */
  loadRegisters(task: Task, frame: TraceFrame): void {
    this.registers(task).set(frame.registers);
    this.segmentsChanged(task);
  }

  /** Vector state from a recorded image (the frame's `extraRegisters`). */
  loadVectors(task: Task, recorded: Uint8Array): void {
    if (task === this.current) this.vectors.loadRecorded(recorded);
    else task.xstate = this.vectors.fromRecorded(recorded);
  }

  /** Applies the frame's memory writes from index `first` on, each to the address space of its own task. */
  applyMemWrites(frame: TraceFrame, task: Task, first = 0): void {
    for (let index = first; index < frame.memWriteCount; index++) this.applyMemWrite(frame, task, index);
  }

  applyMemWrite(frame: TraceFrame, task: Task, index: number): void {
    const write = frame.memWrites[index];
    const target = write.tid === task.tid ? task : this.tasks.get(write.tid);
    // The address space of a task that no longer exists: nothing can observe the write (rr-traces.md 9.8).
    if (!target) return;
    const start = wordsToNumber(write.addressLow, write.addressHigh);
    // Null output pointers of clone: recorded, without effect (rr-traces.md 1.4).
    if (write.size === 0 || start === 0) return;
    const done = this.copyFromTrace(target, start, write, 0, write.size);
    if (done < write.size && !write.sizeIsConservative) {
      throw new RevenantError(
        'E_TRACE_CORRUPT',
        `Frame ${frame.frameTime}: a recorded write of ${write.size} bytes at ${hex(start)} of task ${target.tid} reaches unmapped memory after ${done} bytes.`,
        'Either the trace is damaged or the replay was wrong before; `revenant dump` shows the frame.',
      );
    }
  }

  /** Copies `size` bytes from `offset` of a recorded write to guest memory; returns how many were possible. */
  copyFromTrace(task: Task, start: number, write: MemWrite, offset: number, size: number): number {
    this.onWrite?.(task, start, size);
    let done = 0;
    while (done < size) {
      const at = start + done;
      const hole = Math.min(this.trace.holeAt(write, offset + done), size - done);
      if (hole >= PAGE_SIZE) {
        const zeroed = zeroRange(task.space, this.memory, at, hole);
        done += zeroed;
        if (zeroed < hole) break;
        continue;
      }
      const count = Math.min(PAGE_SIZE - (at % PAGE_SIZE), size - done);
      if (count === PAGE_SIZE && this.leavesUntouched(task, at, write, offset + done)) {
        done += count;
        continue;
      }
      const page = at < USER_END ? this.pageForWrite(task, gva(at)) : 0;
      if (page === 0) break;
      const into = page + (at % PAGE_SIZE);
      this.trace.readWrite(write, offset + done, this.memory.bytes.subarray(into, into + count));
      done += count;
    }
    return done;
  }

  /** Zeros for a page that does not exist yet, frequent in recorded copies of whole files. */
  private leavesUntouched(task: Task, at: number, write: MemWrite, offset: number): boolean {
    if (at >= USER_END || !task.space.isUntouched(gva(at))) return false;
    this.trace.readWrite(write, offset, this.pageBuffer);
    return Buffer.compare(this.pageBuffer, ZEROS) === 0;
  }

  /** The file behind a mapping record, shared by all its mappings. */
  fileOf(record: MMapRecord): FileBacking {
    const source = this.trace.openBacking(record);
    let backing = this.files.get(source.name);
    if (!backing) {
      backing = new FileBacking(this.memory, source, true);
      this.files.set(source.name, backing);
    }
    this.filesByPath.set(record.fsname, source);
    if (record.inode !== 0n) this.identities.set(record.fsname, statOfMapping(record));
    return backing;
  }

  /** The trace's copy of a file that was mapped, by its recorded path; or null. */
  recordedFile(path: string): ByteSource | null {
    return this.filesByPath.get(path) ?? null;
  }

  /** The recorded facts of a mapped file, by its path; or null. */
  recordedIdentity(path: string): RecordedStat | null {
    return this.identities.get(path) ?? null;
  }

  /** The shared object of (device, inode); the same one as long as anything maps it (rr-traces.md 6.3). */
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

  /** Frees all guest memory. The vCPU may be lost already: then it is not reset. */
  close(): void {
    try {
      this.vacate();
    } catch (error) {
      if (!(error instanceof RevenantError)) throw error;
    } finally {
      this.current = null;
      this.tasks.clear();
      this.memory.close();
    }
  }
}

/** Mappings of an exec come without a mode. */
const statOfMapping = (record: MMapRecord): RecordedStat => ({
  device: Number(record.device),
  inode: Number(record.inode),
  mode: record.statMode || 0o100755,
  links: 1,
  uid: record.statUid,
  gid: record.statGid,
  size: record.statSize,
  special: 0,
  mtime: [record.statMTime, 0],
});
