import { syscallName } from '../../engine/base/syscalls.js';
import { Reg, getSigned, getUnsigned, setSigned } from '../../engine/base/registers.js';
import { E } from '../base/errno.js';
import { Open } from '../files/node.js';
import { EventFd } from '../files/pipe.js';
import type { Kernel } from '../kernel/kernel.js';
import type { Thread, Wait } from '../kernel/process.js';
import type { UserMemory } from '../base/user-memory.js';
import { attempt, finishCall, restoreMask } from '../tasks/wait.js';

/** One system call of one thread. */
export interface Call {
  readonly kernel: Kernel;
  readonly thread: Thread;
  /** The six arguments as signed numbers, exact below 2^53. */
  readonly args: readonly number[];
  readonly memory: UserMemory;
}

/** The monotonic clock from which the call's timeout counts. */
export const startOf = ({ kernel, thread }: Call): bigint => (thread.since ??= kernel.clock.monotonic);

/** A call's result (0 or more; failures are thrown as Errno), what it waits for, or null: registers are set already. */
export type Outcome = number | Wait | null;
export type Handler = (call: Call) => Outcome;
/** Calls of one family by name. */
export type Handlers = Readonly<Record<string, Handler>>;

const ARGUMENTS = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.r10, Reg.r8, Reg.r9];
/** gettimeofday, time, clock_gettime, and sched_yield, which threads call between clock reads. */
const CLOCK_READS: readonly number[] = [96, 201, 228, 24];
const HIGHEST_NUMBER = 512;
/** rr's own call of the preload library for RDTSC, relative to its first. */
const RRCALL_RDTSC = 12;
/** The library sets up the buffer of a thread that has begun. */
const RRCALL_INIT_BUFFERS = 1;
const SYS_PERF_EVENT_OPEN = 298;
/** Its traced calls are made from the replay page. */
const REPLAY_PAGE = 0x7000_0000;
const REPLAY_PAGE_BYTES = 0x1000;
/** struct rrcall_init_buffers_params: two descriptors, buffer, scratch area, their sizes (rr's preload_interface.h). */
const INIT_BUFFERS_BYTES = 32;

/** Finds the handler of each number. */
export class Dispatcher {
  private readonly handlers = new Map<number, Handler>();

  constructor(
    private readonly kernel: Kernel,
    families: readonly Handlers[],
  ) {
    const byName = new Map(families.flatMap((family) => Object.entries(family)));
    for (let number = 0; number < HIGHEST_NUMBER; number++) {
      const handler = byName.get(syscallName(number, Infinity));
      if (handler) this.handlers.set(number, handler);
    }
  }

  /** Performs the call that the thread is in, rip after it; the thread may then wait, or have exited. */
  perform(thread: Thread): void {
    const { kernel } = this;
    const registers = kernel.core.registers(thread.task);
    const number = getSigned(registers, Reg.rax);
    setSigned(registers, Reg.orig_rax, number);
    const args = ARGUMENTS.map((slot) => getSigned(registers, slot));
    const call = { kernel, thread, args, memory: kernel.memoryOf(thread) };
    kernel.log.debug(
      { tid: thread.tid, call: syscallName(number, kernel.facts.rrcallBase), args },
      'system call',
    );
    if (!CLOCK_READS.includes(number)) kernel.clock.called();
    const result = attempt(kernel, () => {
      const rip = getUnsigned(registers, Reg.rip);
      const fromLibrary = rip >= REPLAY_PAGE && rip < REPLAY_PAGE + REPLAY_PAGE_BYTES;
      const outcome = this.handlerOf(number, fromLibrary)(call);
      if (outcome === null || typeof outcome === 'number') return outcome;
      thread.wait = outcome;
      return null;
    });
    if (result === null) return;
    finishCall(kernel, thread, result);
    restoreMask(thread);
  }

  /** @param fromLibrary the recorder's library makes the call */
  private handlerOf(number: number, fromLibrary: boolean): Handler {
    const handler = this.handlers.get(number);
    if (handler) return handler;
    const { rrcallBase } = this.kernel.facts;
    if (number === rrcallBase + RRCALL_RDTSC) return readTimestamp;
    if (number === rrcallBase + RRCALL_INIT_BUFFERS) return initBuffers;
    if (number === SYS_PERF_EVENT_OPEN && fromLibrary) return openCounter;
    return ({ kernel, thread }) => {
      const name = syscallName(number, kernel.facts.rrcallBase);
      kernel.warnOnce(
        `call ${number}`,
        { tid: thread.tid, call: name },
        `${name} is not emulated in diversions: ENOSYS`,
      );
      return -E.ENOSYS;
    };
  }
}

/**
 * A thread that was being set up when the diversion began continues without a buffer: the library then makes traced
 * calls.
 */
const initBuffers: Handler = ({ memory, args }) => {
  const params = new Uint8Array(INIT_BUFFERS_BYTES);
  params.set(memory.bytes(args[0], 4));
  new DataView(params.buffer).setInt32(4, -1, true);
  memory.write(args[0], params);
  return 0;
};

/** The counter by which the recorder detects a blocking buffered call: there are no buffered calls. */
const openCounter: Handler = ({ thread }) =>
  thread.process.descriptors.add(new EventFd(0n, false, Open.nonblock), true);

const readTimestamp: Handler = ({ kernel, memory, args }) => {
  memory.setU64(args[0], kernel.clock.readTimestampCounter());
  return 0;
};
