import { RevenantError } from '../../engine/base/errors.js';
import type { Logger } from '../../engine/base/log.js';
import type { GuestCore } from '../../engine/guest/guest-core.js';
import type { XstateLayout } from '../../engine/x86/xstate-layout.js';
import type { DiversionClock } from '../base/clock.js';
import { FileBacking } from '../../engine/mm/backing.js';
import type { FileContent } from '../files/node.js';
import { E, fail } from '../base/errno.js';
import type { OpenFile } from '../files/open-file.js';
import { PipeMemory } from '../files/pipe.js';
import type { FileSystem } from '../files/file-system.js';
import type { DiversionPolicy } from '../base/policy.js';
import type { Process, Thread } from './process.js';
import { FutexQueue } from './futex.js';
import { UserMemory } from '../base/user-memory.js';

/** What a diversion takes over from the recording. */
export interface RecordedFacts {
  readonly rrcallBase: number;
  readonly syscallbufHdrSize: number;
  readonly cpu: number;
  readonly release: string;
  readonly nodeName: string;
  /** The 16-byte boot id of the recording's machine. */
  readonly boot: Uint8Array;
  /** The layout of XSAVE areas that the program sees. */
  readonly layout: XstateLayout;
}

/** Limit of warnings: a program can cause any number. */
const MAX_NAMED = 100;

/** An event that front ends may stop at. */
export type KernelEvent =
  | { readonly kind: 'fork' | 'vfork' | 'clone'; readonly tid: number; readonly child: number }
  | { readonly kind: 'exec'; readonly tid: number; readonly path: string };

/** A timer of timer_create(2). */
export interface PosixTimer {
  readonly id: number;
  readonly process: Process;
  readonly clock: number;
  /** 0: no signal. */
  readonly signal: number;
  readonly value: bigint;
  /** SIGEV_THREAD_ID, or 0 for the process. */
  readonly tid: number;
  /** Nanoseconds of the monotonic clock; 0n: disarmed. */
  next: bigint;
  interval: bigint;
  overrun: number;
}

export interface KernelParts {
  readonly core: GuestCore;
  readonly files: FileSystem;
  readonly policy: DiversionPolicy;
  readonly clock: DiversionClock;
  readonly facts: RecordedFacts;
  readonly log: Logger;
  /** Standard output and error of the diversion. */
  readonly show: (stream: 1 | 2, bytes: Uint8Array) => void;
  readonly random: (into: Uint8Array) => void;
}

/** The state of the emulated kernel: processes, threads and shared objects. System calls are in `syscalls`. */
export class Kernel implements KernelParts {
  readonly core: GuestCore;
  readonly files: FileSystem;
  readonly policy: DiversionPolicy;
  readonly clock: DiversionClock;
  readonly facts: RecordedFacts;
  readonly log: Logger;
  readonly show: KernelParts['show'];
  readonly random: KernelParts['random'];
  /** Opens /dev/tty. */
  openTerminal: () => OpenFile = () => fail(E.ENXIO);
  readonly processes = new Map<number, Process>();
  readonly threads = new Map<number, Thread>();
  readonly futexes = new FutexQueue();
  readonly pipes = new PipeMemory();
  readonly timers: PosixTimer[] = [];
  nextTimer = 0;
  /** What happened in the last call that a front end may stop at. */
  event: KernelEvent | null = null;
  /** The thread whose turn ends after sched_yield. */
  yielded = false;
  /** Exited threads, which can be inspected until the diversion continues. */
  readonly departed: Thread[] = [];
  private readonly backings = new Map<FileContent, FileBacking>();
  private nextPid: number;
  private readonly named = new Set<string>();

  constructor(parts: KernelParts) {
    this.core = parts.core;
    this.files = parts.files;
    this.policy = parts.policy;
    this.clock = parts.clock;
    this.facts = parts.facts;
    this.log = parts.log;
    this.show = parts.show;
    this.random = parts.random;
    this.nextPid = Math.max(1, ...parts.core.tasks.keys()) + 1;
  }

  /** An unused tid. */
  newTid(): number {
    while (this.threads.has(this.nextPid) || this.processes.has(this.nextPid)) this.nextPid++;
    return this.nextPid++;
  }

  memoryOf(thread: Thread): UserMemory {
    return new UserMemory(thread.task.space);
  }

  /** The pages of a file, shared by its mappings. */
  fileBacking(content: FileContent, name: string): FileBacking {
    let backing = this.backings.get(content);
    if (!backing) {
      const source = { name, size: content.stat().size, read: content.read.bind(content) };
      backing = new FileBacking(this.core.memory, source);
      this.backings.set(content, backing);
    }
    return backing;
  }

  /** Frees resources other than tasks'. */
  close(): void {
    for (const backing of this.backings.values()) backing.dispose();
    for (const process of this.processes.values()) if (process.status === null) process.descriptors.leave();
    this.files.close();
  }

  /** Reports something about the diversion once. */
  warnOnce(key: string, details: object, message: string): void {
    if (this.named.has(key) || this.named.size >= MAX_NAMED) return;
    this.named.add(key);
    this.log.warn(details, message);
  }
}

/** The diversion cannot continue, which is not an internal error. */
export class DiversionEnded extends Error {
  /** @param reason a sentence */
  constructor(readonly reason: string) {
    super(reason);
  }
}

export function isMemoryLimit(error: unknown): boolean {
  return error instanceof RevenantError && error.code === 'E_MEMORY_LIMIT';
}
