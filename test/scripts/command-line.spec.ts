/** How bin/revenant loads its bundle, in a package that has another one. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sealed } from '../../scripts/command-line.mjs';
import { runProgram } from '../run-program.js';

const project = path.resolve(import.meta.dirname, '../..');
let folder: string;
let bundle: string;
let code: string;

beforeEach(() => {
  folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-command-line-')));
  fs.mkdirSync(path.join(folder, 'package/scripts'), { recursive: true });
  for (const name of ['lib.mjs', 'command-line.mjs'])
    fs.copyFileSync(path.join(project, 'scripts', name), path.join(folder, 'package/scripts', name));
  bundle = path.join(folder, 'package/dist/bundle/main.cjs');
  code = path.join(folder, 'package/build/code');
  fs.mkdirSync(path.dirname(bundle), { recursive: true });
  write('one');
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

/** A bundle that returns a word; functions that V8 compiles when they are called. */
const write = (word: string): void =>
  fs.writeFileSync(
    bundle,
    sealed(`exports.word = () => '${word}'; exports.fail = () => { throw new Error('x'); };`, digest(word)),
  );
const digest = (word: string): string => Buffer.from(word).toString('hex');

const SCRIPT = `
const { loadCommandLine } = await import(process.argv[1]);
const { exports, usesKeptCode, keepCode } = loadCommandLine();
let stack;
try { exports.fail(); } catch (error) { stack = error.stack; }
console.log(JSON.stringify({ word: exports.word(), usesKeptCode, stack }));
keepCode();
`;

async function load(...options: string[]): Promise<{ word: string; usesKeptCode: boolean; stack: string }> {
  const loader = path.join(folder, 'package/scripts/command-line.mjs');
  const args = [...options, '--input-type=module', '-e', SCRIPT, loader];
  const env = { ...process.env, HOME: path.join(folder, 'home') };
  const { code: status, stdout, stderr } = await runProgram(process.execPath, args, { cwd: folder, env });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return JSON.parse(stdout) as { word: string; usesKeptCode: boolean; stack: string };
}

describe('loadCommandLine', () => {
  it('uses the code that an earlier run kept', async () => {
    expect(await load()).toMatchObject({ word: 'one', usesKeptCode: false });
    const kept = fs.readdirSync(code);
    expect(kept).toHaveLength(1);
    expect(await load()).toMatchObject({ word: 'one', usesKeptCode: true });
    expect(fs.readdirSync(code)).toEqual(kept);
  });

  it('uses no code of another bundle, even of one as long, and does not leave it', async () => {
    await load();
    const [old] = fs.readdirSync(code);
    write('two');
    expect(await load()).toMatchObject({ word: 'two', usesKeptCode: false });
    expect(fs.readdirSync(code)).toEqual([expect.not.stringContaining(old)]);
    expect(await load()).toMatchObject({ word: 'two', usesKeptCode: true });
  });

  it('keeps code for each set of options of V8', async () => {
    await load();
    expect(await load('--no-opt')).toMatchObject({ word: 'one', usesKeptCode: false });
    expect(fs.readdirSync(code)).toHaveLength(2);
    expect(await load('--no-opt')).toMatchObject({ usesKeptCode: true });
    expect(await load()).toMatchObject({ usesKeptCode: true });
  });

  it('uses no code that others may write, and none that is damaged', async () => {
    await load();
    const file = path.join(code, fs.readdirSync(code)[0]);
    fs.chmodSync(file, 0o664);
    expect(await load()).toMatchObject({ word: 'one', usesKeptCode: false });
    expect(fs.statSync(file).mode & 0o777).toBe(0o644);
    expect(await load()).toMatchObject({ usesKeptCode: true });
    fs.truncateSync(file, 100);
    expect(await load()).toMatchObject({ word: 'one', usesKeptCode: false });
    expect(await load()).toMatchObject({ usesKeptCode: true });
  });

  it('keeps it in the home of a user who cannot write the package, and works where there is none', async () => {
    fs.writeFileSync(path.join(folder, 'package/build'), '');
    expect(await load()).toMatchObject({ word: 'one', usesKeptCode: false });
    expect(fs.readdirSync(path.join(folder, 'home/.cache/revenant/code'))).toHaveLength(1);
    expect(await load()).toMatchObject({ word: 'one', usesKeptCode: true });
    fs.rmSync(path.join(folder, 'home'), { recursive: true });
    fs.writeFileSync(path.join(folder, 'home'), '');
    expect(await load()).toMatchObject({ word: 'one', usesKeptCode: false });
  });

  it('works for a user without a home', async () => {
    fs.writeFileSync(path.join(folder, 'package/build'), '');
    const homeless = 'import os from "node:os"; os.homedir = () => { throw new Error("ENOENT"); };';
    expect(await load('--import', `data:text/javascript,${homeless}`)).toMatchObject({ word: 'one' });
  });

  it('has the places of its functions in stack traces', async () => {
    const column = fs.readFileSync(bundle, 'latin1').indexOf('new Error') + 1;
    for (let run = 0; run < 2; run++) expect((await load()).stack).toContain(`${bundle}:1:${column}`);
  });
});
