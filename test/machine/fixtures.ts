/** What the specs of the emulated machine share: machines of their own, apart from a developer's. */
import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { machineStatus, stopMachines, type MachineStatus } from '../../src/machine/keeper-client.js';
import { configure } from '../../src/machine/launch.js';
import { patientClock } from '../../scripts/patience.mjs';

/** The small pool makes a unique configuration. */
export const options = { memoryMiB: 128, idleSeconds: 60 };

const root = path.resolve(import.meta.dirname, '../..');
const addon = path.join(root, 'build/native/Release/revenant.node');

export const mine = (): MachineStatus[] => {
  const { baseName } = configure(options);
  return machineStatus().filter(({ name }) => name.startsWith(baseName));
};

export const stopMine = (): number => stopMachines(mine().map(({ name }) => name));

/** A process that has ended, or a zombie. */
export function isDead(pid: number): boolean {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2)[0] === 'Z';
  } catch {
    return true;
  }
}

export const isListening = (name: string): boolean =>
  fs.readFileSync('/proc/net/unix', 'latin1').includes(`@${name}\n`);

/** Waits until `condition` holds; fails after as many fair seconds. */
export async function until(condition: () => boolean, seconds = 60): Promise<void> {
  const waited = patientClock();
  while (!condition()) {
    if (waited() > seconds) throw new Error(`not within ${seconds} s: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/**
 * Another process that leases the machine of this name, writes all over its memory and then waits for
 * its death. Resolves when it has the lease.
 */
export async function otherClient(name: string): Promise<ChildProcess> {
  const program = `
    const handle = require(${JSON.stringify(addon)}).openMailbox(${JSON.stringify(name)});
    new Uint8Array(handle.pool, 0x40000, 0x100000).fill(0xcc);
    console.log('leased');
    setInterval(() => handle.pool.byteLength, 1000);`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', () => reject(new Error('the other client ended')));
  });
  return child;
}
