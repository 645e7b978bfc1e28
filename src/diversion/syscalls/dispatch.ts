import { syscallName } from '../../engine/base/syscalls.js';
import { Reg, getSigned, setSigned } from '../../engine/base/registers.js';
import { E } from '../errno.js';
import type { Kernel } from '../kernel.js';
import type { Thread, Wait } from '../process.js';
import type { UserMemory } from '../user-memory.js';
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
/** gettimeofday, time, clock_gettime, and what threads do between looks at a clock: sched_yield. */
const CLOCK_READS: readonly number[] = [96, 201, 228, 24];
const HIGHEST_NUMBER = 512;
/** rr's own call of the preload library for RDTSC, relative to its first. */
const RRCALL_RDTSC = 12;

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

  /** Performs the call that the thread stands in, rip behind it; it may wait afterwards, or be gone. */
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
      const outcome = this.handlerOf(number)(call);
      if (outcome === null || typeof outcome === 'number') return outcome;
      thread.wait = outcome;
      return null;
    });
    if (result === null) return;
    finishCall(kernel, thread, result);
    restoreMask(thread);
  }

  private handlerOf(number: number): Handler {
    const handler = this.handlers.get(number);
    if (handler) return handler;
    if (number === this.kernel.facts.rrcallBase + RRCALL_RDTSC) return readTimestamp;
    return ({ kernel, thread }) => {
      const name = syscallName(number, kernel.facts.rrcallBase);
      kernel.sayOnce(
        `call ${number}`,
        { tid: thread.tid, call: name },
        `${name} is not emulated in diversions: ENOSYS`,
      );
      return -E.ENOSYS;
    };
  }
}

const readTimestamp: Handler = ({ kernel, memory, args }) => {
  memory.setU64(args[0], kernel.clock.readTimestampCounter());
  return 0;
};
