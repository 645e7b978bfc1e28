import os from 'node:os';

/** Error numbers by name, as positive values. */
export const E = os.constants.errno;

/** The failure of a system call: thrown anywhere, converted to the call's result in one place. */
export class Errno extends Error {
  /** @param errno positive */
  constructor(readonly errno: number) {
    super(`errno ${errno}`);
  }
}

export function fail(errno: number): never {
  throw new Errno(errno);
}

/** The value of a call that reports errors as negative numbers; throws those. */
export function check(result: number): number {
  if (result < 0) throw new Errno(-result);
  return result;
}
