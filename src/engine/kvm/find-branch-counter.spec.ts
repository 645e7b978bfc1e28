import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import type { BranchCounter } from './branch-counter.js';
import { findBranchCounter, refusal } from './find-branch-counter.js';
import { Exit } from './exit.js';
import type { Machine } from './machine.js';
import type { Outcome, ProbeGuest, Registers } from './probe-guest.js';
import { programs } from './probe-programs.js';

const { EAGAIN, EACCES, EPERM, ENOENT } = constants.errno;
const AMD = { eaxIn: 0, ebx: 0x68747541, ecx: 0x444d4163, edx: 0x69746e65 };
const INTEL = { eaxIn: 0, ebx: 0x756e6547, ecx: 0x6c65746e, edx: 0x49656e69 };
const SKID = 10_000;
const SPEC_LOCK_MAP = 0x825;

interface Faults {
  /** The count for a number of retired branches of a program. */
  wrong?: (retired: number) => number;
  /** Branches after the requested count at which a run ends; Infinity: never. */
  late?: number;
  /** A period begins again when it is over, as perf's does; false: it ends a run once, as native/kvm has it. */
  repeats?: boolean;
  /** Branches counted too many by each end of a run, and among instructions with LOCK. */
  perEnd?: number;
  byLocks?: number;
  /** What the event that shows SpecLockMap counts. */
  speculated?: number;
  /** openCounter's result. */
  open?: number;
  vendor?: typeof AMD;
  /** Runs after which another event has the counter. */
  lostAfter?: number;
}

/** A guest and the processor's counter, as a fake of the addon. */
function find({
  wrong = (retired) => retired,
  late = 10,
  repeats = true,
  perEnd = 0,
  byLocks = 0,
  speculated = 0,
  open = 0,
  vendor = AMD,
  lostAfter = Infinity,
}: Faults = {}): BranchCounter | string {
  let event = 0;
  let retired = 0;
  let since = 0;
  let period = 0;
  let due = Infinity;
  let left = 0;
  let runs = 0;
  const counter = {
    openCounter: (wanted: number) => ((event = wanted), open),
    readCounter: () => {
      if (runs > lostAfter) return -EAGAIN;
      return event === SPEC_LOCK_MAP ? speculated : wrong(retired - since);
    },
    armCounter: (after: number) => {
      since = retired;
      period = after;
      due = after === 0 ? Infinity : retired + after;
      return 0;
    },
  };
  const go = (): Outcome => {
    runs++;
    const end = Math.min(retired + left, due + late);
    left -= end - retired;
    retired = end;
    if (end !== due + late) return { exit: Exit.Exception } as Outcome;
    due = repeats ? due + period : Infinity;
    since -= perEnd;
    return { exit: Exit.Interrupted } as Outcome;
  };
  const run = (program: Uint8Array, { rdi, rsi }: Registers = {}): Outcome => {
    const locks = program === programs.locked;
    left = locks ? Number(rsi) : 2 * Number(rdi);
    if (locks) since -= byLocks;
    return go();
  };
  const machine = { hardwareCpuid: [vendor], transport: { counter } };
  return findBranchCounter(machine as unknown as Machine, { run, go } as ProbeGuest);
}

const accepted = { skid: SKID };

describe('a counter of branches', () => {
  it.each([true, false])(
    'is taken if it is exact and ends runs in time; its period repeats: %s',
    (repeats) => {
      expect(find({ repeats })).toMatchObject(accepted);
      expect(find({ repeats, late: SKID })).toMatchObject(accepted);
      expect(find({ repeats, vendor: INTEL })).toMatchObject({ skid: 256 });
    },
  );

  it.each<[string, (retired: number) => number]>([
    ['all branches', (retired) => 2.5 * retired],
    ['one too many now and then', (retired) => retired + (retired > 50_000 ? 1 : 0)],
    ['nothing', () => 0],
  ])('is refused if it counts %s', (_, wrong) => {
    expect(find({ wrong })).toMatch(/^event 0xd1: counted -?[\d.]+ of \d+ conditional branches$/);
  });

  it('is refused if it misses its first run', () => {
    let reads = 0;
    expect(find({ wrong: (retired) => (reads++ < 1 ? 0 : retired) })).toBe(
      'event 0xd1: counted 0 of 2 conditional branches',
    );
  });

  it('is refused if it counts otherwise around instructions with LOCK', () => {
    expect(find({ byLocks: 3 })).toBe('event 0xd1: counted 100003 of 100000 conditional branches');
    expect(find({ speculated: 91 })).toMatch(/^event 0x825: SpecLockMap is on, see/);
    expect(find({ speculated: 91, vendor: INTEL })).toMatchObject({ skid: 256 });
  });

  it('is refused if it ends a run too late, or never, or counts its ends', () => {
    expect(find({ late: SKID + 1 })).toBe(
      'event 0xd1: a run that was to end after 500000 branches ended after 510001',
    );
    expect(find({ late: Infinity })).toBe('event 0xd1: a run does not end when it is due');
    expect(find({ perEnd: 1 })).toBe('event 0xd1: an interrupted run is counted differently');
  });

  it('is refused if it is lost meanwhile, whenever', () => {
    for (let lostAfter = 0; lostAfter < 13; lostAfter++) {
      expect(find({ lostAfter })).toMatch(/branch counter was lost: another program/);
    }
  });

  it('reports why the kernel refuses it', () => {
    expect(find({ open: -ENOENT })).toBe(
      'perf_event_open: ENOENT, the processor, or a hypervisor below, offers none',
    );
    expect(find({ vendor: { ...AMD, ebx: 0 } })).toBe('there is no known event for this processor');
    expect(refusal(EACCES, 3)).toBe(
      'perf_event_open: EACCES, kernel.perf_event_paranoid is 3; sudo sysctl kernel.perf_event_paranoid=2 allows it',
    );
    expect(refusal(EPERM, 2)).toMatch(/^perf_event_open: EPERM, forbidden by a container's/);
    expect(refusal(EACCES, null)).toMatch(/^perf_event_open: EACCES, forbidden/);
  });
});
