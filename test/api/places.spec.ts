/** Places as they are written on the command line and in scripts: those that are known, and those that are not. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Replay } from '../../src/index.js';
import { caseTrace, itOn, sample } from '../collections.js';
import { runCli } from '../cli/run-cli.js';
import { MACHINE } from '../machines.js';

const tree = sample('skylake-pku/tree');

describe('revenant call --at', () => {
  it('suggests similar names for an unknown place, and replays nothing', async () => {
    for (const [place, message] of [
      ['isnert:3', /has a symbol isnert\..*There (is|are) insert/s],
      ['other.c:3', /has lines of other\.c/],
      ['tree.c:40000', /no code at tree\.c:40000/],
      ['crash', /No task is ended by a signal/],
    ] as const) {
      const { code, stdout, stderr } = await runCli('call', tree, '--at', place, '1', '--quiet');
      expect([code, stdout], stderr).toEqual([2, '']);
      expect(stderr).toMatch(message);
      expect(stderr).not.toMatch(/task 0/);
    }
  });

  it('goes to lines, their hits and addresses', async () => {
    const at = ['tree.c:65:2', 'tree.c:65:4', 'insert:10', 'end'].flatMap((place) => ['--at', place]);
    const { code, stdout } = await runCli('call', tree, ...at, '(int)inserted', '--quiet');
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^tree\.c:65:2: .* = 1\ntree\.c:65:4: .* = 3\ninsert:10: .* = \d+\nend: .* = 21\n$/,
    );
  });

  itOn(
    caseTrace('names'),
    'interprets FILE:LINE as a line, even if a symbol has this name',
    async (folder) => {
      const at = ['names.cpp:19:2', 'names.cpp:20', '_Z4worki:2'].flatMap((place) => ['--at', place]);
      const { code, stdout, stderr } = await runCli('call', folder, ...at, '(long)counter', '--quiet');
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout.match(/= (\d+)$/gm)).toEqual(['= 3', '= 1', '= 1']);
    },
  );
});

describe('names as C++ has them', () => {
  itOn(caseTrace('names'), 'are places, and functions to call', async (folder) => {
    const answers: [string, string][] = [
      ['checked(3)', '6'],
      ['checked("three")', '5'],
      ["(int)'checked(int)'(20)", '-1'],
      ['(double)half(5)', '2.5'],
      ['(double)half(5.0)', '2.5'],
      ['(double)ratio()', '0.375'],
      ['(float)third(1.5f)', '0.5'],
      ['shop::inner::depth(1)', '101'],
      ['shop::Counter::twice(21)', '42'],
      ['(long)shop::Counter::get(&counter)', '1'],
      ['(double)shop::price(&item, 3)', '6.75'],
      ['larger<int>(3, 4)', '4'],
      ['(double)larger(1.5, 0.5)', '1.5'],
    ];
    const expressions = answers.map(([expression]) => expression);
    const { code, stdout, stderr } = await runCli(
      'call',
      folder,
      '--at',
      'work:2',
      '--quiet',
      ...expressions,
    );
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout.trimEnd().split('\n')).toEqual(answers.map((answer) => answer.join(' = ')));
    const at = ['checked(int):2', 'shop::Counter::add:2', 'Counter::add'].flatMap((place) => ['--at', place]);
    const places = await runCli('call', folder, ...at, '(long)counter', '--quiet');
    expect(places.stdout.match(/= \d+$/gm), places.stderr).toEqual(['= 3', '= 1', '= 0']);
    for (const [place, message] of [
      ['checked', /checked is ambiguous: there are .*checked\(int\)/],
      ['chekced', /There (is|are) .*checked/],
    ] as const) {
      const refused = await runCli('call', folder, '--at', place, '1', '--quiet');
      expect([refused.code, refused.stdout]).toEqual([2, '']);
      expect(refused.stderr).toMatch(message);
    }
  });
});

describe('Replay.runTo', () => {
  let replay: Replay;
  beforeAll(async () => {
    replay = await Replay.open(tree);
  });
  afterAll(() => replay.close());

  it('does not run to the end for what nothing has', async () => {
    const { frame } = replay;
    for (const place of ['nosuch', 'isnert+4', 'other.c:3', 'tree.c:40000'])
      await expect(replay.runTo(place)).rejects.toMatchObject({ code: 'E_USAGE' });
    await expect(replay.runTo('isnert')).rejects.toMatchObject({ hint: expect.stringMatching(/insert/) });
    expect(replay.frame).toBe(frame);
  });

  it('counts hits from the current position', async () => {
    await replay.runTo('insert:10');
    const there = replay.registers();
    await replay.toStart();
    for (let hit = 1; hit <= 10; hit++) await replay.runTo('insert');
    expect(replay.registers()).toEqual(there);
  });
});

describe('places in scripts', () => {
  it('are in the function that a resolver chose, not in the resolver', async () => {
    const replay = await Replay.open(tree, { machine: MACHINE });
    try {
      await replay.runTo('main');
      const { addresses } = await replay.breakAt('strlen');
      expect(addresses).toHaveLength(1);
      expect(addresses[0]).not.toBe(replay.symbol('strlen')?.address);
      // The search for it has left everything where it was.
      expect(replay.symbolAt(replay.rip)).toBe('main');
      await replay.toStart();
      const stop = await replay.runTo('strlen');
      expect(stop).toMatchObject({ kind: 'breakpoint', address: addresses[0] });
    } finally {
      await replay.close();
    }
  });

  itOn(caseTrace('asmcall'), 'stop after code that rr patched', async (folder) => {
    const replay = await Replay.open(folder, { machine: MACHINE });
    try {
      await replay.runTo('raw_getpid+7');
      expect(replay.symbolAt(replay.rip)).toMatch(/^raw_getpid\+/);
    } finally {
      await replay.close();
    }
  });
});
