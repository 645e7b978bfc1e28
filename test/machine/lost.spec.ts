/** Machines that are killed while commands use them: the commands still complete. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { machineStatus } from '../../src/machine/keeper-client.js';
import { until } from './fixtures.js';

const root = path.resolve(import.meta.dirname, '../..');
const trace = (name: string): string => path.join(root, 'traces', name);
/** Configurations of their own, which differ by their spelling: no machine of others is met. */
const OWN = ['EPYC-Rome,+pku,+aes,+avx', 'EPYC-Rome,+avx,+pku,+aes'];

/** Runs a command and kills the emulator of each machine that it leases, so often. */
async function runAndKill(cpu: string, args: string[], kills: number) {
  const machine = ['--machine', 'emulated', '--cpu', cpu];
  const child = spawn(process.execPath, [path.join(root, 'bin/revenant'), ...args, ...machine], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (bytes: Buffer) => (text.stdout += bytes.toString('latin1')));
  child.stderr.on('data', (bytes: Buffer) => (text.stderr += bytes.toString('utf8')));
  const closed = once(child, 'close');
  const killed = new Set<number>();
  while (killed.size < kills && child.exitCode === null) {
    let victim = 0;
    await until(() => {
      victim = machineStatus().find(({ client }) => client === child.pid)?.qemuPid ?? 0;
      return child.exitCode !== null || (victim !== 0 && !killed.has(victim));
    }, 300);
    if (victim === 0 || killed.has(victim)) break;
    killed.add(victim);
    process.kill(victim, 'SIGKILL');
  }
  const [code] = (await closed) as [number | null];
  return { code, killed: killed.size, ...text };
}

describe('a machine that is killed', () => {
  it('is replaced, and the replay prints the recorded output, once', async () => {
    const { code, stdout, stderr, killed } = await runAndKill(OWN[0], ['replay', trace('zen2/race')], 2);
    const told = stderr.match(/ was lost\. Continuing on another machine, from frame \d+/g) ?? [];
    expect(told, stderr).toHaveLength(killed);
    expect(stdout).toBe(fs.readFileSync(path.join(trace('zen2/race'), 'expected_stdout'), 'latin1'));
    expect(code, stderr).toBe(0);
    // It may be done before the second is seen.
    expect(killed).toBeGreaterThan(0);
  });

  it('is replaced under calls, each of which is answered once', async () => {
    const args = [
      'call',
      trace('skylake-pku/tree'),
      '--at',
      'insert:10',
      '--at',
      'exit',
      '(int)tree_sum(root)',
    ];
    const { code, stdout, stderr } = await runAndKill(OWN[1], args, 2);
    expect(stderr).toMatch(/ was lost\. Continuing on another machine/);
    expect(stdout).toBe('insert:10: (int)tree_sum(root) = 320\nexit: (int)tree_sum(root) = 1431\n');
    expect(code, stderr).toBe(0);
  });
});
