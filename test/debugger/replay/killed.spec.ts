/** Sessions that are killed in the middle of what they do. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyWithTurns } from '../../../src/bench/longer-loop.js';
import { isDead, until } from '../../machine/fixtures.js';
import { MACHINE } from '../../machines.js';
import { Client } from '../client.js';
import { sample } from './recording.js';

const root = path.resolve(import.meta.dirname, '../../..');
const started: ChildProcess[] = [];
let folder: string;
let trace: string;
let place: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'killed-'));
  // However fast the machine, this program is still running when the end comes.
  trace = path.join(folder, 'loop');
  copyWithTurns(sample('haswell/loop'), trace, 1n << 60n);
  place = path.join(folder, 'place');
  fs.mkdirSync(place);
});
afterAll(() => {
  started.forEach((child) => child.kill('SIGKILL'));
  fs.rmSync(folder, { recursive: true });
});

/** A server whose working folder, temporary files, home and cache are all one empty folder. */
async function serve(): Promise<{ pid: number; endpoint: string; kill: () => Promise<void> }> {
  const env = { ...process.env, TMPDIR: place, HOME: place, XDG_CACHE_HOME: place };
  const line = ['serve', trace, '--machine', MACHINE];
  const child = spawn(path.join(root, 'bin/revenant'), line, {
    cwd: place,
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  started.push(child);
  let text = '';
  child.stderr.on('data', (bytes: Buffer) => (text += bytes.toString()));
  const address = /extended-remote (\S+)\n/;
  await until(() => address.test(text), 90);
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await until(() => isDead(child.pid!), 20);
  };
  return { pid: child.pid!, endpoint: address.exec(text)![1], kill };
}

const childrenOf = (pid: number): number[] =>
  fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number);

/** The emulated machine's keeper stays for a while, for the next user. */
const keepsMachine = (pid: number): boolean =>
  fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('keeper');

const registers = async (client: Client): Promise<string> => client.ask('g');

/** Waits until the request is being processed. */
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 300));

const STATES: Record<string, (client: Client) => Promise<void>> = {
  'that is stopped': async (client) => void (await registers(client)),
  'that runs': async (client) => {
    client.ask('vCont;c').catch(() => {});
    await pause();
  },
  'that goes back': async (client) => {
    const stopped = client.ask('vCont;c');
    await pause();
    client.raw('\x03');
    await stopped;
    client.ask('bc').catch(() => {});
    await pause();
  },
  'in a diversion': async (client) => {
    await client.monitor('diversion start');
    client.ask('vCont;c').catch(() => {});
    await pause();
  },
};

describe('a session', () => {
  it.each(Object.entries(STATES))('%s is killed, and nothing is left of it', async (_, reach) => {
    const [victim, other] = await Promise.all([serve(), serve()]);
    const beside = await Client.connect(other.endpoint);
    const there = await registers(beside);
    const client = await Client.connect(victim.endpoint);
    await reach(client);
    const children = childrenOf(victim.pid).filter((pid) => !keepsMachine(pid));
    await victim.kill();
    client.close();
    await until(() => children.every(isDead), 20);
    // A session on the same trace is not disturbed, and the next one finds everything free.
    expect(await registers(beside)).toBe(there);
    const next = await serve();
    const again = await Client.connect(next.endpoint);
    expect(await registers(again)).toBe(there);
    again.close();
    beside.close();
    await Promise.all([next.kill(), other.kill()]);
    expect(fs.readdirSync(place)).toEqual([]);
    expect(fs.readdirSync(folder).sort()).toEqual(['loop', 'place']);
  });
});
