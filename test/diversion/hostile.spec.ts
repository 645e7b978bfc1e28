/** Programs that attack the emulated kernel, which must survive. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { divert, type DivertOptions } from '../../src/recording/divert.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireMachine } from '../machines.js';
import { frameBeforeExit, openReplay, standing, traceFolder, type Replay } from './fixtures.js';

const source = path.resolve(import.meta.dirname, '../guests/hostile.c');
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-hostile-'));
const hostile = path.join(scratch, 'hostile');
const folder = traceFolder('skylake-pku/tree')!;

let transport: VcpuTransport;
let replay: Replay;
beforeAll(async () => {
  execFileSync('cc', ['-O1', '-w', '-o', hostile, source, '-lpthread']);
  transport = await acquireMachine();
  replay = openReplay(transport, folder);
  replay.advanceTo(frameBeforeExit(folder));
});
afterAll(() => {
  replay.toEnd();
  replay.close();
  transport.close();
  fs.rmSync(scratch, { recursive: true });
});

const descriptors = (): number => fs.readdirSync('/proc/self/fd').length;

/** The output of a program of this name, which must leave nothing. */
async function run(what: string, options: DivertOptions = {}): Promise<string> {
  const { memory } = replay.session.stand().core;
  const before = { standing: standing(replay), pages: memory.pagesInUse, descriptors: descriptors() };
  const text = await divert(
    replay.session.stand(),
    async (d) => {
      await d.call('system', `${hostile} ${what}`);
      return d.output;
    },
    options,
  );
  const after = { standing: standing(replay), pages: memory.pagesInUse, descriptors: descriptors() };
  expect(after).toEqual(before);
  return text;
}

it.each((process.env.SEEDS ?? '1,8').split(','))('any call with any arguments: seed %s', async (seed) => {
  expect(await run(`anything ${seed}`)).toContain('batches 30');
});

it('signal frames that no processor would load', async () => {
  expect(await run('frames')).toBe([0, 1, 2, 3, 4].map((n) => `frame ${n} signal 11\n`).join(''));
});

it('calls and structures without end', async () => {
  expect(await run('endless')).toBe('sendfile 1\nepoll -1 -1 0\nopened 2200\nmissing 500\npipes 1\n');
});

it('locks of the dead, and locks while signals come', async () => {
  expect(await run('locks')).toBe('robust owner dead 0 0\ninherits 0 busy 1\n');
});

it('edge-triggered events', async () => {
  expect(await run('edges')).toBe('told 4 again 0 closed 0\n');
});
