import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { nameOf } from '../engine/base/names.js';
import { makeSysroot, type Sysroot } from './sysroot.js';

let below: string;
beforeEach(() => void (below = fs.mkdtempSync(path.join(os.tmpdir(), 'sysroot-spec-'))));
afterEach(() => fs.rmSync(below, { recursive: true }));

function make(...files: [recorded: string, copy: string][]): Sysroot {
  const sysroot = makeSysroot(
    files.map(([recorded, copy]) => ({ recorded, copy })),
    below,
  );
  return sysroot!;
}

const leadsTo = (...parts: string[]): string => fs.readlinkSync(path.join(...parts));
/** What an open(2) of the path would open; the copies of these specs do not exist. */
function follow(file: string): string {
  const parent = fs.realpathSync(path.dirname(file));
  const at = path.join(parent, path.basename(file));
  const target = fs.readlinkSync(at);
  return target.startsWith('/copies') ? target : follow(path.resolve(parent, target));
}

it('has each file under its recorded name, by links to where systems merged /usr, and by its last component', () => {
  const { folder, names } = make(
    ['/usr/lib/x86_64-linux-gnu/libz.so.1.2.13', '/copies/z'],
    ['/opt/app/server', '/copies/server'],
  );
  expect(leadsTo(folder, 'usr/lib/x86_64-linux-gnu/libz.so.1.2.13')).toBe('/copies/z');
  expect(follow(path.join(folder, 'lib/x86_64-linux-gnu/libz.so.1'))).toBe('/copies/z');
  expect(leadsTo(folder, 'opt/app/server')).toBe('/copies/server');
  expect(follow(path.join(names, 'server'))).toBe('/copies/server');
  for (const name of ['libz.so.1.2.13', 'libz.so.1.2', 'libz.so.1', 'libz.so'])
    expect(follow(path.join(names, name))).toBe('/copies/z');
});

it('keeps a separate /lib if files were recorded there', () => {
  const { folder } = make(['/lib/libold.so.2', '/copies/old']);
  expect(leadsTo(folder, 'lib/libold.so.2')).toBe('/copies/old');
});

it('takes the first file of a name, and a longer name does not replace a recorded one', () => {
  const { names, folder } = make(['/a/libx.so.1', '/copies/1'], ['/b/libx.so.1', '/copies/2']);
  expect(follow(path.join(names, 'libx.so.1'))).toBe('/copies/1');
  expect(leadsTo(folder, 'b/libx.so.1')).toBe('/copies/2');
});

it('adds libraries of this machine that a call loaded, but no recorded ones, and only files', () => {
  const library = path.join(below, 'libnew.so.1');
  fs.writeFileSync(library, '');
  const { folder, add } = make(['/lib/libold.so.2', '/copies/old']);
  for (const file of [
    library,
    library,
    '/lib/libold.so.2',
    below,
    '/dev/null',
    'libnew.so.1',
    '/nowhere/x.so',
  ])
    add(file);
  expect(leadsTo(folder, library)).toBe(library);
  expect(leadsTo(folder, 'lib/libold.so.2')).toBe('/copies/old');
  for (const none of ['dev/null', 'libnew.so.1', 'nowhere/x.so'])
    expect(fs.existsSync(path.join(folder, none))).toBe(false);
});

it('stays in its folder with any names in a trace', () => {
  const before = fs.readdirSync(path.dirname(below)).length;
  const { folder } = make(
    ['/../../../../outside', '/copies/1'],
    ['relative/../../x', '/copies/2'],
    ['/', '/copies/3'],
    ['/.names/libc.so.6', '/copies/4'],
    [`/${'long'.repeat(80)}`, '/copies/5'],
    ['/outside/below', '/copies/6'],
  );
  expect(leadsTo(folder, 'outside')).toBe('/copies/1');
  expect(leadsTo(folder, 'x')).toBe('/copies/2');
  expect(fs.readdirSync(below)).toEqual([path.basename(folder)]);
  expect(fs.readdirSync(path.dirname(below)).length).toBe(before);
});

it('keeps names that are not UTF-8', () => {
  const { folder } = make([nameOf(Buffer.from('/bin/bad\xffname', 'latin1')), '/copies/bad']);
  const entries = fs.readdirSync(path.join(folder, 'bin'), { encoding: 'buffer' });
  expect(entries.map((name) => name.toString('latin1'))).toEqual(['bad\xffname']);
});

it('is removed, by the next one if its process was killed', () => {
  make().remove();
  expect(fs.readdirSync(below)).toEqual([]);
  const [killed, other] = ['revenant-gdb.4194999.abcdef', 'revenant-gdb.notes'];
  for (const name of [killed, other]) fs.mkdirSync(path.join(below, name));
  const first = make();
  const second = make();
  expect(fs.readdirSync(below).sort()).toEqual(
    [other, ...[first, second].map(({ folder }) => path.basename(folder))].sort(),
  );
});

it('is null where no folder can be made', () => {
  expect(makeSysroot([], path.join(below, 'absent'))).toBeNull();
});
