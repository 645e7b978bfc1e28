/** Questions of a manifest, asked of a recorded binary tree; the same tree is built here to know the answers. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ExitCode } from '../../src/engine/base/errors.js';
import type { RunReport } from '../../src/jobs/report/run-report.js';
import { MACHINE } from '../machines.js';
import { runRevenant } from './run-revenant.js';

const staticProgram = path.resolve(import.meta.dirname, '../../traces/zen2/hello-static');
const tree = path.resolve(import.meta.dirname, '../../traces/skylake-pku/tree');
let folder: string;
const inFolder = (name: string): string => path.join(folder, name);

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'questions-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

/** Of test/guests/tree.c: its keys, and `inserted` at each arrival at insert(), which recurses. */
function builtTree(): { keys: number[]; insertedAt: number[] } {
  const keys: number[] = [];
  const insertedAt: number[] = [];
  let seed = 7;
  for (let i = 0; i < 24; i++) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    const key = (seed >>> 16) & 127;
    // The path to a key is the earlier keys that no still earlier one divides from it.
    let [low, high] = [-Infinity, Infinity];
    for (const other of keys) {
      if (other <= low || other >= high) continue;
      insertedAt.push(keys.length);
      if (other === key) break;
      if (other < key) low = other;
      else high = other;
    }
    if (keys.includes(key)) continue;
    insertedAt.push(keys.length);
    keys.push(key);
  }
  return { keys, insertedAt };
}

const { keys, insertedAt } = builtTree();
const sum = keys.reduce((total, key) => total + key, 0);
const drawing = fs.readFileSync(path.join(tree, 'expected_stdout'), 'utf8').replace(/^.*\n/, '');

async function ask(
  questions: object[],
  ...args: string[]
): Promise<{ code: number | null; report: RunReport }> {
  const file = inFolder('asked.yaml');
  // The other trace is a static program, which is at its entry when it begins.
  const entry = [{ at: { symbol: '_start' }, memory: '_start', type: 'u8', equals: 0x31 }];
  const traces = [
    { name: 'tree', paths: tree, questions },
    { paths: staticProgram, questions: entry },
  ];
  fs.writeFileSync(file, stringify({ version: 1, traces }));
  const { code, stdout } = await runRevenant(['ci', file, '--machine', MACHINE, '--json', ...args]);
  return { code, report: JSON.parse(stdout) as RunReport };
}

it('fails exactly the question that expects something else, and shows both', async () => {
  const { code, report } = await ask(
    [
      { name: 'the sum', at: 'exit', expression: 'tree_sum(root)', equals: sum + 1 },
      { name: 'the tree', at: 'exit', call: 'print_tree(root, 0)', output: drawing },
      { at: { symbol: 'insert', hit: 10 }, memory: 'inserted', equals: insertedAt[9] },
    ],
    ...['--junit', inFolder('junit.xml'), '--html', inFolder('report.html')],
    ...['--artifacts', inFolder('artifacts')],
  );
  expect(code).toBe(ExitCode.diverged);
  const [{ state, questions, problems }] = report.results;
  expect(questions.map(({ name, place, state: each }) => `${each}: ${name}, ${place}`)).toEqual([
    'failed: the sum, at exit',
    'passed: the tree, at exit',
    'passed: i32 at inserted, at insert, hit 10',
  ]);
  expect(questions.map(({ found }) => found)).toEqual([String(sum), drawing, String(insertedAt[9])]);
  expect(state).toBe('failed');
  expect(report.results[1].questions).toMatchObject([{ state: 'passed' }]);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toMatchObject({ kind: 'question', expected: String(sum + 1), found: String(sum) });
  for (const file of ['junit.xml', 'artifacts/tree/report.txt'])
    expect(fs.readFileSync(inFolder(file), 'utf8')).toMatch(
      new RegExp(`Question the sum \\(at exit\\)[^]*expected: ${sum + 1}\\n *found: +${sum}\\n`),
    );
  expect(fs.readFileSync(inFolder('report.html'), 'utf8')).toContain(
    `"expected":"${sum + 1}","found":"${sum}"`,
  );
});

it('reads and calls at any place, in any order, and gives the reason if there is no answer', async () => {
  const at = (hit: number): object => ({ symbol: 'insert', hit });
  const depth = /depth (\d+)/.exec(fs.readFileSync(path.join(tree, 'expected_stdout'), 'utf8'))![1];
  const described = `tree of ${keys.length} keys, depth ${depth}, sum ${sum}`;
  const { report } = await ask([
    { at: 'exit', expression: '(char*)describe(root)', equals: described },
    { at: 'exit', expression: '(char*)describe(root)', matches: 'depth \\d+, sum' },
    // Nothing flushes this but the question; what the program has in its own buffer is not in the answer.
    { at: { symbol: 'print_tree' }, call: 'printf("%d keys", 3)', output: '3 keys' },
    { at: at(30), memory: 'inserted', type: 'u8', equals: insertedAt[29] },
    { at: at(12), expression: '(int)inserted', equals: insertedAt[11] },
    { at: { symbol: 'insert+2', hit: 12 }, memory: 'inserted+1', type: 'u8', equals: 0 },
    { at: at(insertedAt.length + 1), memory: 'inserted', equals: 1 },
    { at: { symbol: 'insert+3' }, memory: 'inserted', equals: 0 },
    { at: { frame: 100000 }, memory: 'inserted', equals: 1 },
    { at: 'exit', memory: 'no_such_name', equals: 1 },
    { at: 'exit', expression: 'crash_on(999)', equals: 1 },
    { at: 'exit', memory: '0x10', type: 'string', equals: '' },
    { at: 'exit', expression: 'tree_sum(root', equals: 1 },
  ]);
  const { questions } = report.results[0];
  expect(questions.slice(0, 6).map(({ state, found }) => `${state} ${found}`)).toEqual([
    `passed "${described}"`,
    `passed "${described}"`,
    'passed 3 keys',
    `passed ${insertedAt[29]}`,
    `passed ${insertedAt[11]}`,
    'passed 0',
  ]);
  expect(questions.slice(6).map(({ state, problem }) => `${state}: ${problem}`)).toEqual([
    expect.stringContaining(
      `insert is reached ${insertedAt.length} times in this recording, not ${insertedAt.length + 1}.`,
    ),
    expect.stringMatching(/^error: No instruction begins at insert\+3/),
    expect.stringMatching(/^error: There is no frame 100000: the recording ends with frame \d+/),
    expect.stringMatching(/^error: Unknown symbol no_such_name/),
    expect.stringMatching(/^error: The call ended with SIGSEGV/),
    expect.stringMatching(/^error: Memory at 0x10 \(0x10\) cannot be read/),
    expect.stringMatching(/^error: A syntax error in expression/),
  ]);
});
