import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Replay } from '../../src/index.js';
import { MACHINE } from '../machines.js';

const root = path.resolve(import.meta.dirname, '../..');
const sample = (name: string): string => path.join(root, 'traces', name);

describe('Replay', () => {
  let replay: Replay;
  let printed = '';
  beforeAll(async () => {
    replay = await Replay.open(sample('skylake-pku/tree'), {
      machine: MACHINE,
      output: (stream, bytes) => (printed += stream === 1 ? Buffer.from(bytes).toString() : ''),
    });
  });
  afterAll(() => replay.close());

  it('runs to symbols of libraries that are not loaded yet, to lines and to addresses', async () => {
    const start = replay.frame;
    expect(replay.symbol('printf')).toBeNull();
    await replay.runTo('main');
    expect(replay.symbolAt(replay.rip)).toBe('main');
    expect(replay.frame).toBeGreaterThan(start);
    // Without code: the next line that has some.
    await replay.runTo('tree.c:66');
    expect(await replay.line()).toEqual({ file: 'programs/tree.c', line: 67 });
    await replay.runTo('tree.c:68');
    expect(replay.read('inserted', 'i32')).toBe(21);
    const rip = replay.rip;
    await replay.toStart();
    await replay.runTo(BigInt(rip));
    expect(replay.rip).toBe(rip);
    expect(await replay.line(replay.address('tree_sum'))).toMatchObject({ line: 24 });
    await expect(replay.runTo('main')).rejects.toMatchObject({ code: 'E_USAGE' });
  });

  it('goes back to marks, in the middle of an interval, and steps to and fro', async () => {
    await replay.toStart();
    await replay.runTo('insert');
    const mark = replay.mark();
    const there = [replay.registers(), replay.memoryDigest()];
    await replay.step(25);
    expect(replay.registers()).not.toEqual(there[0]);
    await replay.reverseStep(25);
    expect([replay.registers(), replay.memoryDigest()]).toEqual(there);
    expect((await replay.toEnd()).kind).toBe('exited');
    expect(printed).toMatch(/^keys 21 depth 10 sum 1431\n/);
    await replay.goBack(mark);
    expect([replay.registers(), replay.memoryDigest()]).toEqual(there);
    mark.forget();
    await expect(replay.goBack(mark)).rejects.toMatchObject({ code: 'E_USAGE' });
  });

  it('asks conditions with the task that has arrived, and watches what has a size', async () => {
    await replay.toStart();
    await replay.runTo('main');
    const keys: bigint[] = [];
    const stop = await replay.breakAt('insert', {
      condition: (here) => {
        keys.push(here.register('rsi'));
        return here.register('rsi') === 19n;
      },
    });
    await replay.continue();
    expect(new Set(keys)).toEqual(new Set([108n, 78n, 116n, 18n, 19n]));
    stop.remove();
    const watch = replay.watch('root');
    expect(await replay.reverseContinue()).toMatchObject({
      kind: 'watchpoint',
      address: replay.address('root'),
    });
    watch.remove();
    await replay.runTo('print_tree');
    expect(replay.read(replay.readPointer('root'), 'i32')).toBe(108);
    const root = replay.readPointer('root');
    const said = await replay.divert(async (d) => [await d.call('tree_depth', root), d.stdout]);
    expect(said).toEqual([10n, '']);
  });

  it('goes to places as people write them, and to moments', async () => {
    await replay.goTo('insert:20');
    const [rip, key] = [replay.rip, replay.register('rsi')];
    await replay.step(3);
    const moment = await replay.moment();
    const there = replay.rip;
    await replay.goTo('tree.c:65');
    await replay.goTo(moment);
    expect(replay.rip).toBe(there);
    await replay.goTo('insert:20');
    expect([replay.rip, replay.register('rsi')]).toEqual([rip, key]);
    await expect(replay.goTo('inser')).rejects.toMatchObject({
      code: 'E_USAGE',
      hint: expect.stringMatching(/insert/) as string,
    });
    expect(replay.rip).toBe(rip);
    // Before anything is replayed.
    const { frame } = replay;
    await expect(replay.goTo(1e6)).rejects.toThrow(/the recording ends with frame/);
    expect(replay.frame).toBe(frame);
  });

  it('refuses what makes no sense, and stays usable', async () => {
    await replay.toStart();
    const wrong: (() => unknown)[] = [
      () => replay.goTo(0),
      () => replay.goTo(1e6),
      () => replay.step(0),
      () => replay.breakAt('no_such_function'),
      () => replay.breakAt('no_such_file.c:3'),
      () => replay.breakAt(-5),
      () => replay.breakAt('0xffffffffffffffff'),
      () => replay.readMemory(0, 1),
      () => replay.watch(0x1000, { length: 0 }),
      () => replay.select(1),
      () => replay.register('xmm0' as 'rax'),
    ];
    for (const attempt of wrong)
      await expect((async () => attempt())(), String(attempt)).rejects.toMatchObject({ code: 'E_USAGE' });
    await replay.toStart();
    const under = replay.runTo('main');
    expect(() => replay.rip).toThrow(/operation of the replay is running/);
    await under;
    expect(replay.symbolAt(replay.rip)).toBe('main');
  });
});

it('is interrupted by a signal, and closed during an operation', async () => {
  const abort = new AbortController();
  const replay = await Replay.open(sample('skylake-pku/tree'), { machine: MACHINE, signal: abort.signal });
  abort.abort();
  await expect(replay.toEnd()).rejects.toMatchObject({ code: 'E_INTERRUPTED' });
  await replay[Symbol.asyncDispose]();
  await replay.close();
  await expect(replay.step()).rejects.toMatchObject({ code: 'E_USAGE' });
  await expect(Replay.open('/nonexistent')).rejects.toMatchObject({ code: 'E_TRACE_MISSING' });
});
