import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { namesTrace, rrFolder, traceArgument } from './trace-argument.js';

let root: string;
let here: string;

/** A folder that looks like a trace. */
function trace(...names: string[]): string {
  const folder = path.join(root, ...names);
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'version'), '85\n');
  return folder;
}

beforeAll(() => {
  root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'trace-argument-')));
  here = process.cwd();
  trace('new', 'rr', 'bash-1');
  fs.symlinkSync('bash-1', path.join(root, 'new/rr/latest-trace'));
  trace('old', '.rr', 'ls-0');
  fs.symlinkSync('ls-0', path.join(root, 'old/.rr/latest-trace'));
  for (const name of ['a', 'b/c', 'b/d', 'e']) trace('many', name);
  fs.mkdirSync(path.join(root, 'empty'));
});
afterAll(() => {
  process.chdir(here);
  fs.rmSync(root, { recursive: true });
});

const resolve = (named: string | undefined, environment: NodeJS.ProcessEnv): [string, string[]] => {
  const notes: string[] = [];
  return [traceArgument(named, { environment, note: (text) => notes.push(text) }), notes];
};

it('knows where rr keeps traces, as rr does', () => {
  const old = path.join(root, 'old');
  expect(rrFolder({ _RR_TRACE_DIR: '/x', HOME: old })).toBe('/x');
  expect(rrFolder({ XDG_DATA_HOME: path.join(root, 'new'), HOME: old })).toBe(path.join(root, 'new/rr'));
  // Only where the newer place is not there.
  expect(rrFolder({ HOME: old })).toBe(path.join(old, '.rr'));
  expect(rrFolder({ HOME: path.join(root, 'empty') })).toBe(path.join(root, 'empty/.local/share/rr'));
  expect(rrFolder({})).toBe('/tmp/rr');
});

it("takes rr's latest trace where none is named, and says so", () => {
  const latest = path.join(root, 'new/rr/bash-1');
  const environment = { XDG_DATA_HOME: path.join(root, 'new') };
  expect(resolve(undefined, environment)).toEqual([latest, [`rr's latest trace: ${latest}`]]);
  expect(() => resolve(undefined, { HOME: path.join(root, 'empty') })).toThrow(
    /No trace is given, and rr has none here: .*empty\/\.local\/share\/rr\/latest-trace/,
  );
});

it("takes names of rr's traces, those of folders here first", () => {
  const environment = { XDG_DATA_HOME: path.join(root, 'new') };
  expect(resolve('bash-1', environment)).toEqual([path.join(root, 'new/rr/bash-1'), []]);
  expect(resolve('nowhere', environment)[0]).toBe('nowhere');
  expect(resolve('./bash-1', environment)[0]).toBe('./bash-1');
  process.chdir(path.join(root, 'old/.rr'));
  expect(resolve('ls-0', environment)[0]).toBe('ls-0');
});

it('lists traces below a folder that is not a trace', () => {
  const many = path.join(root, 'many');
  expect(() => resolve(many, {})).toThrow(
    expect.objectContaining({
      code: 'E_TRACE_MISSING',
      message:
        `${many} is not a trace, but contains traces: ${many}/a, ${many}/b/c, ${many}/b/d, ....`.replace(
          '....',
          '...' + '.',
        ),
      hint: expect.stringContaining(`revenant replay --all ${many}`) as string,
    }),
  );
  // Not a collection either: opening it reports the error.
  expect(resolve(path.join(root, 'empty'), {})[0]).toBe(path.join(root, 'empty'));
});

it('distinguishes a trace from an expression', () => {
  const environment = { XDG_DATA_HOME: path.join(root, 'new') };
  for (const argument of ['traces/tree', './x', '/tmp/trace', '../a', 'bash-1', root])
    expect(namesTrace(argument, environment), argument).toBe(true);
  for (const argument of ['tree_sum(root)', '*root', 'n->key', 'a / b', '(int)x', '10-20', 'counter'])
    expect(namesTrace(argument, environment), argument).toBe(false);
});
