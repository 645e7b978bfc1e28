import fs from 'node:fs';
import os from 'node:os';
import { CounterLostError, transportCounter, type BranchCounter } from './branch-counter.js';
import { Exit } from './exit.js';
import { programs } from './probe-programs.js';
import { DATA, type ProbeGuest } from './probe-guest.js';
import type { Machine } from './machine.js';
import { errnoName, type VcpuTransport } from './transport.js';

/** Events (umask << 8 | number) that count retired conditional branches on some of a vendor's processors. */
interface Vendor {
  readonly events: readonly number[];
  readonly skid: number;
  /** An event whose non-zero count shows that the others overcount around instructions with LOCK. */
  readonly flaw?: { readonly event: number; readonly text: string };
}

/**
 * From Intel's and AMD's event lists; skids as rr has measured them (PerfCounters.cc). Which event
 * a processor supports, if any, is found by counting.
 */
const VENDORS: ReadonlyMap<string, Vendor> = new Map([
  // BR_INST_RETIRED: .CONDITIONAL, .COND, .JCC of the small cores, .COND with an extended mask.
  ['GenuineIntel', { events: [0x01c4, 0x11c4, 0x7ec4, 0x100_0000_11c4], skid: 256 }],
  [
    'AuthenticAMD',
    {
      // Retired conditional branch instructions, since Zen.
      events: [0xd1],
      skid: 10_000,
      // Retired lock instructions, SpecLockMapCommit. Branches are counted too often now and then while it counts.
      flaw: { event: 0x825, text: 'SpecLockMap is on, see https://github.com/rr-debugger/rr/wiki/Zen' },
    },
  ],
]);

/**
 * Iterations of a loop with a known number of conditional branches, two per iteration, and others that must not count.
 */
const TURNS = [1, 1000, 50_000] as const;
const REPEATED = 3;
const LONG = 500_000;
const BRANCHES_A_TURN = 2;
/** Few instructions with LOCK are not sufficient: SpecLockMapCommit counts at most one in a hundred. */
const LOCKED_TURNS = 100_000;
/** Ends of one run that was to end once: more than periods of LONG fit into it. */
const MAX_ENDS = 8;

const PARANOID = '/proc/sys/kernel/perf_event_paranoid';
/** From here on users may not count their own programs' user mode: a level of Debian's and Ubuntu's kernels. */
const TOO_PARANOID = 3;
const { EACCES, EPERM, ENOENT, ENODEV, EOPNOTSUPP } = os.constants.errno;

/**
 * Searches an event that counts exactly the program's retired branches, in ring 3 only, and whose overflow ends a run
 * in time.
 * @returns the counter, or the reason why there is none
 */
export function findBranchCounter(machine: Machine, guest: ProbeGuest): BranchCounter | string {
  const vendor = VENDORS.get(vendorOf(machine));
  if (!vendor) return 'there is no known event for this processor';
  return tryEvents(machine.transport.counter, vendor, guest);
}

function tryEvents(
  counter: VcpuTransport['counter'],
  { events, skid, flaw }: Vendor,
  guest: ProbeGuest,
): BranchCounter | string {
  const found = transportCounter(counter, skid);
  /** The result of `check` for a counter of this event, or why it cannot be created. */
  const attempt = (event: number, look: () => string | null): string | null => {
    const errno = -counter.openCounter(event);
    if (errno > 0) return refusal(errno, readParanoid());
    try {
      const problem = look();
      return problem === null ? null : `event 0x${event.toString(16)}: ${problem}`;
    } catch (error) {
      if (error instanceof CounterLostError) return error.message;
      throw error;
    } finally {
      found.disarm();
    }
  };
  if (flaw) {
    const problem = attempt(flaw.event, () => (countLocked(found, guest) === 0 ? null : flaw.text));
    if (problem !== null) return problem;
  }
  let reason = '';
  for (const event of events) {
    const problem = attempt(event, () => check(found, guest));
    if (problem === null) return found;
    reason = problem;
  }
  return reason;
}

/** The setting, or null if there is none. */
function readParanoid(): number | null {
  try {
    return Number(fs.readFileSync(PARANOID, 'latin1'));
  } catch {
    return null;
  }
}

/** Why perf_event_open failed, and what would help. */
export function refusal(errno: number, paranoid: number | null): string {
  const failed = `perf_event_open: ${errnoName(errno)}`;
  if (errno === EOPNOTSUPP || errno === ENOENT || errno === ENODEV)
    return `${failed}, the processor, or a hypervisor below, offers none`;
  if (errno !== EACCES && errno !== EPERM) return failed;
  if (paranoid !== null && paranoid >= TOO_PARANOID)
    return `${failed}, kernel.perf_event_paranoid is ${paranoid}; sudo sysctl kernel.perf_event_paranoid=2 allows it`;
  return `${failed}, forbidden by a container's or a service's system call filter`;
}

function vendorOf({ hardwareCpuid }: Machine): string {
  const leaf = hardwareCpuid.find(({ eaxIn }) => eaxIn === 0);
  if (!leaf) return '';
  return Buffer.from(Uint32Array.of(leaf.ebx, leaf.edx, leaf.ecx).buffer).toString('latin1');
}

type Guest = Pick<ProbeGuest, 'run' | 'go'>;

/** The problem of a counter, or null. Throws CounterLostError. */
export function check(counter: BranchCounter, guest: Guest): string | null {
  const different = (counted: number, expected: number): string | null =>
    counted === expected ? null : `counted ${counted} of ${expected} conditional branches`;
  for (const turns of TURNS) {
    for (let time = 0; time < REPEATED; time++) {
      counter.arm(0);
      guest.run(programs.branches, { rdi: BigInt(turns) });
      const problem = different(counter.read(), BRANCHES_A_TURN * turns);
      if (problem !== null) return problem;
    }
  }
  return different(countLocked(counter, guest), LOCKED_TURNS) ?? checkEnd(counter, guest);
}

function countLocked(counter: BranchCounter, guest: Guest): number {
  counter.arm(0);
  guest.run(programs.locked, { rdi: BigInt(DATA), rsi: BigInt(LOCKED_TURNS) });
  return counter.read();
}

function checkEnd(counter: BranchCounter, guest: Guest): string | null {
  counter.arm(LONG);
  let { exit } = guest.run(programs.branches, { rdi: BigInt(2 * LONG) });
  if (exit !== Exit.Interrupted) return 'a run does not end when it is due';
  const counted = counter.read();
  if (counted < LONG || counted > LONG + counter.skid)
    return `a run that was to end after ${LONG} branches ended after ${counted}`;
  // The run should end once. Ending again is not an error: a counter's period restarts by itself.
  for (let ends = 1; exit === Exit.Interrupted && ends <= MAX_ENDS; ends++) exit = guest.go().exit;
  if (exit === Exit.Interrupted) return 'a run that was to end once is ended again and again';
  return counter.read() === 2 * LONG * BRANCHES_A_TURN ? null : 'an interrupted run is counted differently';
}
