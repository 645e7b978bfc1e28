/** A call asks the same question of the same moment, so it has the same answer on any day. */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { divert } from '../../src/recording/divert.js';
import type * as Libc from '../../src/engine/host/libc.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { Replay } from '../../src/index.js';
import { caseTrace, itOn, recording } from '../collections.js';
import { MACHINE, acquireMachine } from '../machines.js';
import { frameBeforeExit, openReplay, traceFolder } from './fixtures.js';
import { ofFiles, ofLibrary, ofLoop, ofStreams, ofWaits, type Questions } from './questions-again.js';

/** What this machine's clocks say: later by some hours, and going faster. */
const host = vi.hoisted(() => ({ hours: 0n, pace: 1n }));
vi.mock('../../src/engine/host/libc.js', async (original) => {
  const libc = await original<typeof Libc>();
  const hostClock = (clock: number): bigint =>
    libc.hostClock(clock) * host.pace + host.hours * 3_600_000_000_000n;
  return { ...libc, hostClock };
});

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

const FOLDER = '/tmp/revenant-moments';

/** Another day on this machine: other times, files where the recording had some, other pids, less of the processor. */
function anotherDay(): () => void {
  host.hours = 25n;
  host.pace = 2n;
  fs.mkdirSync(`${FOLDER}/sub`, { recursive: true });
  for (const name of ['a', 'b', 'mapped', 'link', 'sub/c', 'new'])
    fs.writeFileSync(`${FOLDER}/${name}`, 'today');
  for (const name of ['leaks-written']) fs.writeFileSync(`/tmp/${name}`, 'today');
  for (let child = 0; child < 40; child++) spawnSync('true');
  const busy = spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' });
  return () => {
    busy.kill('SIGKILL');
    host.hours = 0n;
    host.pace = 1n;
    fs.rmSync(FOLDER, { recursive: true });
    for (const name of ['leaks-written']) fs.rmSync(`/tmp/${name}`);
  };
}

async function answers(
  folder: string,
  place: string,
  questions: Questions,
): Promise<Record<string, unknown>> {
  const replay = await Replay.open(folder, { machine: MACHINE });
  try {
    await replay.runTo(place);
    const found: Record<string, unknown> = {};
    for (const [name, ask] of Object.entries(questions))
      found[name] = await replay.divert(ask).catch((error: unknown) => String(error));
    return found;
  } finally {
    await replay.close();
  }
}

const CALLS: readonly (readonly [trace: string, place: string, questions: Questions])[] = [
  ['moments/again', 'spot', { ...ofLibrary, ...ofStreams }],
  ['moments/files', 'spot', ofFiles],
  ['moments/loop', 'spot', ofLoop],
  ['moments/waits', 'spot', ofWaits],
];

it('a hundred calls', () => {
  const counts = CALLS.map(([, , questions]) => Object.keys(questions).length);
  expect(counts.reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(100);
});

for (const [trace, place, questions] of CALLS)
  itOn(
    recording(trace),
    `${trace}: two runs of a call give the same bytes, on another day`,
    async (folder) => {
      const first = await answers(folder, place, questions);
      const back = anotherDay();
      try {
        expect(await answers(folder, place, questions)).toEqual(first);
      } finally {
        back();
      }
    },
  );

const tree = traceFolder('zen2/tree')!;

it('the clocks of this machine are there for who wants them', async () => {
  const replay = openReplay(transport, tree);
  replay.advanceTo(frameBeforeExit(tree));
  const ask = (clock: 'now' | 'recorded'): Promise<bigint> =>
    divert(replay.session.stand(), (d) => d.call('time', 0), { clock });
  const recorded = await ask('recorded');
  const before = Math.floor(Date.now() / 1000);
  const now = await ask('now');
  expect(Number(now)).toBeGreaterThanOrEqual(before);
  expect(Number(now)).toBeLessThanOrEqual(Date.now() / 1000);
  expect(recorded).toBeLessThan(now);
  replay.close();
});

itOn(caseTrace('clocksfds'), 'clocks continue from the recorded time', async (trace) => {
  const replay = openReplay(transport, trace);
  replay.advanceTo(frameBeforeExit(trace) - 40);
  await divert(replay.session.stand(), async (d) => {
    for (const clock of ['wall', 'real', 'gtod', 'mono', 'boot'])
      expect([clock, await d.call(`${clock}_later`)]).toEqual([clock, 0n]);
    const [wall, asked] = [await d.call('time', 0), await d.call('usleep', 5_000_000)];
    expect([asked, (await d.call('time', 0)) - wall]).toEqual([0n, 5n]);
  });
  replay.close();
});
