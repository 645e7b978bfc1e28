/** Whole programs inside a diversion, what must do nothing to this machine, and diversions in numbers. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { divert, type DiversionHandle, type DivertOptions } from '../../src/recording/divert.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireMachine } from '../machines.js';
import { frameBeforeExit, openReplay, standing, traceFolder, type Replay } from './fixtures.js';

const source = path.resolve(import.meta.dirname, '../guests/live.c');
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-live-'));
const live = path.join(scratch, 'live');
const victim = path.join(scratch, 'victim');
const folder = traceFolder('skylake-pku/tree')!;

let transport: VcpuTransport;
let replay: Replay;
beforeAll(async () => {
  execFileSync('cc', ['-O1', '-fno-optimize-sibling-calls', '-o', live, source, '-lpthread']);
  fs.writeFileSync(victim, 'untouched\n');
  transport = await acquireMachine();
  replay = openReplay(transport, folder);
  replay.advanceTo(frameBeforeExit(folder));
});
afterAll(() => {
  replay.toEnd();
  expect(replay.printed).toBe(fs.readFileSync(`${folder}/expected_stdout`, 'utf8'));
  replay.close();
  transport.close();
  fs.rmSync(scratch, { recursive: true });
});

const within = <T>(work: (d: DiversionHandle) => Promise<T>, options: DivertOptions = {}): Promise<T> =>
  divert(replay.session.stand(), work, options);

it('forks, programs, threads, handlers with live registers and files work as they do natively', async () => {
  const native = execFileSync(live, ['run'], { encoding: 'utf8' });
  for (const name of ['/tmp/live-file', '/tmp/live-file.renamed']) fs.rmSync(name, { force: true });
  const before = standing(replay);
  await within(async (d) => {
    expect(await d.call('system', `${live} run`)).toBe(0n);
    expect(d.stdout).toBe(native);
    expect(await d.call('access', '/tmp/live-file.renamed', 0)).toBe(0n);
  });
  expect(fs.existsSync('/tmp/live-file.renamed')).toBe(false);
  expect(standing(replay)).toEqual(before);
});

describe('to this machine nothing is done by', () => {
  const untouched = (): void => expect(fs.readFileSync(victim, 'utf8')).toBe('untouched\n');

  it('shell commands', async () => {
    await within(async (d) => {
      expect(
        await d.call('system', `rm ${victim}; echo new > ${scratch}/new; ls ${scratch} | cat; kill -9 1`),
      ).not.toBe(0n);
      expect(d.stdout).toBe('live\nnew\n');
    });
    untouched();
    expect(fs.readdirSync(scratch).sort()).toEqual(['live', 'victim']);
  });

  it('kill, unlink, writes, ptrace, devices', async () => {
    const minusOne = 0xffff_ffffn;
    const low = async (d: DiversionHandle, name: string, ...values: (string | number)[]): Promise<bigint> =>
      BigInt.asUintN(32, await d.call(name, ...values));
    await within(async (d) => {
      expect(await low(d, 'kill', process.pid, 9)).toBe(minusOne);
      expect(await low(d, 'kill', 1, 9)).toBe(minusOne);
      expect(await low(d, 'truncate', victim, 0)).toBe(0n);
      expect(await low(d, 'unlink', '/etc/hostname')).toBe(0n);
      expect(await low(d, 'access', '/etc/hostname', 0)).toBe(minusOne);
      expect(await low(d, 'ptrace', 16, 1, 0, 0)).toBe(minusOne);
      expect(await low(d, 'open', '/dev/kvm', 2)).toBe(minusOne);
      expect(await low(d, 'open', '/proc/1/environ', 0)).toBe(minusOne);
      expect(await low(d, 'socket', 2, 1, 0)).toBe(minusOne);
    });
    untouched();
    expect(fs.existsSync('/etc/hostname')).toBe(true);
  });

  it.each([
    ['spin', { seconds: 1 }, /has run for 1 s, which is its limit/],
    ['talk', { outputBytes: 10_000 }, /more than its limit of 10000 bytes/],
    ['hoard', { memoryBytes: 2 ** 24 }, /more memory than its limit of 16 MiB/],
    ['breed', { seconds: 2, tasks: 8 }, /has run for 2 s/],
  ])('what never ends: %s', async (name, limits, message) => {
    const before = standing(replay);
    await expect(within((d) => d.call('system', `${live} ${name}`), { limits })).rejects.toThrow(message);
    expect(standing(replay)).toEqual(before);
  });

  it('a wait that nothing can end', async () => {
    await expect(within((d) => d.call('pause'))).rejects.toThrow(/Deadlock: task \d+ waits for a signal/);
  });
});

it('writes are real only in allowed folders', async () => {
  await within(
    async (d) => {
      expect(await d.call('system', `echo real > ${scratch}/real; echo not > /tmp/revenant-not`)).toBe(0n);
    },
    { allowWrites: [scratch] },
  );
  expect(fs.readFileSync(`${scratch}/real`, 'utf8')).toBe('real\n');
  expect(fs.existsSync('/tmp/revenant-not')).toBe(false);
  fs.rmSync(`${scratch}/real`);
});

it('no link, no .. and no rename leads writes out of the allowed folder', async () => {
  const box = path.join(scratch, 'box');
  const outside = path.join(scratch, 'outside');
  const entrance = path.join(scratch, 'entrance');
  fs.mkdirSync(box);
  fs.mkdirSync(outside);
  fs.writeFileSync(`${outside}/kept`, 'kept\n');
  fs.symlinkSync('../outside', `${box}/out`);
  fs.symlinkSync(`${outside}/kept`, `${box}/link`);
  fs.symlinkSync(box, entrance);
  const list = (): string[] => fs.readdirSync(outside).sort();
  await within(
    async (d) => {
      const shell = (line: string): Promise<bigint> =>
        d.call('system', `cd ${entrance} && ${line} 2>/dev/null`);
      expect(await shell('echo in > in && mkdir deep && echo in > deep/in && mv deep/in deep/moved')).toBe(
        0n,
      );
      await shell(
        'echo bad > out/new; echo bad > ../outside/new; echo bad > link; rm out/kept; echo bad >> link',
      );
      await shell(
        'ln -s /etc/passwd made; ln in /tmp/made; mv in ../outside/in; mv out/kept here; chmod 4755 in',
      );
      await shell('mkdir deep/../../outside/dir; cp -r . ../outside/copy; mkfifo pipe; mknod dev c 1 3');
      await d.call('system', `rm -rf ${box}/deep; mv ${box} ${scratch}/other; rmdir ${box}; rm ${entrance}`);
      expect(d.stdout).toBe('');
    },
    { allowWrites: [entrance] },
  );
  expect(list()).toEqual(['kept']);
  expect(fs.readFileSync(`${outside}/kept`, 'utf8')).toBe('kept\n');
  expect(fs.readdirSync(scratch).sort()).toEqual(['box', 'entrance', 'live', 'outside', 'victim']);
  expect(fs.readdirSync(box).filter((name) => !['out', 'link', 'in'].includes(name))).toEqual([]);
  fs.rmSync(entrance);
  for (const folder of [box, outside]) fs.rmSync(folder, { recursive: true });
});

it('writes to what may be a file elsewhere, too, stay in the diversion', async () => {
  const box = path.join(scratch, 'box');
  const outside = path.join(scratch, 'outside');
  fs.mkdirSync(box);
  fs.writeFileSync(outside, 'kept\n');
  fs.linkSync(outside, `${box}/second`);
  await within(
    async (d) => {
      await d.call('system', `echo own > ${box}/own; echo bad > ${box}/second; cat ${box}/second`);
      expect(d.stdout).toBe('bad\n');
    },
    { allowWrites: [box] },
  );
  expect(fs.readFileSync(outside, 'utf8')).toBe('kept\n');
  expect(fs.readFileSync(`${box}/own`, 'utf8')).toBe('own\n');
  fs.rmSync(box, { recursive: true });
  fs.rmSync(outside);
});

it('two hundred diversions leak no descriptor and no page', async () => {
  const count = (): number => fs.readdirSync('/proc/self/fd').length;
  const once = (): Promise<bigint> => within((d) => d.call('count_lines', '/etc/passwd'));
  await once();
  const { memory } = replay.session.stand().core;
  const [pages, descriptors, before] = [memory.pagesInUse, count(), standing(replay)];
  for (let n = 0; n < 200; n++) await once();
  expect([memory.pagesInUse, count()]).toEqual([pages, descriptors]);
  expect(standing(replay)).toEqual(before);
});
