/** Calls and what-ifs in gdb, and the recording as if nothing had been. */
import fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { available, debugOnce, sample } from './recording.js';

const found = available('zen2/tree', 'haswell/tree', 'skylake-pku/tree');

describe.each(found.length > 0 ? found : [sample('skylake-pku/tree')])('%s', (folder) => {
  const printed = fs.readFileSync(`${folder}/expected_stdout`, 'utf8');
  const [headline, drawing] = [
    printed.slice(0, printed.indexOf('\n')),
    printed.slice(printed.indexOf('\n') + 1),
  ];
  const [, keys, depth, sum] = /keys (\d+) depth (\d+) sum (\d+)/.exec(printed)!.map(Number);

  it('calls at the exit of main', async () => {
    const { said, text } = await debugOnce(folder, [], 'calls()');
    expect(said, text).toMatchObject({ sum, depth, drawing, strings: 5, key: 108, same: true });
    expect(said.described).toBe(`tree of ${keys} keys, depth ${depth}, sum ${sum}`);
    expect(said.lines).toBe(fs.readFileSync('/etc/passwd', 'latin1').split('\n').length - 1);
    expect([said.before, said.inside, said.after]).toEqual([
      expect.stringMatching(/^replay \d+$/),
      String(said.before).replace('replay', 'diversion'),
      said.before,
    ]);
    expect(said.crash).toMatch(/signaled while in a function called from GDB/);
    expect(said.stack).toMatch(/^#0 .* crash_on .*\n#1 +<function called from gdb>\n#2 .*exit/);
    expect(said.killed).toMatch(/process \d+ terminated with signal SIGSEGV; back in the replay/);
    expect(said.end).toMatch(/process \d+ exited normally here/);
    expect(said.sum_at_end).toBe(sum);
    expect(said.stack_at_end).toMatch(/ main|__libc_start_call_main /);
    expect(said.still).toMatch(/^replay \d+$/);
  });

  it('a breakpoint in a call, and a call in a condition, in the middle of insert', async () => {
    const { said, text } = await debugOnce(folder, [], 'stops_in_calls()');
    expect(said.call, text).toMatch(/stopped while in a function called from GDB/);
    expect(said.stack).toMatch(
      /^#0 +tree_depth .*\n#1 +<function called from gdb>\n#2 +insert .*key=(key@entry=)?62/m,
    );
    expect(said.inside).toMatch(/^diversion \d+$/);
    expect(said.drawing).toMatch(/^ *116\n108\n[^]*\n {4}18\n$/);
    expect(said).toMatchObject({ returned: 8, same: true });
    expect(said).toMatchObject({ counted: 1, watched: said.inside });
    expect(said.sum).toBeGreaterThan(700);
    expect(said.end).toContain(printed);
  });

  it('a what-if', async () => {
    const { said, text } = await debugOnce(folder, [], 'what_if()');
    expect(said.inside, text).toMatch(/^diversion \d+$/);
    const state = String(said.inside).replace('diversion', 'replay');
    const back = { state, inserted: keys, same: true };
    expect(said).toMatchObject({ rax: 5, depth, inserted: keys, first: back, second: back });
    expect(said.changed).toContain(headline.replace(`keys ${keys}`, 'keys 100') + `\n${drawing}`);
    expect(said.changed).toMatch(/diversion: process \d+ exited normally/);
    expect(said.over).toMatch(/cannot go on/);
    expect(said.stuck).toBe(said.inside);
    expect(said.recorded).toContain(printed);
  });
});

it('calls from inside a signal handler', async () => {
  const folder = sample('haswell/faults');
  const { said, text } = await debugOnce(folder, [], 'in_handler()');
  expect(said.stack, text).toMatch(/^#0 +jump \(sig=11.*\n#1 +<signal handler called>\n#2 .* main/);
  expect(said).toMatchObject({ pid: true, same: true });
  expect(said.printed).toMatch(/^from the handler$/m);
  expect(said.raised).toMatch(/signaled while in a function called from GDB/);
  expect(said.end).toContain(fs.readFileSync(`${folder}/expected_stdout`, 'utf8'));
});
