/**
 * Machines that are lost during a replay: their emulator was killed, or ran out of memory, or a process cannot have what the
 * program does next. The replay can always be repeated.
 */
import { RevenantError } from '../engine/base/errors.js';

/** More losses than this have a cause that another machine does not remove. */
const MOST_LOSSES = 20;
/** More losses than this at one place are caused by what happens there. */
const MOST_AT_ONE_PLACE = 3;

/** Lost, or left because its program does what this kind of machine cannot. */
export const isLoss = (failure: unknown): failure is RevenantError =>
  failure instanceof RevenantError && (failure.code === 'E_MACHINE_LOST' || failure.elsewhere);

/** Decides whether to continue on another machine. */
export class Losses {
  private count = 0;
  private place = -1;
  private there = 0;

  /** @param frame the last frame that was replayed */
  mayGoOn(failure: unknown, frame: number): boolean {
    if (!isLoss(failure)) return false;
    this.there = frame === this.place ? this.there + 1 : 1;
    this.place = frame;
    return ++this.count < MOST_LOSSES && this.there < MOST_AT_ONE_PLACE;
  }
}

export const lostText = ({ message }: RevenantError, frame: number): string =>
  `${message} Continuing on another machine, from frame ${frame}`;

/** The output of a program that is replayed again, without what was already printed. */
export class PrintedOnce {
  private readonly printed = { 1: 0, 2: 0 };
  private readonly now = { 1: 0, 2: 0 };

  constructor(private readonly output: (fd: 1 | 2, bytes: Uint8Array) => void) {}

  /** The replay starts again. */
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
