/** Sessions beside each other, interrupted, broken off and killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyWithTurns } from '../../../src/bench/longer-loop.js';
import { isDead, until } from '../../machine/fixtures.js';
import { MACHINE } from '../../machines.js';
import { Client } from '../client.js';
import { debug, sample, serveRecording, type Recording } from './recording.js';

const root = path.resolve(import.meta.dirname, '../../..');

describe('a server', () => {
  let recording: Recording;
  beforeAll(async () => {
    recording = await serveRecording(sample('skylake-pku/tree'));
  });
  afterAll(() => recording.close());

  it('serves two gdbs at once, each with its own replay', async () => {
    const session = (key: number): ReturnType<typeof debug> =>
      debug(recording, [
        `break insert if key == ${key}`,
        'continue',
        'print key',
        'print inserted',
        'monitor when',
      ]);
    const [one, two] = await Promise.all([session(78), session(34)]);
    expect(one.text).toMatch(/\$1 = 78\n[^]*\$2 = 1\n/);
    expect(two.text).toMatch(/\$1 = 34\n[^]*\$2 = [1-9]\d*\n/);
  });

  it('outlives clients that talk nonsense or go in the middle of a run', async () => {
    for (const bytes of [
      'GET / HTTP/1.1\r\n\r\n',
      `$${'x'.repeat(300_000)}`,
      '$vCont;c#a8',
      '$#00$#zz$m#6d',
    ]) {
      const client = await Client.connect(recording.endpoint);
      client.raw(bytes);
      client.close();
    }
    const client = await Client.connect(recording.endpoint);
    expect(await client.monitor('when')).toMatch(/^Completed event: \d+/);
    client.close();
    expect(recording.failures).toEqual([]);
  });
});

/** However fast the machine, this program is still running when Ctrl-C comes. */
describe('a run of 2^60 turns', () => {
  let folder: string;
  let recording: Recording;
  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'turns-'));
    copyWithTurns(sample('haswell/loop'), path.join(folder, 'loop'), 1n << 60n);
    recording = await serveRecording(path.join(folder, 'loop'));
  });
  afterAll(async () => {
    await recording?.close();
    fs.rmSync(folder, { recursive: true });
  });

  it('stops on Ctrl-C, and continues', async () => {
    const client = await Client.connect(recording.endpoint);
    const interruptRun = async (): Promise<void> => {
      const reply = client.ask('vCont;c');
      client.raw('\x03');
      expect(await reply).toMatch(/^T02thread:/);
    };
    try {
      await interruptRun();
      const registers = await client.ask('g');
      await interruptRun();
      expect(await client.ask('g')).not.toBe(registers);
    } finally {
      client.close();
    }
  });
});

/** Children of a process, from /proc. */
const childrenOf = (pid: number): number[] =>
  fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number);

const commandOf = (pid: number): string => fs.readFileSync(`/proc/${pid}/comm`, 'latin1').trim();

describe('revenant gdb', () => {
  const started: ChildProcess[] = [];
  afterAll(() => started.forEach((child) => child.kill('SIGKILL')));

  /** Starts it, waits until its gdb has said something about the program. */
  async function start(
    ...commands: string[]
  ): Promise<{ revenant: ChildProcess; gdb: number; text: () => string }> {
    const flags = commands.flatMap((command) => ['-ex', command]);
    const line = ['gdb', sample('zen2/crash'), '--machine', MACHINE, '--', '-nx', '-q', ...flags];
    const revenant = spawn(path.join(root, 'bin/revenant'), line, { stdio: ['pipe', 'pipe', 'pipe'] });
    started.push(revenant);
    let text = '';
    revenant.stdout.on('data', (bytes: Buffer) => (text += bytes.toString()));
    revenant.stderr.on('data', (bytes: Buffer) => (text += bytes.toString()));
    await until(() => /\n\(replay \d+\) /.test(text), 90);
    const gdb = childrenOf(revenant.pid!).find((pid) => commandOf(pid) === 'gdb');
    return { revenant, gdb: gdb!, text: () => text };
  }

  it('ends with its gdb, and its gdb with it', async () => {
    const first = await start('when');
    expect(first.text()).toMatch(/Completed event: \d+/);
    process.kill(first.gdb, 'SIGKILL');
    await until(() => isDead(first.revenant.pid!), 20);

    const second = await start();
    second.revenant.kill('SIGKILL');
    await until(() => isDead(second.gdb), 20);
  });

  it('returns what gdb returns', async () => {
    const { revenant } = await start();
    const code = new Promise((resolve) => revenant.once('exit', resolve));
    revenant.stdin!.end('quit 7\n');
    expect(await code).toBe(7);
  });
});
