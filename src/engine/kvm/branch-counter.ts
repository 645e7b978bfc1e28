import os from 'node:os';
import { RevenantError } from '../base/errors.js';
import { errnoName, type VcpuTransport } from './transport.js';

/** The processor's counter of conditional branches that the program retired: rr's ticks. */
export interface BranchCounter {
  /** A run ends at most this many branches late. */
  readonly skid: number;
  /** Counted since the last `arm`. Precondition: no run is pending. Throws CounterLostError. */
  read(): number;
  /** Counts from zero; from `after` on (0: never) one run ends with Exit.Interrupted. Throws CounterLostError. */
  arm(after: number): void;
  /** Disarms the counter, even if it was lost. */
  disarm(): void;
}

const { EAGAIN } = os.constants.errno;

/** The count since the counter was last armed is unknown, and counting has ended. */
export class CounterLostError extends RevenantError {
  constructor(errno: number) {
    const why =
      errno === EAGAIN
        ? 'another program, such as a profiler of the whole machine, has taken it'
        : errnoName(errno);
    super(
      'E_MACHINE_LOST',
      `The processor's branch counter was lost: ${why}.`,
      'Run the command again when that program has ended.',
    );
  }
}

/** The counter that a transport has opened. */
export function transportCounter(
  counter: Pick<VcpuTransport['counter'], 'readCounter' | 'armCounter'>,
  skid: number,
): BranchCounter {
  const demand = (result: number): number => {
    if (result < 0) throw new CounterLostError(-result);
    return result;
  };
  return {
    skid,
    read: () => demand(counter.readCounter()),
    arm: (after) => void demand(counter.armCounter(after)),
    disarm: () => void counter.armCounter(0),
  };
}
