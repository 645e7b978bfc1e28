import type { BranchCounter } from './branch-counter.js';
import { Exit } from './exit.js';
import { programs } from './probe-programs.js';
import type { ProbeGuest } from './probe-guest.js';
import type { Machine } from './machine.js';
import { errnoName } from './transport.js';

/** Events (umask << 8 | number) that count retired conditional branches on some of a vendor's processors. */
interface Vendor {
  readonly events: readonly number[];
  readonly skid: number;
}

/**
 * From Intel's and AMD's event lists; skids as rr has measured them (PerfCounters.cc). Which event a processor
 * has, if any, is found by counting.
 */
const VENDORS: ReadonlyMap<string, Vendor> = new Map([
  // BR_INST_RETIRED: .CONDITIONAL, .COND, .JCC of the small cores, .COND with an extended mask.
  ['GenuineIntel', { events: [0x01c4, 0x11c4, 0x7ec4, 0x100_0000_11c4], skid: 256 }],
  // Retired conditional branch instructions, since Zen.
  ['AuthenticAMD', { events: [0xd1], skid: 10_000 }],
]);

/** Turns of a loop whose conditional branches are known, two a turn, with others that must not count. */
const TURNS = [1, 1000, 50_000] as const;
const REPEATED = 3;
const LONG = 500_000;
const BRANCHES_A_TURN = 2;

/**
 * Looks for an event that counts exactly what the program retires, in ring 3 only, and that ends a run in time.
 * @returns the counter, or in words why there is none
 */
export function findBranchCounter(machine: Machine, guest: ProbeGuest): BranchCounter | string {
  const vendor = VENDORS.get(vendorOf(machine));
  if (!vendor) return 'no event is known for this processor';
  const { counter } = machine.transport;
  let reason = '';
  for (const event of vendor.events) {
    const errno = -counter.openCounter(event);
    if (errno > 0) {
      reason = `perf_event_open: ${errnoName(errno)}`;
      continue;
    }
    const found = {
      skid: vendor.skid,
      read: () => counter.readCounter(),
      arm: (after: number) => void counter.armCounter(after),
    };
    const problem = check(found, guest);
    found.arm(0);
    if (problem === null) return found;
    reason = `event 0x${event.toString(16)}: ${problem}`;
  }
  return reason;
}

function vendorOf({ hardwareCpuid }: Machine): string {
  const leaf = hardwareCpuid.find(({ eaxIn }) => eaxIn === 0);
  if (!leaf) return '';
  return Buffer.from(Uint32Array.of(leaf.ebx, leaf.edx, leaf.ecx).buffer).toString('latin1');
}

/** In words what is wrong with a counter, or null. */
export function check(counter: BranchCounter, guest: Pick<ProbeGuest, 'run' | 'go'>): string | null {
  for (const turns of TURNS) {
    for (let time = 0; time < REPEATED; time++) {
      counter.arm(0);
      guest.run(programs.branches, { rdi: BigInt(turns) });
      const counted = counter.read();
      const expected = BRANCHES_A_TURN * turns;
      if (counted !== expected) return `counted ${counted} of ${expected} conditional branches`;
    }
  }
  counter.arm(LONG);
  const stopped = guest.run(programs.branches, { rdi: BigInt(2 * LONG) });
  if (stopped.exit !== Exit.Interrupted) return 'a run does not end when it is due';
  const counted = counter.read();
  if (counted < LONG || counted > LONG + counter.skid)
    return `a run that was to end after ${LONG} branches ended after ${counted}`;
  guest.go();
  return counter.read() === 2 * LONG * BRANCHES_A_TURN ? null : 'an interrupted run is counted otherwise';
}
