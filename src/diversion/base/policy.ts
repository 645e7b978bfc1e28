import type { ClockMode } from './clock.js';

/** What a diversion may do outside of the guest, and its limits. */
export interface DiversionPolicy {
  /** Folders of the host, absolute, where the diversion's writes are real. */
  readonly allowWrites: readonly string[];
  /** Sockets of the internet families reach the network as clients. */
  readonly allowNet: boolean;
  /** Where clocks go on from. */
  readonly clock: ClockMode;
  /**
   * SIGKILL that a process sends to itself: performed, or refused with ENOSYS, so that a call does not end the
   * diversion.
   */
  readonly ownKill: 'done' | 'refused';
  readonly limits: DiversionLimits;
}

export interface DiversionLimits {
  /** Time that one run (a call, a continue) may take. */
  readonly seconds: number;
  /** Guest memory besides what the replay has. */
  readonly memoryBytes: number;
  /** Standard output and error together. */
  readonly outputBytes: number;
  /** Content of files that were written. */
  readonly fileBytes: number;
  /** Tasks that exist at one time. */
  readonly tasks: number;
}

const MIB = 2 ** 20;

export const DEFAULT_POLICY: DiversionPolicy = {
  allowWrites: [],
  allowNet: false,
  clock: 'recorded',
  ownKill: 'done',
  limits: {
    seconds: 60,
    memoryBytes: 512 * MIB,
    outputBytes: 16 * MIB,
    fileBytes: 128 * MIB,
    tasks: 256,
  },
};
