import { describe, expect, it } from 'vitest';
import { E, Errno } from '../base/errno.js';
import type { Call } from './dispatch.js';
import { identityCalls } from './identity.js';

/** The result of a call of a process with these credentials, or -errno. */
function result(name: string, args: readonly number[], uid = 1000, gid = 100): number {
  const process = { credentials: { uid, euid: uid, gid, egid: gid } };
  const call = { args, thread: { process } } as unknown as Call;
  try {
    return identityCalls[name](call) as number;
  } catch (error) {
    if (error instanceof Errno) return -error.errno;
    throw error;
  }
}

const KEEP = 0xffff_ffff;

describe('changing ids', () => {
  it.each([
    ['setreuid', [1000, 1000]],
    ['setreuid', [KEEP, 1000]],
    ['setresuid', [KEEP, KEEP, 1000]],
    ['setresgid', [100, 100, 100]],
    ['setregid', [100, KEEP]],
    ['setuid', [1000]],
  ])('%s(%j) leaves them what they are', (name, args) => expect(result(name, args)).toBe(0));

  it.each([
    ['setreuid', [1000, 0]],
    ['setresuid', [1000, 1000, 0]],
    ['setresuid', [KEEP, 7, KEEP]],
    ['setregid', [KEEP, 0]],
    ['setresgid', [100, KEEP, 7]],
    ['setuid', [0]],
  ])('%s(%j) is not permitted, whichever id differs', (name, args) =>
    expect(result(name, args)).toBe(-E.EPERM),
  );

  it('is permitted to root, and -1 is not a valid id to set', () => {
    expect(result('setresuid', [1, 2, 3], 0, 0)).toBe(0);
    expect(result('setuid', [KEEP])).toBe(-E.EINVAL);
  });
});
