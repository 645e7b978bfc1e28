/** `revenant call` and scripts with expressions that need types, and with those that do not: what users meet. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Replay } from '../../src/api/replay.js';
import { runCli, type CliResult } from '../cli/run-cli.js';
import { caseTrace, itOn, sample } from '../collections.js';
import { MACHINE } from '../machines.js';

const values = sample('rome-pku/values');
const tree = sample('skylake-pku/tree');

/** In the third iteration: a cyclic list, searched for a key that it does not have. */
const endless = '(items[2].next = &items[0], find(77))';

interface Outcome {
  readonly at: string;
  readonly expression: string;
  readonly result: string | null;
  readonly type: string | null;
  readonly value: unknown;
  readonly error: { readonly code: string; readonly message: string; readonly hint?: string } | null;
}

const call = (trace: string, ...args: string[]): Promise<CliResult> =>
  runCli('call', trace, '--machine', MACHINE, '--quiet', ...args);

async function outcomes(trace: string, ...args: string[]): Promise<Outcome[]> {
  const { stdout } = await call(trace, '--json', ...args);
  return (JSON.parse(stdout) as { calls: Outcome[] }).calls;
}

const leftOver = (): string[] =>
  fs.readdirSync(os.tmpdir()).filter((name) => name.startsWith(`revenant-gdb.${process.pid}.`));

describe('revenant call', () => {
  afterEach(() => expect(leftOver()).toEqual([]));

  it('--json has text, type and value; structures by the names of their members', async () => {
    const asked = [
      'item->flags',
      'item->key',
      'highest',
      'item->name',
      '&items[1]',
      'items[1].shape',
      'yes',
      'tenth',
    ];
    const more = ['numbers', 'texts', 'color', 'word_text', 'half(5)', 'nothing', 'negative()', 'zeros'];
    const found = await outcomes(values, '--at', 'look:3', ...asked, ...more);
    expect(found.map(({ error }) => error)).toEqual(found.map(() => null));
    const of = (text: string): unknown[] => {
      const { type, value } = found.find(({ expression }) => expression === text)!;
      return [type, value];
    };
    expect(of('item->flags')).toEqual(['struct flags', { ready: 0, level: 2, offset: -2, rest: 2000 }]);
    expect(of('item->key')).toEqual(['int', 200]);
    expect(of('highest')).toEqual(['uint64_t', '0xffffffffffffffff']);
    expect(of('item->name')).toEqual(['const char *', 'second']);
    expect(of('&items[1]')).toEqual(['struct item *', '0x4a8538']);
    expect(of('items[1].shape')).toEqual([
      'struct shape',
      { kind: 1, radius: expect.any(Number) as number, width: 1.5, height: -2 },
    ]);
    expect(of('yes')).toEqual(['_Bool', true]);
    expect(of('tenth')).toEqual(['double', 0.1]);
    expect(of('numbers')).toEqual(['int [6]', [1, 2, 3, 5, 8, 13]]);
    expect(of('texts')).toEqual(['const char *[3]', ['one', 'two', null]]);
    expect(of('color')).toEqual(['enum color', 5]);
    expect(of('word_text')).toEqual(['char [16]', 'word']);
    expect(of('half(5)')).toEqual(['double', 2.5]);
    expect(of('nothing')).toEqual(['void *', '0x0']);
    expect(of('negative()')).toEqual(['int', -5]);
    expect(of('zeros')).toEqual(['int [40]', Array.from({ length: 40 }, () => 0)]);
  });

  it('each expression has its own diversion; places may be visited in any order', async () => {
    const asked = [
      'turn',
      'turn = 50',
      'turn',
      'counter++',
      'counter',
      'item->name',
      'printf("%s\\n", item->name)',
    ];
    const found = await outcomes(values, '--at', 'look:3', '--at', 'look:1', '--at', 'look:2', ...asked);
    expect(found.map(({ result }) => result)).toEqual([
      ...['3', '50', '3', '37', '37', '"second"', '7'],
      ...['1', '50', '1', '7', '7', '"zero"', '5'],
      ...['2', '50', '2', '17', '17', '"first"', '6'],
    ]);
    const { code, stdout } = await call(tree, 'puts("printed")', 'root->key');
    expect([code, stdout]).toEqual([0, 'printed\nputs("printed") = 8\nroot->key = 108\n']);
  });

  it('an invalid expression is reported with similar names, and does not prevent others', async () => {
    const asked = [
      'numberz',
      'items[1].nme',
      'turn',
      'add(',
      'name_of(5)',
      "step(1) + 'values.c'::step(1)",
      '1\x01',
    ];
    const found = await outcomes(values, '--at', 'look:3', ...asked);
    expect(found.map(({ error, result }) => error?.message ?? result)).toEqual([
      'No symbol "numberz" in current context.',
      'There is no member named nme.',
      '3',
      "A syntax error in expression, near `'.",
      expect.stringMatching(/^The call ended with SIGSEGV in task \d+ at 0x[0-9a-f]+, touching 0x8\.$/),
      '4',
      'The expression "1\\u0001" has a control character.',
    ]);
    expect(found.slice(0, 2).map(({ error }) => error?.hint)).toEqual([
      'There is numbers.',
      'There is name.',
    ]);
    expect(found.map(({ error }) => error?.code ?? '')).toEqual([
      ...['E_EXPRESSION', 'E_EXPRESSION', '', 'E_EXPRESSION', 'E_DIVERSION', '', 'E_EXPRESSION'],
    ]);
    expect((await call(values, 'nosuch')).code).toBe(2);
    expect((await call(values, 'nosuch', 'name_of(5)')).code).toBe(9);
  });

  it('a static function of two files is ambiguous if the current function is in neither', async () => {
    const [step, counter, named] = await outcomes(values, 'step(1)', 'counter', "'values-more.c'::step(1)");
    expect(step.error).toEqual({
      code: 'E_EXPRESSION',
      message: "step is ambiguous: there are 'values-more.c'::step, 'values.c'::step.",
      hint: 'Name one of them.',
    });
    expect(counter.error?.message).toMatch(/^counter is ambiguous/);
    expect(named.result).toBe('8');
  });

  it('an expression runs no commands of gdb or of this machine', async () => {
    const mark = path.join(os.tmpdir(), `revenant-expression.${process.pid}`);
    const { stderr } = await call(
      values,
      '--',
      `$_shell("touch ${mark}")`,
      `1\nshell touch ${mark}`,
      `1 | touch ${mark}`,
      `turn"\npython open("${mark}", "w")`,
      `-elements 1 -- 1; shell touch ${mark}`,
      `$_gdb_setting("x") + $_shell('touch ${mark}')`,
    );
    expect(fs.existsSync(mark)).toBe(false);
    expect(stderr).toMatch(/\$_shell is not available in expressions of recordings\./);
    expect(stderr.match(/^revenant: /gm)!.length).toBeGreaterThanOrEqual(6);
  });

  it('a call in an expression that needs types ends at the time limit', async () => {
    const [first, next] = await outcomes(values, '--at', 'look:3', '--time-limit', '2', endless, 'turn');
    expect(first.error).toMatchObject({
      code: 'E_DIVERSION',
      message: expect.stringMatching(/^The call did not return\. /) as string,
    });
    expect(next.result).toBe('3');
  });

  it('without gdb simple calls are taken for what their size says, and others say what to install', async () => {
    const simple = await runCli(
      ...['call', tree, '--machine', MACHINE, '--gdb', '/no/gdb', '(int)tree_sum(root)', 'inserted'],
    );
    expect(simple.code).toBe(0);
    expect(simple.stdout).toBe('(int)tree_sum(root) = 1431\ninserted = 21\n');
    expect(simple.stderr.match(/cannot be started/g)).toHaveLength(1);
    const typed = await call(tree, '--gdb', '/no/gdb', 'root->key');
    expect(typed.code).toBe(11);
    expect(typed.stderr).toMatch(/gdb.*cannot be started: .*ENOENT[^]*apt install gdb/);
  });

  it('a program without debug information needs no gdb', async () => {
    const { code, stdout, stderr } = await call(
      ...[sample('skylake-pku/xsave'), '--gdb', '/no/gdb', '--at', 'main', '(int)abs(-3)', '1 + 2'],
    );
    expect([code, stderr, stdout]).toEqual([0, '', '(int)abs(-3) = 3\n1 + 2 = 3\n']);
  });
});

describe('scripts', () => {
  let replay: Replay;
  beforeAll(async () => {
    replay = await Replay.open(values, { machine: MACHINE });
  });
  afterAll(() => replay.close());

  it('evaluate at the current position, forwards and after going back', async () => {
    const answers = async (): Promise<string[]> => {
      const found: string[] = [];
      for (const text of ['turn', 'weight', 'item->name', '*item', 'find(item->key)->flags'])
        found.push((await replay.evaluate(text)).text);
      return found;
    };
    const forwards: string[][] = [];
    const marks = [];
    for (let turn = 1; turn <= 3; turn++) {
      await replay.runTo('look');
      marks.push(replay.mark());
      forwards.push(await answers());
    }
    const before = replay.registers();
    for (const [turn, mark] of [...marks.entries()].reverse()) {
      await replay.goBack(mark);
      expect(await answers()).toEqual(forwards[turn]);
    }
    await replay.goBack(marks[2]);
    expect(replay.registers()).toEqual(before);
  });

  it('share a diversion with calls and expressions of both kinds', async () => {
    await replay.divert(async (d) => {
      expect((await d.evaluate('counter')).value).toBe(37);
      expect(await d.call('add', 2, 3)).toBe(5n);
      await d.evaluate('counter = add(20, 1)');
      const { value } = await d.evaluate('&counter');
      expect(Buffer.from(d.readMemory(value as bigint, 4)).readInt32LE()).toBe(21);
      d.writeMemory(value as bigint, Uint8Array.of(9, 0, 0, 0));
      expect((await d.evaluate('counter')).text).toBe('9');
      await expect(d.evaluate('name_of(5)')).rejects.toMatchObject({ code: 'E_DIVERSION' });
      expect((await d.evaluate('counter + 1')).text).toBe('10');
      const stop = await d.continue();
      expect(stop.kind).toBe('exited');
      expect(d.stdout).toMatch(/\n30 0\.375 second buf 2\n/);
    });
    expect((await replay.evaluate('counter')).text).toBe('37');
  });

  it('a call that does not end is interrupted, and the next expression is answered', async () => {
    let turns = 0;
    const interrupted = replay.divert((d) => d.evaluate(endless), {
      turn: () =>
        ++turns > 40 ? Promise.reject(new Error('enough')) : new Promise((done) => setImmediate(done)),
    });
    await expect(interrupted).rejects.toThrow('enough');
    expect((await replay.evaluate('turn')).text).toBe('3');
  });
});

itOn(caseTrace('except'), 'containers are shown and taken apart by their printers', async (trace) => {
  const [nodes, size, thrown] = await outcomes(
    ...[trace, '--at', 'stop_here', 'nodes', 'nodes.size()', 'caught(5)'],
  );
  expect(nodes.result).toMatch(
    /^std::map with 2 elements = \{\["a"\] = \{name = "alpha", v = std::vector of length 3/,
  );
  expect(nodes.value).toEqual([
    ['a', { name: 'alpha', v: [1, 2, 3] }],
    ['b', { name: 'beta', v: [4, 5] }],
  ]);
  expect(size.value).toBe(2);
  expect(thrown.result).toBe('-1');
});
