/** Calls while other threads hold locks and are in recorded calls, and from inside a signal handler. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { divert } from '../../src/recording/divert.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireMachine } from '../machines.js';
import { openReplay, standing, traceFolder } from './fixtures.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

const threads = traceFolder('zen2/threads');

it.skipIf(!threads)('a lock that another thread holds is waited for, at any frame', async () => {
  const replay = openReplay(transport, threads!);
  let contended = 0;
  for (let frame = 200; frame < 460; frame += 20) {
    replay.advanceTo(frame);
    if (replay.session.frameTime < frame) break;
    const source = replay.session.stand();
    const before = standing(replay);
    await divert(source, async (d) => {
      const mutex = (await d.evaluate('&m')).value as bigint;
      const owner = new DataView(d.readMemory(mutex, 12).slice().buffer).getInt32(8, true);
      const locked = d.call('pthread_mutex_lock', mutex);
      // Who holds it already waits for itself, as it would outside.
      if (owner === source.tid) return expect(locked).rejects.toThrow('Deadlock');
      expect(await locked).toBe(0n);
      if (owner !== 0) contended++;
    });
    expect(standing(replay)).toEqual(before);
  }
  replay.toEnd();
  replay.close();
  expect(contended).toBeGreaterThan(0);
});

const faults = traceFolder('haswell/faults')!;

it('a call from inside a signal handler returns, and the replay continues', async () => {
  const replay = openReplay(transport, faults);
  let inHandler = false;
  for (let frame = 100; frame < 400 && !inHandler; frame++) {
    replay.advanceTo(frame);
    const { core, tid } = replay.session.stand();
    inHandler = (core.tasks.get(tid)?.signalMask ?? 0n) !== 0n;
  }
  expect(inHandler).toBe(true);
  await divert(replay.session.stand(), async (d) => {
    expect(await d.call('strtol', '1234', 0, 10)).toBe(1234n);
    expect(await d.call('write', 1, 'from the handler\n', 17)).toBe(17n);
    expect(d.stdout).toBe('from the handler\n');
  });
  replay.toEnd();
  replay.close();
});
