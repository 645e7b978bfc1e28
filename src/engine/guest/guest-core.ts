import { PAGE_SIZE, type Gpa, type Gva } from '../base/address.js';
import { invariant } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import { Reg, type RegisterWords } from '../base/registers.js';
import type { GuestMemory } from '../kvm/guest-memory.js';
import type { Machine } from '../kvm/machine.js';
import type { SharedObject } from '../mm/backing.js';
import { AddressSpace } from '../mm/address-space.js';
import type { KernelEntry } from '../mm/free.js';
import { Originals } from '../mm/originals.js';
import type { Task } from '../task/task.js';
import { dropUnloadable, loadDescriptors } from './descriptor-tables.js';
import { hasThreadLocals, THREAD_LOCALS } from './rr-abi.js';
import type { VectorState } from './vector-state.js';

/** Canonical registers after a system call instruction of a traced task (rr-traces.md 3.2). */
const CANONICAL_RFLAGS = 0x246;

/** What tasks run on. */
export interface GuestParts {
  readonly machine: Machine;
  readonly memory: GuestMemory;
  readonly vectors: VectorState;
  readonly log: Logger;
}

/**
 * Tasks on one vCPU with guest memory: which exist, which is on the vCPU, on which page tables.
 * Independent of traces. The replay and a diversion of it are two instances over the same parts,
 * one of them parked.
 */
export class GuestCore {
  readonly machine: Machine;
  readonly memory: GuestMemory;
  readonly vectors: VectorState;
  readonly log: Logger;
  readonly tasks = new Map<number, Task>();
  /** The task whose registers are in the context page. */
  current: Task | null = null;
  /** The address space whose page tables the vCPU is on, also while it waits in ring 0 and its task is parked. */
  private loadedSpace: AddressSpace | null = null;
  /** The one before: the vCPU may be on it still, until the next entry. */
  private leftSpace: AddressSpace | null = null;
  nextSerial = 1;
  readonly sharedObjects = new Map<string, SharedObject>();
  private readonly kernel: KernelEntry;

  constructor(parts: GuestParts) {
    this.machine = parts.machine;
    this.memory = parts.memory;
    this.vectors = parts.vectors;
    this.log = parts.log;
    if (parts.machine.config.hides) parts.machine.context.originals = Originals.of(parts.memory).root;
    const { kernelPml4Low: low, kernelPml4High: high, reserved } = parts.machine;
    this.kernel = { low, high, reserved };
  }

  newAddressSpace(): AddressSpace {
    const hides = {
      ...this.machine.config.hides,
      xsave: this.vectors.differs,
      cpuid: this.machine.hidesCpuid,
      keys: this.machine.hidesKeys,
      rdpid: this.machine.hidesNumber,
    };
    return new AddressSpace(this.memory, this.kernel, Object.values(hides).some(Boolean) ? hides : null);
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
    loadDescriptors(context, task);
    this.pinThreadLocals(task);
    context.requestCr3(task.space.root);
    if (this.loadedSpace !== task.space) this.leftSpace = this.loadedSpace;
    this.loadedSpace = task.space;
    task.space.stale.clear();
    this.current = task;
    this.segmentsChanged(task);
  }

  /** Puts the task's own page where its address space has thread locals. */
  pinThreadLocals(task: Task): void {
    if (task.threadLocals !== 0 && hasThreadLocals(task.space))
      task.space.pinPage(THREAD_LOCALS, task.threadLocals);
  }

  /** Takes the current task off the vCPU, keeping its state. */
  park(task: Task): void {
    invariant(task === this.current, `task ${task.tid} is not on the vCPU`);
    task.xstate = this.vectors.save(task.xstate);
    task.registers.set(this.machine.context.registers);
    this.current = null;
  }

  /** The task's vector state as a standard image of the hardware's that is the caller's; costs an exit where the task is on the vCPU. */
  vectorState(task: Task): Uint8Array {
    if (task === this.current) return this.vectors.save(null);
    return this.vectors.copy(task.xstate);
  }

  /** @param image in the hardware's layout; null: the initial state */
  setVectors(task: Task, image: Uint8Array | null): void {
    if (task === this.current) this.vectors.load(image);
    else task.xstate = image;
  }

  /** After anything wrote fs_base or gs_base of `registers(task)`. */
  basesChanged(task: Task): void {
    if (task === this.current) this.machine.context.requestFsGsBase();
  }

  /** After anything wrote segment selectors or their bases of `registers(task)`. */
  segmentsChanged(task: Task): void {
    if (task !== this.current) return;
    const { context } = this.machine;
    dropUnloadable(task, context.registers);
    context.requestFsGsBase();
    context.requestSegments();
  }

  /** After the descriptors of a task or of its address space changed. Selectors keep what they were loaded with. */
  descriptorsChanged(task: Task): void {
    const { current } = this;
    if (current && (task === current || task.space === current.space))
      loadDescriptors(this.machine.context, current);
  }

  /** What the recorder makes of a task that enters the kernel by a 64-bit system call instruction. */
  canonicaliseSyscall(registers: RegisterWords): void {
    registers[2 * Reg.rcx] = registers[2 * Reg.rcx + 1] = 0xffff_ffff;
    registers[2 * Reg.r11] = registers[2 * Reg.eflags] = CANONICAL_RFLAGS;
    registers[2 * Reg.r11 + 1] = registers[2 * Reg.eflags + 1] = 0;
  }

  /** The page for a supervisor write on behalf of a task. The thread-locals page is one page per task (rr-traces.md 7.3). */
  pageForWrite(task: Task, at: Gva): Gpa {
    const own = at >= THREAD_LOCALS && at < THREAD_LOCALS + PAGE_SIZE && task.threadLocals !== 0;
    return own && hasThreadLocals(task.space) ? task.threadLocals : task.space.pageForWrite(at);
  }

  /** A view of a task's thread locals. */
  threadLocals(task: Task): DataView {
    invariant(task.threadLocals !== 0, `task ${task.tid} has no thread locals`);
    return new DataView(this.memory.bytes.buffer, task.threadLocals, PAGE_SIZE);
  }

  /** Removes a task, and its address space with its last task. */
  removeTask(task: Task): void {
    if (this.current === task) this.current = null;
    this.tasks.delete(task.tid);
    task.group.tasks.delete(task);
    if (--task.fds.users === 0) task.fds.files.leave();
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

  /** Clears debug registers and puts the vCPU on ring 0's own page tables: no state of these tasks remains on it. */
  vacate(): void {
    // Active until the next entry, and the emulator would keep them for the next user.
    this.machine.context.clearDebugRegisters();
    if (this.loadedSpace) this.leaveSpace();
  }
}
