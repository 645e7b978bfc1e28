/** The emulator caches translations, and does not notice stores into the pool from outside. */
import { afterAll, expect, it } from 'vitest';
import { PAGE_SIZE, gpa } from '../../src/engine/base/address.js';
import type { Machine } from '../../src/engine/kvm/machine.js';
import { ProbeGuest } from '../../src/engine/kvm/probe-guest.js';
import { acquireEmulated } from '../../src/machine/emulated.js';
import { makeMachine } from '../kvm/guest.js';
import { options, stopMine } from './fixtures.js';

afterAll(stopMine);

/** Of ProbeGuest's code, from the first free page. */
const CODE_PAGE = 4 * PAGE_SIZE;

/** mov $value, %eax; int3 */
const program = (value: number): Uint8Array => Uint8Array.of(0xb8, value, 0, 0, 0, 0xcc);

const machineOf = async (): Promise<Machine> => makeMachine(await acquireEmulated(options));

/** Runs one program in the guest and returns its eax. */
function result(guest: ProbeGuest, value: number): bigint {
  guest.run(program(value));
  return guest.register('rax');
}

const forgetToTell = (machine: Machine): Machine => Object.assign(machine, { codeWritten: () => undefined });

it('runs changed code after a notification', async () => {
  const machine = await machineOf();
  const guest = new ProbeGuest(machine);
  expect([1, 2, 3].map((value) => result(guest, value))).toEqual([1n, 2n, 3n]);
  machine.close();
});

it('runs the old code without one', async () => {
  const machine = forgetToTell(await machineOf());
  const guest = new ProbeGuest(machine);
  expect([1, 2, 3].map((value) => result(guest, value))).toEqual([1n, 1n, 1n]);
  machine.close();
});

it('drops everything of a page at once, which keeps its bytes', async () => {
  const machine = await machineOf();
  const tell = machine.codeWritten.bind(machine);
  const guest = new ProbeGuest(forgetToTell(machine));
  result(guest, 1);
  const page = gpa(machine.firstFree + CODE_PAGE);
  const bytes = new Uint8Array(machine.pool, page, PAGE_SIZE);
  for (let i = 64; i < PAGE_SIZE; i++) bytes[i] = i % 251;
  tell(page, PAGE_SIZE);
  expect(result(guest, 2)).toBe(2n);
  expect([...bytes].every((byte, i) => i < 64 || byte === i % 251)).toBe(true);
  machine.close();
});

it('never runs code of the client before', async () => {
  for (const value of [4, 5, 6]) {
    const machine = forgetToTell(await machineOf());
    expect(result(new ProbeGuest(machine), value)).toBe(BigInt(value));
    machine.close();
  }
});
