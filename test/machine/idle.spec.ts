/**
 * A machine that nobody uses takes no processor time: the kernel does not run its threads, which is counted in switches, for
 * what polls, and in processor time, for what spins. Neither depends on how busy the computer is.
 */
import fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Exit } from '../../src/engine/kvm/exit.js';
import { ProbeGuest } from '../../src/engine/kvm/probe-guest.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireEmulated } from '../../src/machine/emulated.js';
import { makeMachine, program } from '../kvm/guest.js';
import { patientClock } from '../../scripts/patience.mjs';
import { mine, options, stopMine, until } from './fixtures.js';

beforeAll(stopMine);
afterAll(stopMine);

const QUIET_MILLIS = 100;
const REST_MILLIS = 1_500;
const SYSCALL = program(0x0f, 0x05);
const rest = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis));

/** How often threads of a process have begun to wait, or were made to (proc(5), status). */
function switches(pid: number): number {
  const texts = fs
    .readdirSync(`/proc/${pid}/task`)
    .map((tid) => fs.readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8'));
  const counts = texts.flatMap((text) => [...text.matchAll(/ctxt_switches:\s*(\d+)/g)]);
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Processor time of all threads of a process, in ticks of 10 ms (proc(5), stat). */
function ticks(pid: number): number {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13);
  return Number(user) + Number(system);
}

/** Expects keeper and emulator to become quiet, and then to be run a few times at most: each is some microseconds. */
async function expectRest(): Promise<void> {
  const [{ pid, qemuPid }] = mine(); // asking is work for the keeper: not again
  const spent = (): readonly number[] => [switches, ticks].map((count) => count(pid) + count(qemuPid));
  const whileResting = async (millis: number): Promise<readonly number[]> => {
    const before = spent();
    await rest(millis);
    return spent().map((count, index) => count - before[index]);
  };
  const waited = patientClock();
  while ((await whileResting(QUIET_MILLIS)).some((count) => count !== 0)) expect(waited()).toBeLessThan(60);
  const [switched, ticked] = await whileResting(REST_MILLIS);
  expect(switched).toBeLessThanOrEqual(4);
  expect(ticked).toBe(0);
}

describe('a machine takes no processor time', () => {
  let transport: VcpuTransport;
  beforeAll(async () => {
    transport = await acquireEmulated(options);
  });
  afterAll(() => transport.close());

  it('while its client does something else, after a program has left', async () => {
    const guest = new ProbeGuest(makeMachine(transport));
    expect(guest.run(SYSCALL).exit).toBe(Exit.Syscall);
    await expectRest();
    expect(guest.run(SYSCALL).exit).toBe(Exit.Syscall);
  });

  it('between two leases', async () => {
    transport.close();
    await until(() => mine()[0].state === 'idle');
    await expectRest();
  });
});
