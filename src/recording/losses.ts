/** Machines that are lost under a replay: their emulator was killed, or ran out of memory. The replay can always be had again. */
import { RevenantError } from '../engine/base/errors.js';

/** A machine that is lost so often is lost for a reason. */
const MOST_LOSSES = 20;
/** So often at one place it is lost because of what happens there. */
const MOST_AT_ONE_PLACE = 3;

export const isLoss = (failure: unknown): failure is RevenantError =>
  failure instanceof RevenantError && failure.code === 'E_MACHINE_LOST';

/** Decides whether it is worth to go on with another machine. */
export class Losses {
  private count = 0;
  private place = -1;
  private there = 0;

  /** @param frame how far the replay had come */
  mayGoOn(failure: unknown, frame: number): boolean {
    if (!isLoss(failure)) return false;
    this.there = frame === this.place ? this.there + 1 : 1;
    this.place = frame;
    return ++this.count < MOST_LOSSES && this.there < MOST_AT_ONE_PLACE;
  }
}

export const lostText = ({ message }: RevenantError, frame: number): string =>
  `${message} Another machine goes to where it was (frame ${frame})`;

/** The output of a program that is replayed again: what came out before does not come out twice. */
export class PrintedOnce {
  private readonly printed = { 1: 0, 2: 0 };
  private readonly now = { 1: 0, 2: 0 };

  constructor(private readonly output: (fd: 1 | 2, bytes: Uint8Array) => void) {}

  /** The replay begins where it began before. */
  again(): void {
    this.now[1] = this.now[2] = 0;
  }

  write(fd: 1 | 2, bytes: Uint8Array): void {
    const known = Math.max(0, Math.min(bytes.length, this.printed[fd] - this.now[fd]));
    this.now[fd] += bytes.length;
    if (known === bytes.length) return;
    this.printed[fd] = this.now[fd];
    this.output(fd, bytes.subarray(known));
  }
}
