/** A call asks the same question of the same moment, so it has the same answer on any day. */
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { divert, type DiversionHandle } from '../../src/api/divert.js';
import type * as Libc from '../../src/engine/host/libc.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireEmulated } from '../../src/machine/emulated.js';
import { caseTrace, itOn } from '../collections.js';
import { frameBeforeExit, openReplay, traceFolder } from './fixtures.js';

const host = vi.hoisted(() => ({ hours: 0n }));
vi.mock('../../src/engine/host/libc.js', async (original) => {
  const libc = await original<typeof Libc>();
  return {
    ...libc,
    hostClock: (clock: number) => libc.hostClock(clock) + host.hours * 3_600_000_000_000n,
  };
});

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireEmulated();
});
afterAll(() => transport.close());

/** What differs from run to run on a machine: each by a diversion of its own. */
const QUESTIONS: Readonly<Record<string, (d: DiversionHandle) => Promise<unknown>>> = {
  time: (d) => d.call('time', 0),
  realtime: (d) => filled(d, 16, (at) => d.call('clock_gettime', 0, at)),
  monotonic: (d) => filled(d, 16, (at) => d.call('clock_gettime', 1, at)),
  'processor time': (d) => filled(d, 16, (at) => d.call('clock_gettime', 2, at)),
  'time of day': (d) => filled(d, 16, (at) => d.call('gettimeofday', at, 0)),
  'after a sleep': async (d) => [await d.call('usleep', 1_500_000), await d.call('time', 0)],
  getrandom: (d) => filled(d, 32, (at) => d.call('getrandom', at, 32, 0)),
  urandom: (d) =>
    filled(d, 32, async (at) => d.call('read', Number(await d.call('open', '/dev/urandom', 0)), at, 32)),
  uptime: (d) =>
    filled(d, 64, async (at) => d.call('read', Number(await d.call('open', '/proc/uptime', 0)), at, 64)),
  meminfo: (d) =>
    filled(d, 256, async (at) => d.call('read', Number(await d.call('open', '/proc/meminfo', 0)), at, 256)),
  'a pipe': (d) =>
    filled(d, 256, async (at) => {
      await d.call('pipe', at);
      return d.call('fstat', 3, at + 8n);
    }),
  'a new file': (d) =>
    filled(d, 160, async (at) => {
      const fd = Number(await d.call('open', '/tmp/same-again', 0o102, 0o600));
      await d.call('write', fd, 'text', 4);
      return d.call('fstat', fd, at);
    }),
  'a name for a file': (d) =>
    filled(d, 32, async (at) => {
      d.writeMemory(at, Buffer.from('/tmp/same-XXXXXX\0'));
      return (await d.call('mkstemp', at)) > 0n;
    }),
  'a child': (d) => d.call('fork'),
  'random of a program': async (d) => {
    const command =
      'od -An -tx1 /proc/self/auxv | head -c 999; od -An -N8 -tx1 /dev/urandom; date +%N; echo $$';
    await d.call('system', command);
    return d.output;
  },
};

async function filled(
  d: DiversionHandle,
  size: number,
  fill: (at: bigint) => Promise<unknown>,
): Promise<unknown[]> {
  const at = await d.call('malloc', size);
  d.writeMemory(at, new Uint8Array(size));
  const result = await fill(at);
  return [result, Buffer.from(d.readMemory(at, size)).toString('latin1')];
}

const tree = traceFolder('zen2/tree')!;

it('two runs of a call give the same bytes, an hour apart', async () => {
  const replay = openReplay(transport, tree);
  replay.advanceTo(frameBeforeExit(tree));
  const run = async (): Promise<Record<string, unknown>> => {
    const answers: Record<string, unknown> = {};
    for (const [name, ask] of Object.entries(QUESTIONS))
      answers[name] = await divert(replay.session.stand(), ask).catch(String);
    return answers;
  };
  host.hours = 0n;
  const first = await run();
  host.hours = 1n;
  expect(await run()).toEqual(first);
  const seconds = Number(first.time);
  expect(await divert(replay.session.stand(), (d) => d.call('time', 0), { clock: 'now' })).toBeGreaterThan(
    seconds + 3000,
  );
  replay.close();
});

itOn(caseTrace('clocksfds'), 'clocks go on from where the recording stands', async (trace) => {
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
