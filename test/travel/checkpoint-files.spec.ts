/** `revenant checkpoint`, and users of its files. */
import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Replay } from '../../src/index.js';
import { sample } from './open.js';
import { MACHINE } from '../machines.js';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../..');
const TRACE = 'zen2/spawn';

let folder: string;
let trace: string;
let cache: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'checkpoint-files-'));
  trace = path.join(folder, 'spawn');
  cache = path.join(folder, 'cache');
  fs.cpSync(sample(TRACE), trace, { recursive: true });
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

async function revenant(...args: string[]): Promise<{ out: string; err: string }> {
  const env = { ...process.env, XDG_CACHE_HOME: cache };
  const { stdout, stderr } = await run(path.join(root, 'bin/revenant'), args, { env });
  return { out: stdout, err: stderr };
}

const names = (): string[] => fs.readdirSync(`${trace}.checkpoints`).sort();

describe('revenant checkpoint', () => {
  it('writes beside the trace, where replays, debuggers and scripts find it', async () => {
    const { err } = await revenant('checkpoint', trace, '--at', '250', '--at', '150', '--every', '400');
    expect(err).toMatch(/5 checkpoints in .*spawn\.checkpoints \(.*\), after frame 150, 250, 400, 800, 1200/);
    expect(names()).toEqual(
      ['0150', '0250', '0400', '0800', '1200'].map((n) => `frame-00000${n}.checkpoint`),
    );

    const without = await revenant('replay', trace, '--goto', '290', '--json', '--no-checkpoints');
    const jumped = await revenant('replay', trace, '--goto', '290', '--json');
    expect(jumped.err).toMatch(/from the checkpoint after frame 250/);
    const position = ({ out }: { out: string }): unknown =>
      (JSON.parse(out) as { position: unknown }).position;
    expect(position(jumped)).toEqual(position(without));

    const called = await revenant('call', trace, '--at', '290', '--quiet', '(int)getpid()');
    expect(called.out).toMatch(/^\(int\)getpid\(\) = \d+\n$/);

    const [used, unused] = await Promise.all([
      Replay.open(trace, { machine: MACHINE }),
      Replay.open(trace, { machine: MACHINE, checkpoints: [] }),
    ]);
    try {
      const states: unknown[][] = [[], []];
      for (const frame of [299, 305, 260, 100, 251]) {
        for (const [index, replay] of [used, unused].entries()) {
          await replay.goTo(frame);
          for (const { tid } of replay.tasks()) {
            replay.select(tid);
            states[index].push([frame, tid, replay.registers(), replay.memoryDigest()]);
          }
        }
      }
      expect(states[0]).toEqual(states[1]);
      const main = used.address('main');
      const back: number[] = [];
      for (const replay of [used, unused]) {
        await replay.goTo(290);
        await replay.breakAt(main);
        expect((await replay.reverseContinue()).kind).toBe('breakpoint');
        back.push(replay.frame);
      }
      expect(back[0]).toBe(back[1]);
    } finally {
      await used.close();
      await unused.close();
    }
  });

  it('skips files that are damaged or of another trace, reports and lists them', async () => {
    const file = path.join(`${trace}.checkpoints`, 'frame-000000250.checkpoint');
    const bytes = fs.readFileSync(file);
    bytes[bytes.length - 40] ^= 1;
    fs.writeFileSync(file, bytes);
    const { err } = await revenant('--verbose', 'replay', trace, '--goto', '290');
    expect(err).toMatch(/checkpoint not used/);
    expect(err).toMatch(/its digest does not agree/);
    expect(err).toMatch(/from the checkpoint after frame 150/);

    // Another recording of the same name.
    const other = path.join(folder, 'other');
    fs.cpSync(sample('zen2/crash'), other, { recursive: true });
    fs.cpSync(`${trace}.checkpoints`, `${other}.checkpoints`, { recursive: true });
    const listed = await revenant('checkpoint', other, '--list');
    expect(listed.out.match(/not used: it is of trace/g)).toHaveLength(5);
    const jumped = await revenant('--verbose', 'replay', other, '--goto', '100');
    expect(jumped.err).toMatch(/checkpoint not used/);
    expect(jumped.err).not.toMatch(/from the checkpoint/);
  });

  it('writes into the cache, and removes everything', async () => {
    const { out } = await revenant('checkpoint', trace, '--cache', '--at', '120', '--json');
    const [written] = JSON.parse(out) as { file: string; bytes: number }[];
    expect(written.file.startsWith(path.join(cache, 'revenant/checkpoints'))).toBe(true);
    expect(fs.statSync(written.file).size).toBe(written.bytes);
    const { err } = await revenant('replay', trace, '--goto', '130');
    expect(err).toMatch(/from the checkpoint after frame 120/);
    expect((await revenant('checkpoint', trace, '--remove')).err).toMatch(/6 checkpoint files removed/);
    expect(fs.existsSync(`${trace}.checkpoints`)).toBe(false);
    await expect(revenant('checkpoint', trace, '--at', '100000')).rejects.toThrow(/There is no frame 100000/);
  });

  it('may be killed or run twice at once: existing files are complete', async () => {
    const line = ['checkpoint', trace, '--every', '20', '--machine', MACHINE];
    const victim = spawn(path.join(root, 'bin/revenant'), line, { stdio: 'ignore' });
    const ended = new Promise((resolve) => victim.once('exit', resolve));
    const other = revenant(...line);
    const beside = `${trace}.checkpoints`;
    while (!fs.existsSync(beside) || names().length < 20)
      await new Promise((resolve) => setTimeout(resolve, 5));
    victim.kill('SIGKILL');
    await ended;
    await other;
    const listed = JSON.parse((await revenant('checkpoint', trace, '--list', '--json')).out) as {
      problem: unknown;
    }[];
    expect(listed.length).toBeGreaterThan(50);
    expect(listed.every(({ problem }) => problem === null)).toBe(true);
    const replay = await Replay.open(trace, { machine: MACHINE });
    try {
      for (const frame of [4, 100, 202, 13]) {
        await replay.goTo(frame);
        expect(replay.frame).toBe(frame);
      }
    } finally {
      await replay.close();
    }
  });
});
