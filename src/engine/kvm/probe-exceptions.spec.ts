import { describe, expect, it } from 'vitest';
import { WATCHED, type LeftOut } from '../x86/unraised.js';
import { Cr4 } from './cpuid.js';
import { Exit } from './exit.js';
import type { MachineConfig } from './machine.js';
import { exceptionChecks, type ExceptionCheck, type Raised } from './probe-exception-list.js';
import { checkExceptions, type ExceptionGuest, type ExceptionsSeen } from './probe-exceptions.js';
import { CODE, DATA, DATA_SIZE, type Outcome } from './probe-guest.js';

const config: MachineConfig = {
  cpuid: [],
  xcr0: 7n,
  cr4: Cr4.OSXSAVE | Cr4.FSGSBASE | Cr4.PKE | Cr4.UMIP,
  cpuidFaulting: false,
};
const checks = exceptionChecks(config);
const GP = 13;

type Misbehaves = (check: ExceptionCheck) => Raised | null;

interface Looked extends ExceptionsSeen {
  runs: number;
  locals: (Uint32Array | null)[];
}

/** A machine that raises everything, but what `misbehaves` says. */
function look(misbehaves: Misbehaves = () => null, every = true, rsp = 0n): Looked {
  const left = every ? [...checks] : checks.filter(({ completed }) => completed && WATCHED.has(completed));
  const locals: (Uint32Array | null)[] = [];
  let registerRsp = 0n;
  let runs = 0;
  const guest: ExceptionGuest = {
    data: new Uint8Array(DATA_SIZE),
    register: () => registerRsp,
    run: (program, registers = {}) => {
      runs++;
      registerRsp = (registers.rsp ?? BigInt(DATA + DATA_SIZE)) + rsp;
      const at = left.findIndex((check) => check.program === program || sameBytes(check.program, program));
      if (at < 0) return outcomeOf({ vector: 3, at: program.length });
      const [check] = left.splice(0, at + 1).slice(-1);
      return outcomeOf(misbehaves(check) ?? check.raised);
    },
  };
  const context = { setLocalDescriptors: (table: Uint32Array | null): void => void locals.push(table) };
  return { ...checkExceptions(guest, { config, context }, every), runs, locals };
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

const outcomeOf = ({ vector, at = 0, rip, errorCode = 0, cr2 = 0n }: Raised): Outcome => ({
  exit: Exit.Exception,
  vector,
  text: '',
  rip: rip ?? BigInt(CODE + at),
  errorCode,
  cr2,
  dr6: 0,
});

const failed = ({ findings }: Looked): string[] => findings.filter(({ ok }) => !ok).map(({ name }) => name);

describe('the probe of exceptions', () => {
  it('reaches every exception that a 64-bit program can meet', () => {
    const vectors = new Set(checks.map(({ raised }) => raised.vector));
    expect([...vectors].sort((a, b) => a - b)).toEqual([0, 1, 3, 4, 6, 11, 12, 13, 14, 16, 17, 19]);
    const names = checks.map(({ name, raised }) => `${raised.vector} ${name}`);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
    for (const { program, words, raised } of checks) {
      expect(program.length).toBeLessThan(64);
      expect(raised.at ?? 0).toBeLessThanOrEqual(program.length);
      for (const [offset] of words) expect(offset).toBeLessThan(1016);
    }
  });

  it('passes a machine that raises all', () => {
    const looked = look();
    expect(failed(looked)).toEqual([]);
    expect(looked.findings).toHaveLength(checks.length);
    expect([...looked.leftOut]).toEqual([]);
    expect(looked.locals.filter((table) => table === null)).toHaveLength(looked.locals.length / 2);
  });

  it.each(checks.filter(({ completed, otherwise }) => completed && otherwise))(
    'reports what replays complete: $name',
    (omitted) => {
      const looked = look((check) => (check.name === omitted.name ? omitted.otherwise : null));
      expect(failed(looked)).toEqual([]);
      expect([...looked.leftOut]).toEqual([omitted.completed]);
      const seen = looked.findings.filter(({ seen }) => seen.endsWith(', completed in replays'));
      expect(seen.map(({ name }) => name.split(': ')[1])).toEqual([omitted.name]);
    },
  );

  it.each<[string, (raised: Raised) => Raised]>([
    ['another vector', (raised) => ({ ...raised, vector: 30 })],
    ['an unexpected error code', (raised) => ({ ...raised, errorCode: (raised.errorCode ?? 0) ^ 0x400 })],
    [
      'another place',
      (raised) => ({ ...raised, rip: (raised.rip ?? BigInt(CODE + (raised.at ?? 0))) + 32n }),
    ],
  ])('names everything that has %s', (_, change) => {
    const met = checks.filter(({ otherwise }) => otherwise !== null);
    const looked = look(({ raised, otherwise }) => (otherwise === null ? null : change(raised)));
    expect(failed(looked)).toHaveLength(met.length);
  });

  it('compares addresses of page faults, and stack pointers of faults', () => {
    expect(
      failed(look(({ raised }) => (raised.cr2 ? { ...raised, cr2: raised.cr2 + 1n } : null))),
    ).toHaveLength(checks.filter(({ raised }) => raised.cr2).length);
    expect(failed(look(undefined, true, -8n))).toContain('#GP: CALL to where is not canonical');
  });

  it('names the missing exception', () => {
    const looked = look(({ name }) => (name === 'HLT' ? { vector: 3, at: 2 } : null));
    expect(looked.findings.filter(({ ok }) => !ok)).toEqual([
      { name: '#GP: HLT', expected: '#GP at 0x400000', seen: '#BP at 0x400002', ok: false },
    ]);
  });
});

describe('the probe before a replay', () => {
  it('probes only what replays must check, until one is found omitted', () => {
    const watched = checks.filter(({ completed }) => completed && WATCHED.has(completed));
    const honest = look(undefined, false);
    expect(honest).toMatchObject({ findings: [], runs: watched.length + 2 });
    expect([...honest.leftOut]).toEqual([]);
    const lacking = look(({ otherwise }) => otherwise, false);
    expect(lacking.runs).toBe(WATCHED.size + 2);
    expect([...lacking.leftOut].sort()).toEqual([...WATCHED].sort());
  });

  it('treats unknown behaviour as omitted', () => {
    const of =
      (kind: LeftOut): Misbehaves =>
      (check) =>
        check.completed === kind ? { vector: GP, errorCode: 8 } : null;
    for (const kind of WATCHED) expect([...look(of(kind), false).leftOut]).toEqual([kind]);
  });
});
