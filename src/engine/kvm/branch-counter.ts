import os from 'node:os';
import { RevenantError } from '../base/errors.js';
import { errnoName, type VcpuTransport } from './transport.js';

/** The processor's counter of conditional branches that the program retired: rr's ticks. */
export interface BranchCounter {
  /** At most so many branches later than asked does a run end. */
  readonly skid: number;
  /** Counted since the last `arm`. The program stands. Throws CounterLostError. */
  read(): number;
  /** Counts from zero; from `after` on (0: never) one run ends with Exit.Interrupted. Throws CounterLostError. */
  arm(after: number): void;
  /** Runs end for it no more, whatever has become of it. */
  disarm(): void;
}

const { EAGAIN } = os.constants.errno;

/** What the program retired since the counter was last armed is not known, nor will anything be counted. */
export class CounterLostError extends RevenantError {
  constructor(errno: number) {
    const why =
      errno === EAGAIN
        ? 'another program, such as a profiler of the whole machine, has taken it'
        : errnoName(errno);
    super(
      'E_MACHINE_LOST',
      `The processor's counter of branches is lost: ${why}.`,
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
