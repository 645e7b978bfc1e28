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

describe('arch_prctl of state that programs ask for', () => {
  const [SUPPORTED, PERMITTED, REQUEST, TILE_DATA] = [0x1021, 0x1022, 0x1023, 18];
  const AT = 0x1000;

  /** The result for a program of a processor with this XCR0, and what was stored. */
  function asked(xcr0: bigint, option: number, argument: number): [number, bigint | null] {
    let stored: bigint | null = null;
    const memory = { setU64: (_at: number, value: bigint) => (stored = value) };
    const machine = { config: { xcr0 } };
    const core = { machine, registers: () => new Uint32Array(64) };
    const call = { args: [option, argument], kernel: { core }, thread: {}, memory } as unknown as Call;
    try {
      return [identityCalls.arch_prctl(call) as number, stored];
    } catch (error) {
      if (error instanceof Errno) return [-error.errno, stored];
      throw error;
    }
  }

  it('gives tiles where the recorded processor has them', () => {
    expect(asked(0x6_02e7n, SUPPORTED, AT)).toEqual([0, 0x6_02e7n]);
    expect(asked(0x6_02e7n, PERMITTED, AT)).toEqual([0, 0x6_02e7n]);
    expect(asked(0x6_02e7n, REQUEST, TILE_DATA)).toEqual([0, null]);
    expect(asked(0x2e7n, REQUEST, TILE_DATA)[0]).toBe(-E.EOPNOTSUPP);
  });

  it('gives nothing else', () => {
    expect(asked(0x6_02e7n, REQUEST, 2)[0]).toBe(-E.EOPNOTSUPP);
    expect(asked(0x6_02e7n, REQUEST, TILE_DATA + 1)[0]).toBe(-E.EINVAL);
  });
});
